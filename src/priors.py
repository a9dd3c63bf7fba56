"""p(z): what codes look like before an image is seen."""

import torch
from torch import nn

from src.distributions import DiagonalGaussian


class Standard(nn.Module):
    """p(z) = N(0, I)."""

    def __init__(self, latent_dim: int):
        super().__init__()
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("ones", torch.ones(latent_dim), persistent=False)

    def forward(self) -> DiagonalGaussian:
        """Distribution over (D,)."""
        return DiagonalGaussian(self.zeros, self.ones)
