"""Distributions over images that torch lacks, or that it computes in more passes over the pixels than needed."""

from typing import final

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, constraints
from torch.nn import functional

from src.models.bounds import clamp_nats
from src.models.distributions import ImageDistribution

FLOOR = 1 / 512  # lower bound of a pixel's scale: half the distance of two gray levels


@final
class BinaryImage(ImageDistribution, Independent):
    """prod_i pi_i^x_i (1 - pi_i)^(1 - x_i); logits (..., C, H, W) of pi, log_prob (...)."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(Bernoulli(logits=logits, validate_args=False), 3, validate_args=False)

    def factors(self) -> Bernoulli:
        """The distributions of single pixels."""
        return self.base_dist

    def log_prob(self, x: Tensor) -> Tensor:
        """Compute log p(x) in fewer passes over the pixels than torch: for a small model they dominate the loss."""
        logits = self.base_dist.logits
        nats = functional.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
        return clamp_nats(-nats.flatten(-3).sum(-1))


class ContinuousBernoulli(Distribution):
    """p(x) = exp(eta x) eta / (exp(eta) - 1) on [0, 1], with eta the logit (Loaiza-Ganem & Cunningham, 2019).

    torch's own class clamps the probability, so that beyond |eta| = 16 (in float32) its density does not integrate
    to one. Here every formula is written in eta and symmetric about x = 1/2, exact at any eta, zero included.
    """

    has_rsample = True

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        return {"logits": constraints.real}

    @property
    def support(self) -> constraints.Constraint:
        return constraints.unit_interval

    def __init__(self, logits: Tensor) -> None:
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


class GreyLevels(constraints.Constraint):
    """Whole multiples of 1/255 in [0, 1]: the levels of an image of 8 bits a channel."""

    event_dim = 0
    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        """Whether each pixel is a gray level."""
        level = value * 255
        return ((level - level.round()).abs() < 1e-3) & (level >= 0) & (level <= 255)


class DiscretizedLogistic(Distribution):
    """A logistic distribution rounded to the 256 gray levels, the outer ones taking its tails (Salimans et al., 2017).

    P(k / 255) = F((k + 1/2) / 255) - F((k - 1/2) / 255), F(t) = sigmoid((t - loc) / scale), with F = 0 and 1 beyond the
    levels; loc, scale and log_prob (...).
    """

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        return {"loc": constraints.real, "scale": constraints.positive}

    @property
    def support(self) -> constraints.Constraint:
        return GreyLevels()

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> "DiscretizedLogistic":
        return DiscretizedLogistic(self.loc.expand(batch_shape), self.scale.expand(batch_shape))

    def log_prob(self, x: Tensor) -> Tensor:
        """log P(x), from sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), nonzero in the tails."""
        half = 0.5 / (255 * self.scale)
        centred = (x - self.loc) / self.scale
        below, above = functional.logsigmoid(centred + half), functional.logsigmoid(half - centred)
        inside = below + above + torch.log(-torch.expm1(-2 * half))
        return torch.where(x < 0.5 / 255, below, torch.where(x > 254.5 / 255, above, inside))

    @property
    def mean(self) -> Tensor:
        """The integral of 1 - F over [0, 1]: the levels' mean to within half a level."""
        softplus = functional.softplus
        return self.scale * (softplus(self.loc / self.scale) - softplus((self.loc - 1) / self.scale))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 (torch's signature)
        """A logistic draw, rounded to its level."""
        return self.from_uniform(
            torch.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        )

    def from_uniform(self, noise: Tensor) -> Tensor:
        """The draw of noise (...), uniform on [0, 1)."""
        drawn = self.loc.detach() + self.scale.detach() * torch.logit(noise, eps=1e-7)
        return (drawn * 255).round().clamp(0, 255) / 255


class BatchFittedNormal(Normal):
    """A Normal of pixels whose log_prob(x) has the one scale that maximises the batch's mean of log p(x).

    The scale is detached. At its optimum the mean of log p(x) does not depend on it to first order, so an objective
    that averages log p over samples and images has the same gradient as through the scale. IWAE weights its samples
    unequally, and therefore refuses the likelihood.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value) with the scale of the batch, of the shape of `value`."""
        return Normal(self.loc, batch_variance(self.loc, value).sqrt(), validate_args=False).log_prob(value)


def batch_variance(mean: Tensor, x: Tensor) -> Tensor:
    """The mean squared error of all pixels of a batch x (B, C, H, W), at least FLOOR^2; a scalar without a gradient."""
    return (x - mean).detach().square().mean().clamp(min=FLOOR**2)
