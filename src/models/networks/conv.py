"""Convolutional networks."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from src.models.networks.layers import FORMAT, Activation, DoublingConvTranspose2d, Shape, Skip, activate
from src.models.networks.mlp import mlp
from src.support.ranges import Count, Depth, Widths, check_arguments


def padding_for_strides(shape: Shape, channels: Sequence[int]) -> tuple[int, int, int, int]:
    """The pixels (left, right, top, bottom) that an image lacks for a stride-2 convolution for each of `channels`.

    With them both sides are divisible by 2 to the number of convolutions.
    """
    factor = 2 ** len(channels)
    height, width = (-side % factor for side in shape[1:])
    return width // 2, width - width // 2, height // 2, height - height // 2


def shape_after_strides(shape: Shape, channels: Sequence[int]) -> Shape:
    """The shape of an image, padded by `padding_for_strides`, after a stride-2 convolution for each of `channels`."""
    factor = 2 ** len(channels)
    return channels[-1], -(-shape[1] // factor), -(-shape[2] // factor)


def same_size(channels: int) -> nn.Conv2d:
    """A convolution that keeps height and width."""
    return nn.Conv2d(channels, channels, kernel_size=3, padding=1)


def skip_layers(channels: int, depth: int, activation: Activation) -> list[nn.Module]:
    """Convolutions that keep the size, `depth` - 1 of them, each added to what it is given.

    Without that, little of the image and of the gradient passes through many layers.
    """
    return [Skip(activate(activation), same_size(channels)) for _ in range(depth - 1)]


def down_layers(
    shape: Shape, channels: Sequence[int], blocks: Sequence[Sequence[nn.Module]], activation: Activation
) -> nn.Sequential:
    """For each of `channels` a stride-2 convolution, its `blocks`, which keep the size, and an activation."""
    layers: list[nn.Module] = []
    for c_in, c_out, of_size in zip([shape[0], *channels], channels, blocks, strict=False):
        convolution = nn.Conv2d(c_in, c_out, kernel_size=4, stride=2, padding=1)
        layers += [convolution, *of_size, activate(activation)]
    return nn.Sequential(*layers).to(memory_format=FORMAT)


def up_layers(
    shape: Shape, channels: Sequence[int], blocks: Sequence[Sequence[nn.Module]], activation: Activation
) -> nn.Sequential:
    """The reverse of `down_layers`, with stride-2 transposed convolutions."""
    layers: list[nn.Module] = []
    for c_in, c_out, of_size in reversed(list(zip(channels, [shape[0], *channels[:-1]], blocks, strict=True))):
        layers += [*of_size, activate(activation), DoublingConvTranspose2d(c_in, c_out)]
    return nn.Sequential(*layers).to(memory_format=FORMAT)


@check_arguments
class ConvEncoder(nn.Module):
    """For each of `channels` a stride-2 convolution and `depth` - 1 residual ones of the same size; one hidden layer.

    Images whose sides the strides do not divide are surrounded by zeros, as the convolutions do themselves: black,
    which is in the range of every likelihood's pixels.
    """

    def __init__(
        self,
        shape: Shape,
        out_features: int,
        channels: Widths,
        hidden: Count,
        activation: Activation,
        depth: Depth = 1,
    ) -> None:
        super().__init__()
        self.padding = padding_for_strides(shape, channels)
        blocks = [skip_layers(count, depth, activation) for count in channels]
        self.convolutions = down_layers(shape, channels, blocks, activation)
        self.head = mlp([math.prod(shape_after_strides(shape, channels)), hidden, out_features], activation)

    def forward(self, x: Tensor) -> Tensor:
        if any(self.padding):
            x = functional.pad(x, self.padding)
        return self.head(self.convolutions(x).flatten(1))


@check_arguments
class ConvDecoder(nn.Module):
    """The encoder in reverse: one hidden layer, then for each of `channels` (in the encoder's order) `depth` - 1
    convolutions of the same size and a stride-2 transposed one.

    Where the strides do not divide the image's sides, the pixels that the encoder adds are cut off.
    """

    def __init__(
        self,
        in_features: int,
        shape: Shape,
        channels: Widths,
        hidden: Count,
        activation: Activation,
        depth: Depth = 1,
    ) -> None:
        super().__init__()
        self.start = shape_after_strides(shape, channels)
        self.padding = left, _, top, _ = padding_for_strides(shape, channels)
        self.inside = (..., slice(top, top + shape[1]), slice(left, left + shape[2]))
        self.head = mlp([in_features, hidden, math.prod(self.start)], activation)
        blocks = [skip_layers(count, depth, activation) for count in channels]
        self.convolutions = up_layers(shape, channels, blocks, activation)

    def forward(self, z: Tensor) -> Tensor:
        image = self.convolutions(self.head(z).unflatten(1, self.start))
        return image[self.inside] if any(self.padding) else image
