"""p(x | z) of pixels that depend on the pixels before them: a small masked network over the image, fed by the decoder.

The order is row by row, from the upper left, and within a pixel channel by channel. The network is local: it sees
`field` rows and columns around a pixel, of what comes before it. What is global is left to the code.
"""

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, cast, final

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional

from src.models.distributions import ImageDistribution
from src.models.likelihoods import Bernoulli, Logistic256
from src.support.ranges import Count, check_arguments

PIXELS = {"bernoulli": Bernoulli, "logistic256": Logistic256}  # by the option `pixel`
WIDEST = 2  # field of the first layer at most; each layer behind it adds a row and a column
FAR = 1e4  # bound of a feature
START = 0.1  # scale of the last layer before training, at which the pixels still are nearly independent
AT_ONCE = 1000  # images that are drawn at a time, which bounds the memory
Pixel = Literal["bernoulli", "logistic256"]
Field = Annotated[int, Ge(1), Le(16)]
Features = Annotated[int, Ge(1), Le(1024)]


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

    def by_pixel(self, like: Tensor) -> "PixelByPixel":
        """The convolution for inputs like (B, channels, H, W), zero until they are set pixel by pixel."""
        batch, channels, height, width = like.shape
        inputs = like.new_zeros(batch, channels, height + self.field, width + 2 * self.field)
        return PixelByPixel(inputs, (self.weight * self.mask).flatten(1), self.bias, self.field)


class PixelByPixel(NamedTuple):
    """A masked convolution that computes its output at one pixel.

    inputs: those that are known, surrounded by `field` zeros above and on both sides, (B, channels, H + field, W + 2
        field); weight: masked, (outputs, inputs of a pixel's field); bias: (outputs,)
    """

    inputs: Tensor
    weight: Tensor
    bias: Tensor
    field: int

    def set(self, row: int, column: int, value: Tensor, channel: slice | int = slice(None)) -> None:
        """Set the inputs (B, channels) of a pixel, or of one of its channels."""
        self.inputs[:, channel, row + self.field, column + self.field] = value

    def at(self, row: int, column: int) -> Tensor:
        """The output (B, channels) at a pixel."""
        field = self.inputs[..., row : row + self.field + 1, column : column + 2 * self.field + 1]
        return functional.linear(field.flatten(1), self.weight, self.bias)


@check_arguments
class Autoregressive(nn.Module):
    """p(x | z) = prod_i p(x_i | raw_i + f_i(x_1, ..., x_{i-1}, features)), f a masked network (van den Oord et al.,
    2016; with latents Gulrajani et al., 2017).

    For each channel of the image the decoder gives the numbers of the distribution of a pixel, as it does for
    independent ones, and `features` that the network sees beside the pixels before. So the head starts where
    independent pixels start.

    pixel: the distribution of a pixel, `bernoulli` for binary images, `logistic256` for 256 gray levels
    shape: of an image, (C, H, W)
    features: of the decoder, and channels of the network's layers, for each channel of the image
    field: the rows above and the columns to the left and right that a pixel depends on
    samples: the draws that stand for the mean of p(x | z)
    """

    def __init__(self, pixel: Pixel, shape: Sequence[Count], features: Features, field: Field, samples: Count) -> None:
        super().__init__()
        self.pixel = PIXELS[pixel]()
        self.colors, self.features, self.samples = shape[0], features, samples
        self.channels, self.support = self.pixel.channels + features, self.pixel.support
        image = list(range(self.colors))
        hidden = [color for color in image for _ in range(features)]
        first = min(WIDEST, field)
        self.first = MaskedConvolution(image, hidden, first, own=False)
        self.layers = nn.ModuleList(MaskedConvolution(hidden, hidden, 1, own=True) for _ in range(field - first))
        self.last = MaskedConvolution(hidden, image * self.pixel.channels, 0, own=True)
        with torch.no_grad():
            self.last.weight.mul_(START)
            self.last.bias.zero_()

    def forward(self, raw: Tensor) -> "AutoregressiveImage":
        """raw (..., channels C, H, W) -> distribution over (..., C, H, W), log_prob (...)."""
        return AutoregressiveImage(self, raw)

    def split(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers of the pixels' distributions and the features, of raw (..., channels C, H, W)."""
        numbers, features = raw.split([self.pixel.channels * self.colors, self.features * self.colors], -3)
        return numbers, features.clamp(-FAR, FAR)

    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """The raw numbers of independent pixels with this mean (C, H, W), and features of zero."""
        return torch.cat([self.pixel.raw_of_mean(mean), mean.new_zeros(self.features * self.colors, *mean.shape[1:])])

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
        return self.pixel(numbers + added.reshape(*shape[:-3], *added.shape[1:])).log_prob(x)

    @torch.no_grad()
    def sample(self, raw: Tensor, noise: Tensor) -> Tensor:
        """Images (N, C, H, W) drawn pixel by pixel from raw (N, channels C, H, W) and noise, uniform on [0, 1), of the
        shape of the images."""
        pairs = zip(raw.split(AT_ONCE), noise.split(AT_ONCE), strict=True)
        return torch.cat([self._sample(*pair) for pair in pairs]) if len(raw) else noise

    def _sample(self, raw: Tensor, noise: Tensor) -> Tensor:
        numbers, features = self.split(raw)
        first, last = self.first.by_pixel(noise.to(raw)), self.last.by_pixel(features)
        layers = [cast(MaskedConvolution, layer).by_pixel(features) for layer in self.layers]
        x = torch.empty_like(noise, dtype=raw.dtype)
        for row, column in itertools.product(range(x.shape[-2]), range(x.shape[-1])):
            for color in range(self.colors):  # of which the next one depends on this
                hidden = features[..., row, column] + first.at(row, column)
                for layer in layers:
                    layer.set(row, column, functional.silu(hidden))
                    hidden = hidden + layer.at(row, column)
                last.set(row, column, functional.silu(hidden))
                found = numbers[..., row, column] + last.at(row, column)
                drawn = self.pixel.from_uniform(found[..., None, None], noise[..., row, column, None, None])
                x[:, color, row, column] = drawn[:, color, 0, 0]
                first.set(row, column, x[:, color, row, column] - 0.5, color)
        return x

    def mean(self, raw: Tensor) -> Tensor:
        """The average (N, C, H, W) of `samples` draws from raw (N, channels C, H, W).

        All codes share their noise, which is the same at every call: so the average is a function of the code, and
        differs between two codes by what the code does.
        """
        total, shape = 0.0, (self.colors, *raw.shape[-2:])
        for seed in range(self.samples):
            noise = torch.rand(shape, generator=torch.Generator().manual_seed(seed)).to(raw)
            total = total + self.sample(raw, noise.expand(len(raw), *shape))
        return cast(Tensor, total) / self.samples


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
        """Images drawn pixel by pixel."""
        raw = self.raw.expand(*sample_shape, *self.raw.shape)
        noise = torch.rand(*raw.shape[:-3], *self.event_shape, dtype=raw.dtype, device=raw.device)
        drawn = self.head.sample(raw.reshape(-1, *raw.shape[-3:]), noise.reshape(-1, *self.event_shape))
        return drawn.reshape(noise.shape)

    @property
    def mean(self) -> Tensor:
        """The average of some draws. It can't be read off the network, whose output at a pixel depends on an image."""
        return self.head.mean(self.raw.reshape(-1, *self.raw.shape[-3:])).reshape(*self.batch_shape, *self.event_shape)

    def factors(self) -> None:
        """None: a pixel depends on those before it."""
        return
