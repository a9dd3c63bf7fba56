"""Convolutional networks of residual blocks."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from src.models.networks.conv import halving, padding_for_strides, same_size, shape_after_strides
from src.models.networks.layers import FORMAT, Activation, DoublingConvTranspose2d, Shape, Skip, activate
from src.models.networks.mlp import mlp
from src.support.ranges import Count, Depth, Widths, check_arguments


def block(channels: int, activation: Activation) -> Skip:
    """A residual block with the activations before its convolutions (He et al., 2016b).

    It has no normalisation: with batch statistics, an image's numbers would depend on other images, and without them
    the training is stable, since at PyTorch's initial weights a block adds little to what it is given.
    """
    layers = [activate(activation), same_size(channels, channels)]
    return Skip(*layers, activate(activation), same_size(channels, channels))


def blocks_of_sizes(channels: Sequence[int], depth: int) -> list[int]:
    """The number of residual blocks for each of `channels`: `depth`, but none for the first if there are others.

    On the largest images a block takes twice as long as on the next ones, and improves the ELBO less.
    """
    return [depth] * len(channels) if len(channels) == 1 else [0, *[depth] * (len(channels) - 1)]


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
        layers = []
        for c_in, c_out, blocks in zip([shape[0], *channels], channels, blocks_of_sizes(channels, depth), strict=False):
            layers += [halving(c_in, c_out), *(block(c_out, activation) for _ in range(blocks)), activate(activation)]
        self.convolutions = nn.Sequential(*layers).to(memory_format=FORMAT)
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
        layers: list[nn.Module] = []
        sizes = zip(channels, [shape[0], *channels[:-1]], blocks_of_sizes(channels, depth), strict=True)
        for c_in, c_out, blocks in reversed(list(sizes)):
            layers += [block(c_in, activation) for _ in range(blocks)]
            layers += [activate(activation), DoublingConvTranspose2d(c_in, c_out)]
        self.convolutions = nn.Sequential(*layers).to(memory_format=FORMAT)

    def forward(self, z: Tensor) -> Tensor:
        image = self.convolutions(self.head(z).unflatten(1, self.start))
        return image[self.inside] if any(self.padding) else image
