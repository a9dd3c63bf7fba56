"""Convolutional networks."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from src.models.networks.layers import FORMAT, Activation, DoublingConvTranspose2d, Shape, activate
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


def halving(c_in: int, c_out: int) -> nn.Conv2d:
    """A convolution that halves height and width."""
    return nn.Conv2d(c_in, c_out, kernel_size=4, stride=2, padding=1)


def same_size(c_in: int, c_out: int) -> nn.Conv2d:
    """A convolution that keeps height and width."""
    return nn.Conv2d(c_in, c_out, kernel_size=3, padding=1)


@check_arguments
class ConvEncoder(nn.Module):
    """For each of `channels` a stride-2 convolution and `depth` - 1 that keep the size, then one hidden layer.

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
        layers = []
        for c_in, c_out in zip([shape[0], *channels], channels, strict=False):
            layers += [halving(c_in, c_out), activate(activation)]
            for _ in range(depth - 1):
                layers += [same_size(c_out, c_out), activate(activation)]
        self.convolutions = nn.Sequential(*layers).to(memory_format=FORMAT)
        self.head = mlp([math.prod(shape_after_strides(shape, channels)), hidden, out_features], activation)

    def forward(self, x: Tensor) -> Tensor:
        if any(self.padding):
            x = functional.pad(x, self.padding)
        return self.head(self.convolutions(x).flatten(1))


@check_arguments
class ConvDecoder(nn.Module):
    """One hidden layer, then for each of `channels` (in the encoder's order) `depth` - 1 convolutions that keep the
    size and a stride-2 transposed convolution.

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
        layers = []
        for c_in, c_out in zip(reversed(channels), [*reversed(channels[:-1]), shape[0]], strict=True):
            for _ in range(depth - 1):
                layers += [activate(activation), same_size(c_in, c_in)]
            layers += [activate(activation), DoublingConvTranspose2d(c_in, c_out)]
        self.convolutions = nn.Sequential(*layers).to(memory_format=FORMAT)

    def forward(self, z: Tensor) -> Tensor:
        image = self.convolutions(self.head(z).unflatten(1, self.start))
        return image[self.inside] if any(self.padding) else image
