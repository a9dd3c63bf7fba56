"""Distributions that torch lacks, or has without what a VAE needs."""

import math
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, constraints, register_kl
from torch.nn import functional


class DiagonalGaussian(Independent):
    """N(loc, diag(scale^2)); loc and scale (..., D), log_prob (...)."""

    def __init__(self, loc: Tensor, scale: Tensor):
        self.loc, self.scale, self.reinterpreted_batch_ndims = loc, scale, 1
        Distribution.__init__(self, loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @cached_property
    def base_dist(self) -> Normal:
        """Of each dimension. Made when it is asked for: a training step does without."""
        return Normal(self.loc, self.scale, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(..., D)."""
        return self.loc

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z = loc + scale * noise and log q(z), for standard normal noise (..., D)."""
        half = 0.5 * noise.square() + self.scale.log()
        return self.loc + self.scale * noise, -half.sum(-1) - 0.5 * math.log(2 * math.pi) * noise.shape[-1]


@register_kl(DiagonalGaussian, DiagonalGaussian)
def _(q: DiagonalGaussian, p: DiagonalGaussian) -> Tensor:
    """sum_d ((s_q^2 + (m_q - m_p)^2) / s_p^2 - 1) / 2 - log(s_q / s_p), (...)."""
    ratio = q.scale / p.scale
    squares = ratio.square() + ((q.loc - p.loc) / p.scale).square()
    return (0.5 * (squares - 1) - ratio.log()).sum(-1)


class BinaryImage(Independent):
    """prod_i pi_i^x_i (1 - pi_i)^(1 - x_i); logits (..., C, H, W) of pi, log_prob (...)."""

    def __init__(self, logits: Tensor):
        super().__init__(Bernoulli(logits=logits, validate_args=False), 3, validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        """In fewer passes over the pixels than torch's: they cost more than all else about a small model's loss."""
        logits = self.base_dist.logits
        nats = functional.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
        return -nats.flatten(-3).sum(-1)


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
