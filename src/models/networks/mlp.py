"""Fully connected networks."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from src.models.networks.layers import Activation, Shape, Skip, activate
from src.support.ranges import Count, check_arguments


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
