"""What several networks consist of."""

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

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
