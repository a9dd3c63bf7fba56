"""Convolutional networks of residual blocks."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from src.models.networks.conv import down_layers, padding_for_strides, same_size, shape_after_strides, up_layers
from src.models.networks.layers import Activation, Shape, Skip, activate
from src.models.networks.mlp import mlp
from src.support.ranges import Count, Depth, Widths, check_arguments

GROUP = 4  # channels that are normalised together


def block(channels: int, activation: Activation) -> Skip:
    """A residual block with normalisation and activation before each convolution (He et al., 2016b).

    What is normalised are groups of channels of an image (Wu and He, 2018), so that its numbers depend on no other
    image. A single channel is not: of a single pixel nothing would be left.
    """
    groups = channels // GROUP if channels % GROUP == 0 else 1
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.GroupNorm(groups, channels)] if channels > 1 else []
        layers += [activate(activation), same_size(channels)]
    return Skip(*layers)


def blocks_of_sizes(channels: Sequence[int], depth: int, activation: Activation) -> list[list[Skip]]:
    """The residual blocks for each of `channels`: `depth`, but none for the first if there are others.

    On the largest images a block takes longer than on the next ones, and improves the ELBO less.
    """
    counts = [depth] * len(channels) if len(channels) == 1 else [0, *[depth] * (len(channels) - 1)]
    return [[block(c, activation) for _ in range(count)] for c, count in zip(channels, counts, strict=True)]


@check_arguments
class ResNetEncoder(nn.Module):
    """For each of `channels` a stride-2 convolution and, but for the first, `depth` residual blocks; one hidden layer.

    Images whose sides the strides do not divide are surrounded by zeros, as in ConvEncoder.
    """

    def __init__(
        self,
        shape: Shape,
        out_features: int,
        channels: Widths,
        depth: Depth,
        hidden: Count,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.padding = padding_for_strides(shape, channels)
        self.convolutions = down_layers(shape, channels, blocks_of_sizes(channels, depth, activation), activation)
        self.head = mlp([math.prod(shape_after_strides(shape, channels)), hidden, out_features], activation)

    def forward(self, x: Tensor) -> Tensor:
        if any(self.padding):
            x = functional.pad(x, self.padding)
        return self.head(self.convolutions(x).flatten(1))


@check_arguments
class ResNetDecoder(nn.Module):
    """The encoder in reverse: one hidden layer, then residual blocks and a stride-2 transposed convolution for each of
    `channels` (in the encoder's order).

    Where the strides do not divide the image's sides, the pixels that the encoder adds are cut off.
    """

    def __init__(
        self,
        in_features: int,
        shape: Shape,
        channels: Widths,
        depth: Depth,
        hidden: Count,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.start = shape_after_strides(shape, channels)
        self.padding = left, _, top, _ = padding_for_strides(shape, channels)
        self.inside = (..., slice(top, top + shape[1]), slice(left, left + shape[2]))
        self.head = mlp([in_features, hidden, math.prod(self.start)], activation)
        self.convolutions = up_layers(shape, channels, blocks_of_sizes(channels, depth, activation), activation)

    def forward(self, z: Tensor) -> Tensor:
        image = self.convolutions(self.head(z).unflatten(1, self.start))
        return image[self.inside] if any(self.padding) else image
