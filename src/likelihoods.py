"""p(x | z): heads that turn the decoder's output into a distribution over images.

A likelihood says how many numbers a pixel needs (`channels`, for each channel of the image) and what images it is a
distribution over (`support`: `boolean` for binary ones, else greys in [0, 1]); it is called with the decoder's output.
The scale of a density is kept above FLOOR: a pixel that never varies, as MNIST's border, has no finite optimum.
"""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, constraints

from src.distributions import BinaryImage
from src.distributions import ContinuousBernoulli as ContinuousBernoulliDistribution

FLOOR = 1 / 512  # half the distance of two grey levels


class Bernoulli(nn.Module):
    """p(x | z) = prod_i pi_i^x_i (1 - pi_i)^(1 - x_i) for binary images, raw = logit(pi)."""

    channels = 1
    support = constraints.boolean

    def forward(self, raw: Tensor) -> BinaryImage:
        """raw (..., C, H, W) -> distribution over the same shape, log_prob (...)."""
        return BinaryImage(raw)


class ContinuousBernoulli(nn.Module):
    """p(x | z) = prod_i C(pi_i) pi_i^x_i (1 - pi_i)^(1 - x_i) for greys in [0, 1] (Loaiza-Ganem & Cunningham, 2019).

    Near 0 and 1 it falls off over a distance of 1 / |logit|, which is kept above FLOOR.
    """

    channels = 1
    support = constraints.unit_interval

    def forward(self, raw: Tensor) -> Independent:
        """raw (..., C, H, W) -> distribution over the same shape, log_prob (...)."""
        # bent rather than cut off: a pixel that went too far must find back
        logits = torch.tanh(raw * FLOOR) / FLOOR
        return Independent(ContinuousBernoulliDistribution(logits), 3, validate_args=False)


class Gaussian(nn.Module):
    """p(x | z) = N(x; raw, sigma^2 I) with one learned sigma, FLOOR + exp(log_sigma) (sigma-VAE, Rybkin et al., 2021).

    sigma: its value before training, in units of the grey range.
    """

    channels = 1
    support = constraints.real

    def __init__(self, sigma: float = 0.3):
        super().__init__()
        if sigma <= FLOOR:
            raise ValueError(f"sigma must be above {FLOOR:.4f}, half a grey level, got {sigma}")
        self.log_sigma = nn.Parameter(torch.tensor(math.log(sigma - FLOOR)))

    def forward(self, raw: Tensor) -> Independent:
        """raw (..., C, H, W) -> distribution over the same shape, log_prob (...)."""
        sigma = FLOOR + self.log_sigma.exp()
        return Independent(Normal(raw, sigma, validate_args=False), 3, validate_args=False)
