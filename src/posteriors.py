"""q(z | x): heads that turn the encoder's output into a distribution over codes.

A posterior says how many numbers it needs (`in_features`) and is called with them; the distribution it returns has
`mean` (B, D), `log_prob` and `rsample_and_log_prob(noise)`, which carries standard normal noise (K, B, D) to codes.
"""

import torch
from torch import Tensor, nn

from src.distributions import DiagonalGaussian


class Gaussian(nn.Module):
    """q(z | x) = N(mu, diag(exp(logvar))), the encoder giving mu and logvar (Kingma & Welling, 2014)."""

    def __init__(self, latent_dim: int):
        super().__init__()
        self.in_features = 2 * latent_dim

    def forward(self, raw: Tensor) -> DiagonalGaussian:
        """raw (B, 2D) -> distribution over (B, D)."""
        mu, logvar = raw.chunk(2, -1)
        return DiagonalGaussian(mu, torch.exp(0.5 * logvar))
