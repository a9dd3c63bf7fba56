"""Distributions that torch lacks, or has without what a VAE needs."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, constraints


class DiagonalGaussian(Independent):
    """N(mean, diag(scale^2)); mean and scale (..., D), log_prob (...)."""

    def __init__(self, mean: Tensor, scale: Tensor):
        super().__init__(Normal(mean, scale, validate_args=False), 1, validate_args=False)

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z = mean + scale * noise and log q(z), for standard normal noise (..., D)."""
        scale = self.base_dist.scale
        log_prob = -0.5 * noise.square() - scale.log() - 0.5 * math.log(2 * math.pi)
        return self.base_dist.loc + scale * noise, log_prob.sum(-1)


class ContinuousBernoulli(Distribution):
    """p(x) = exp(eta x) eta / (exp(eta) - 1) on [0, 1], with eta the logit (Loaiza-Ganem & Cunningham, 2019).

    torch's own class clamps the probability, so that beyond |eta| = 16 (in float32) its density does not integrate
    to one. Here every formula is written in eta and symmetric about x = 1/2, exact at any eta, zero included.
    """

    arg_constraints = {"logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, logits: Tensor):
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> "ContinuousBernoulli":
        return ContinuousBernoulli(self.logits.expand(batch_shape))

    def log_prob(self, x: Tensor) -> Tensor:
        """eta (x - 1/2) - log(sinh(a) / a) with a = eta / 2."""
        a = self.logits.abs() / 2
        series = a.square() / 6 - a.pow(4) / 180 + a.pow(6) / 2835
        large = a.clamp(min=0.1)
        exact = large + torch.log1p(-torch.exp(-2 * large)) - torch.log(2 * large)
        return self.logits * (x - 0.5) - torch.where(a < 0.1, series, exact)

    @property
    def mean(self) -> Tensor:
        """1 / (1 - exp(-eta)) - 1 / eta."""
        a = self.logits.abs()
        large = a.clamp(min=0.1)
        exact = -1 / torch.expm1(-large) - 1 / large - 0.5
        series = a / 12 - a.pow(3) / 720 + a.pow(5) / 30240
        return 0.5 + torch.where(a < 0.1, series, exact) * self.logits.sign()

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 (torch's signature)
        """The inverse of the distribution function at uniform noise."""
        u = torch.rand(self._extended_shape(sample_shape), dtype=self.logits.dtype, device=self.logits.device)
        a = self.logits.abs()
        large = a.clamp(min=1e-3)
        exact = 1 + torch.log(u + (1 - u) * torch.exp(-large)) / large
        rising = torch.where(a < 1e-3, u + a * u * (1 - u) / 2, exact)
        return torch.where(self.logits < 0, 1 - rising, rising)
