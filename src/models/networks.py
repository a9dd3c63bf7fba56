"""Encoders (B, C, H, W) -> (B, features) and decoders (B, features) -> (B, C, H, W).

An encoder is constructed with (shape, out_features), a decoder with (in_features, shape), which VAE fills in; the other
arguments are options of conf/model.
"""

import math
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.support.ranges import Count, Widths, check_arguments

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"]
Shape = tuple[int, int, int]
FORMAT = torch.channels_last  # memory format of convolutions and their inputs, faster than torch's default


def activate(name: Activation) -> nn.Module:
    """The activation of that name."""
    return ACTIVATIONS[name]()


class Skip(nn.Sequential):
    """x + f(x), f the composition of its layers (He et al., 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def mlp(widths: Sequence[int], activation: Activation, residual: bool = False) -> nn.Sequential:
    """Linear layers of the given widths with an activation between them, and none after the last.

    residual: a hidden layer as wide as the one before adds to the output of that one instead of replacing it. The
        default is False because runs of versions without this option have no residual layers
    """
    layers = [nn.Linear(widths[0], widths[1])]
    for i in range(1, len(widths) - 1):
        layer = [activate(activation), nn.Linear(widths[i], widths[i + 1])]
        hidden = i < len(widths) - 2
        layers += [Skip(*layer)] if residual and hidden and widths[i] == widths[i + 1] else layer
    return nn.Sequential(*layers)


@check_arguments
class MLPEncoder(nn.Module):
    """Fully connected layers of the widths `hidden` on the flattened image; `residual` as in `mlp`."""

    def __init__(
        self,
        shape: Shape,
        out_features: int,
        hidden: Sequence[Count],
        activation: Activation,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.layers = mlp([math.prod(shape), *hidden, out_features], activation, residual)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))


@check_arguments
class MLPDecoder(nn.Module):
    """Fully connected layers of the widths `hidden`, reshaped to an image; `residual` as in `mlp`."""

    def __init__(
        self,
        in_features: int,
        shape: Shape,
        hidden: Sequence[Count],
        activation: Activation,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.layers = mlp([in_features, *hidden, math.prod(shape)], activation, residual)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).unflatten(1, self.shape)


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


@check_arguments
class ConvEncoder(nn.Module):
    """A stride-2 convolution for each of `channels`, then one hidden layer.

    Images whose sides the strides do not divide are surrounded by zeros, as the convolutions do themselves: black,
    which is in the range of every likelihood's pixels.
    """

    def __init__(
        self, shape: Shape, out_features: int, channels: Widths, hidden: Count, activation: Activation
    ) -> None:
        super().__init__()
        self.padding = padding_for_strides(shape, channels)
        layers = []
        for c_in, c_out in zip([shape[0], *channels], channels, strict=False):
            layers += [nn.Conv2d(c_in, c_out, kernel_size=4, stride=2, padding=1), activate(activation)]
        self.convolutions = nn.Sequential(*layers).to(memory_format=FORMAT)
        self.head = mlp([math.prod(shape_after_strides(shape, channels)), hidden, out_features], activation)

    def forward(self, x: Tensor) -> Tensor:
        if any(self.padding):
            x = functional.pad(x, self.padding)
        return self.head(self.convolutions(x).flatten(1))


class DoublingConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution that doubles height and width.

    With one output channel it is computed as a matrix product and a sum of overlapping patches, which takes half the
    time of PyTorch's implementation on a CPU.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, kernel_size=4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.out_channels > 1 or x.device.type != "cpu" or torch.compiler.is_exporting():
            return super().forward(x)
        patches = self.weight.flatten(1).T @ x.flatten(2)
        height, width = x.shape[-2:]
        summed = functional.fold(patches, (2 * height, 2 * width), kernel_size=4, stride=2, padding=1)
        return summed + cast(Tensor, self.bias)[:, None, None]  # None only where bias=False


@check_arguments
class ConvDecoder(nn.Module):
    """One hidden layer, then a stride-2 transposed convolution for each of `channels` (in the encoder's order).

    Where the strides do not divide the image's sides, the pixels that the encoder adds are cut off.
    """

    def __init__(self, in_features: int, shape: Shape, channels: Widths, hidden: Count, activation: Activation) -> None:
        super().__init__()
        self.start = shape_after_strides(shape, channels)
        self.padding = left, _, top, _ = padding_for_strides(shape, channels)
        self.inside = (..., slice(top, top + shape[1]), slice(left, left + shape[2]))
        self.head = mlp([in_features, hidden, math.prod(self.start)], activation)
        layers = []
        for c_in, c_out in zip(reversed(channels), [*reversed(channels[:-1]), shape[0]], strict=True):
            layers += [activate(activation), DoublingConvTranspose2d(c_in, c_out)]
        self.convolutions = nn.Sequential(*layers).to(memory_format=FORMAT)

    def forward(self, z: Tensor) -> Tensor:
        image = self.convolutions(self.head(z).unflatten(1, self.start))
        return image[self.inside] if any(self.padding) else image
