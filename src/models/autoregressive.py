"""p(x | z) of pixels that depend on the pixels before them: a small masked network over the image, fed by the decoder.

The order is row by row, from the upper left, and within a pixel channel by channel. The network is local: it sees
`field` rows and columns around a pixel, of what comes before it. What is global is left to the code.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, cast, final

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional

from src.models.distributions import ImageDistribution
from src.models.likelihoods import Bernoulli, Logistic256
from src.support.ranges import Count, check_arguments

PIXELS = {"bernoulli": Bernoulli, "logistic256": Logistic256}
WIDEST = 2  # field of the first layer at most; each layer behind it adds a row and a column
FAR = 1e4  # bound of a feature
START = 0.1  # scale of the last layer before training, at which the pixels still are nearly independent
Pixel = Literal["bernoulli", "logistic256"]
Field = Annotated[int, Ge(1), Le(16)]


class MaskedConvolution(nn.Module):
    """A convolution at whose output a pixel sees the `field` rows above it and the pixels to the left in its own row.

    Of its own pixel an output of group g sees the inputs of the groups below g, and with `own` of g itself.

    inputs, outputs: the group of each channel, of input and output
    """

    def __init__(self, inputs: Sequence[int], outputs: Sequence[int], field: int, own: bool) -> None:
        super().__init__()
        self.field = field
        size = field + 1, 2 * field + 1
        convolution = nn.Conv2d(len(inputs), len(outputs), size)  # as it is initialised in torch
        self.weight, self.bias = convolution.weight, cast(nn.Parameter, convolution.bias)
        before, after = torch.tensor(inputs), torch.tensor(outputs)[:, None]
        self.mask: Tensor
        mask = torch.ones(len(outputs), len(inputs), *size)
        mask[..., -1, field] = (before <= after if own else before < after).float()
        mask[..., -1, field + 1 :] = 0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, channels, H, W) -> (B, channels, H, W)."""
        x = functional.pad(x, (self.field, self.field, self.field, 0))
        return functional.conv2d(x, self.weight * self.mask, self.bias)

    def at(self, x: Tensor, row: int, column: int) -> Tensor:
        """The output (B, channels) at one pixel, from inputs that are padded, (B, channels, H + field, W + 2 field)."""
        seen = x[..., row : row + self.field + 1, column : column + 2 * self.field + 1]
        return functional.linear(seen.flatten(1), (self.weight * self.mask).flatten(1), self.bias)

    def padded(self, x: Tensor) -> Tensor:
        """Zeros of the form that `at` reads, for inputs like x (B, channels, H, W)."""
        batch, channels, height, width = x.shape
        return x.new_zeros(batch, channels, height + self.field, width + 2 * self.field)


@check_arguments
class Autoregressive(nn.Module):
    """p(x | z) = prod_i p(x_i | raw_i + f_i(x_1, ..., x_{i-1}, features)), f a masked network (van den Oord et al.,
    2016; with latents Gulrajani et al., 2017).

    For each channel of the image the decoder gives the numbers of the distribution of a pixel, as it does for
    independent ones, and `features` that the network sees beside the pixels before. So the head starts where
    independent pixels start.

    pixels: the distribution of a pixel, `bernoulli` for binary images, `logistic256` for 256 gray levels
    colors: C, the channels of an image
    features: of the decoder, and channels of the network's layers, for each channel of the image
    field: the rows above and the columns to the left and right that a pixel depends on
    samples: the images that the mean of p(x | z) is averaged over
    """

    def __init__(
        self,
        pixels: Pixel = "bernoulli",
        colors: Count = 1,
        features: Count = 24,
        field: Field = 4,
        samples: Count = 8,
    ) -> None:
        super().__init__()
        self.pixels = PIXELS[pixels]()
        self.colors, self.features, self.field, self.samples = colors, features, field, samples
        self.channels, self.support = self.pixels.channels + features, self.pixels.support
        image = list(range(colors))
        hidden = [color for color in image for _ in range(features)]
        first = min(WIDEST, field)
        self.first = MaskedConvolution(image, hidden, first, own=False)
        self.layers = nn.ModuleList(MaskedConvolution(hidden, hidden, 1, own=True) for _ in range(field - first))
        self.last = MaskedConvolution(hidden, image * self.pixels.channels, 0, own=True)
        with torch.no_grad():
            self.last.weight.mul_(START)
            self.last.bias.zero_()

    def forward(self, raw: Tensor) -> "AutoregressiveImage":
        """raw (..., channels C, H, W) -> distribution over (..., C, H, W), log_prob (...)."""
        return AutoregressiveImage(self, raw)

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers of the pixels' distributions and the features, of raw (..., channels C, H, W)."""
        numbers, features = raw.split([self.pixels.channels * self.colors, self.features * self.colors], -3)
        return numbers, features.clamp(-FAR, FAR)

    def masked_layers(self) -> list[MaskedConvolution]:
        """The layers between the first and the last."""
        return cast(list[MaskedConvolution], list(self.layers))

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """The raw numbers of independent pixels with this mean (C, H, W), and features of zero."""
        return torch.cat([self.pixels.raw_of_mean(mean), mean.new_zeros(self.features * self.colors, *mean.shape[1:])])

    def log_prob(self, raw: Tensor, x: Tensor) -> Tensor:
        """log p(x | z), (...), of images (..., C, H, W), all of whose pixels are known, in one pass.

        The first layer sees the images alone, and is computed once for images that are broadcast over samples.
        """
        numbers, features = self.split(raw)
        seen = self.first(x.reshape(-1, *x.shape[-3:]) - 0.5)
        hidden = features + seen.reshape(*x.shape[:-3], *seen.shape[1:])
        shape, hidden = hidden.shape, hidden.reshape(-1, *hidden.shape[-3:])
        for layer in self.layers:
            hidden = hidden + layer(functional.silu(hidden))
        added = self.last(functional.silu(hidden))
        return self.pixels(numbers + added.reshape(*shape[:-3], *added.shape[1:])).log_prob(x)

    @torch.no_grad()
    def sample(self, raw: Tensor) -> Tensor:
        """Images (N, C, H, W) drawn pixel by pixel from raw (N, channels C, H, W).

        At each pixel only its own numbers are computed, from those that each layer has left at the pixels before.
        """
        numbers, features = self.split(raw)
        x = numbers[:, : self.colors].new_zeros(len(raw), self.colors, *raw.shape[-2:])
        image = self.first.padded(x)
        hidden = [layer.padded(features) for layer in self.masked_layers()]
        for row in range(raw.shape[-2]):
            for column in range(raw.shape[-1]):
                for color in range(self.colors):
                    out = self.at(image, hidden, features, row, column) + numbers[..., row, column]
                    drawn = self.pixels(out[..., None, None]).sample()[..., 0, 0]
                    x[:, color, row, column] = drawn[:, color]
                    image[:, color, row + self.first.field, column + self.first.field] = drawn[:, color] - 0.5
        return x

    def at(self, image: Tensor, hidden: list[Tensor], features: Tensor, row: int, column: int) -> Tensor:
        """What the network adds to the numbers (N, ...) of one pixel; its layers' inputs there are left in `hidden`."""
        value = features[..., row, column] + self.first.at(image, row, column)
        for layer, inputs in zip(self.masked_layers(), hidden, strict=True):
            inputs[..., row + 1, column + 1] = functional.silu(value)
            value = value + layer.at(inputs, row, column)
        weight = (self.last.weight * self.last.mask)[..., 0, 0]
        return functional.linear(functional.silu(value), weight, self.last.bias)


@final
class AutoregressiveImage(ImageDistribution):
    """p(x | z) of an `Autoregressive` likelihood, from the raw numbers (..., channels C, H, W) of the decoder."""

    averages_draws = True

    def __init__(self, head: Autoregressive, raw: Tensor) -> None:
        self.head, self.raw = head, raw
        super().__init__(raw.shape[:-3], torch.Size([head.colors, *raw.shape[-2:]]), validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), (...), exact, in one pass."""
        return self.head.log_prob(self.raw, x)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 (torch's signature)
        """Images drawn pixel by pixel, all at a time."""
        raw = self.raw.expand(*sample_shape, *self.raw.shape)
        return self.head.sample(raw.reshape(-1, *raw.shape[-3:])).reshape(*raw.shape[:-3], *self.event_shape)

    @property
    def mean(self) -> Tensor:
        """The average of the head's `samples` images: what the network predicts has seen the pixels before, and is no
        mean given the code."""
        return self.sample(torch.Size([self.head.samples])).mean(0)

    def factors(self) -> None:
        """None: a pixel depends on those before it."""
        return
