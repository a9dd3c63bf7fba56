"""Distributions that torch lacks, or has without what a VAE needs; gaussians.py has the Gaussians."""

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    Transform,
    constraints,
)
from torch.nn import functional

from src.models.bounds import INTO_FLOW, NATS_OF_FLOW, OUT_OF_FLOW, bounded_nats, finite_gradient
from src.models.gaussians import DiagonalGaussian, FullGaussian


class Mixture(MixtureSameFamily):
    """sum_k w_k N_k over (D,), for weights and a batch (K,) of Gaussians."""

    def __init__(self, weights: Categorical, components: DiagonalGaussian | FullGaussian):
        super().__init__(weights, components, validate_args=False)

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 (torch's signature)
        """Of the chosen components alone; torch's samples all of them, hundreds for each that is taken."""
        chosen, each = self.mixture_distribution.sample(sample_shape), self.component_distribution
        noise = torch.randn(*chosen.shape, *self.event_shape, device=each.loc.device, dtype=each.loc.dtype)
        if isinstance(each, FullGaussian):
            return FullGaussian(each.loc[chosen], each.scale_tril[chosen]).rsample_and_log_prob(noise)[0]
        return DiagonalGaussian(each.loc[chosen], each.scale[chosen]).rsample_and_log_prob(noise)[0]


class Flow(Distribution):
    """The distribution of z = f(u) for u ~ base: log p(z) = log base(u) - log |det df/du|; log_prob (...).

    base: over (..., D); f: a bijection of zuko's, whose `call_and_ladj` gives value and log |det|
    """

    arg_constraints = {}

    def __init__(self, base: DiagonalGaussian, f: Transform):
        self.base, self.f = base, f
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """f(mean of the base), (..., D): a typical point; the expectation has no closed form."""
        return self.f(self.base.mean)

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z = f(u) and log p(z), u being the base's sample for standard normal noise (..., D); inverts nothing."""
        u, log_base = self.base.rsample_and_log_prob(noise)
        with torch.autocast(u.device.type, enabled=False):
            z, log_det = self.f.call_and_ladj(u.clamp(-INTO_FLOW, INTO_FLOW))
        z = finite_gradient(z.clamp(-OUT_OF_FLOW, OUT_OF_FLOW), OUT_OF_FLOW)
        return z, log_base - log_det

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 (torch's signature)
        """f of the base's sample."""
        return self.f(self.base.rsample(sample_shape))

    def log_prob(self, z: Tensor) -> Tensor:
        """Inverts f: where f is autoregressive in u, that takes D passes."""
        with torch.autocast(z.device.type, enabled=False):
            u, log_det = self.f.inv.call_and_ladj(z.clamp(-INTO_FLOW, INTO_FLOW))
        return (self.base.log_prob(u) + log_det).clamp(-NATS_OF_FLOW, NATS_OF_FLOW)


class BinaryImage(Independent):
    """prod_i pi_i^x_i (1 - pi_i)^(1 - x_i); logits (..., C, H, W) of pi, log_prob (...)."""

    def __init__(self, logits: Tensor):
        super().__init__(Bernoulli(logits=logits, validate_args=False), 3, validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        """In fewer passes over the pixels than torch's: they cost more than all else about a small model's loss."""
        logits = self.base_dist.logits
        nats = functional.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
        return bounded_nats(-nats.flatten(-3).sum(-1))


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


class GreyLevels(constraints.Constraint):
    """Whole multiples of 1/255 in [0, 1]: an image of 8 bits as it is stored."""

    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        """Whether each pixel is a grey level."""
        level = value * 255
        return ((level - level.round()).abs() < 1e-3) & (level >= 0) & (level <= 255)


class DiscretizedLogistic(Distribution):
    """A logistic distribution rounded to the 256 grey levels, the outer ones taking its tails (Salimans et al., 2017).

    P(k / 255) = F((k + 1/2) / 255) - F((k - 1/2) / 255), F(t) = sigmoid((t - loc) / scale), with F = 0 and 1 beyond the
    levels; loc, scale and log_prob (...).
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = GreyLevels()

    def __init__(self, loc: Tensor, scale: Tensor):
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> "DiscretizedLogistic":
        return DiscretizedLogistic(self.loc.expand(batch_shape), self.scale.expand(batch_shape))

    def log_prob(self, x: Tensor) -> Tensor:
        """By sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), which no tail rounds to zero."""
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
        u = torch.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        drawn = self.loc.detach() + self.scale.detach() * torch.logit(u, eps=1e-7)
        return (drawn * 255).round().clamp(0, 255) / 255
