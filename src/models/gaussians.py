"""Gaussians over codes and their mixtures, finite for any output of a network (bounds.py), and the KL of Gaussians."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import final

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    register_kl,
)

from src.models.bounds import NATS, clamp_nats, finite_gradient
from src.models.distributions import CodeDistribution, Covariance


class BoundedNormal(Normal):
    """N(loc, scale^2) over single numbers, with a log_prob that is always finite (bounds.py).

    excess: what `clamp_scale` removed from the logarithm of the scale, which the density adds again
    """

    def __init__(self, loc: Tensor, scale: Tensor, excess: Tensor | None = None) -> None:
        super().__init__(loc, scale, validate_args=False)
        self.excess = excess

    def log_prob(self, value: Tensor) -> Tensor:
        """The log density within the bounds, of the shape of `value`."""
        return clamp_nats(self.unbounded_log_prob(value))

    def unbounded_log_prob(self, value: Tensor) -> Tensor:
        """The log density without bounds: minus infinity where the square of (value - loc) / scale overflows."""
        loc, scale, value = (finite_gradient(each) for each in (self.loc, self.scale, value))
        log_scale = add_excess(scale.log(), self.excess)
        return -((value - loc) ** 2) / (2 * scale**2) - log_scale - math.log(math.sqrt(2 * math.pi))


@final
class DiagonalGaussian(CodeDistribution, Independent):
    """N(loc, diag(scale^2)); loc, scale and `excess` as in BoundedNormal (..., D), log_prob (...)."""

    gaussian_covariance: Covariance | None = "diagonal"

    def __init__(self, loc: Tensor, scale: Tensor, excess: Tensor | None = None) -> None:
        self.loc, self.scale, self.excess, self.reinterpreted_batch_ndims = loc, scale, excess, 1
        Distribution.__init__(self, loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @cached_property
    def base_dist(self) -> BoundedNormal:
        """The distribution of each dimension, made on demand, since a training step does without it."""
        return BoundedNormal(self.loc, self.scale, self.excess)

    @property
    def mean(self) -> Tensor:
        """The mean, (..., D)."""
        return self.loc

    @property
    def is_isotropic(self) -> bool:
        """Whether the mean is zero and all dimensions have one scale."""
        return not self.loc.any() and bool((self.scale == self.scale[..., :1]).all())

    def factors(self) -> BoundedNormal:
        """The distribution of each dimension, (..., D)."""
        return self.base_dist

    def split(self, sizes: Sequence[int]) -> list[CodeDistribution]:
        """The Gaussians of successive parts of the code, of these numbers of dimensions."""
        excess = [None] * len(sizes) if self.excess is None else self.excess.split(list(sizes), -1)
        parts = zip(self.loc.split(list(sizes), -1), self.scale.split(list(sizes), -1), excess, strict=True)
        return [DiagonalGaussian(*part) for part in parts]

    def marginals(self) -> BoundedNormal:
        """The distribution of each dimension, (..., D)."""
        return self.base_dist

    def detached(self) -> "DiagonalGaussian":
        """The same Gaussian without gradients to its parameters."""
        return DiagonalGaussian(self.loc.detach(), self.scale.detach(), detach(self.excess))

    def select(self, rows: Tensor) -> "DiagonalGaussian":
        """The Gaussians of these rows of a batch, (*rows.shape)."""
        return DiagonalGaussian(self.loc[rows], self.scale[rows])

    def quantiles(self, levels: Tensor) -> Tensor:
        """loc + scale sqrt(2) erfinv(2 level - 1), (S, D) for levels (S,)."""
        return Normal(self.loc, self.scale, validate_args=False).icdf(levels[:, None])

    def moments(self, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Its own moments, without sampling; the shape is that of independent dimensions."""
        return self.loc, self.scale.log(), noise.new_zeros(*noise.shape[1:], noise.shape[-1])

    def tensors(self) -> dict[str, Tensor]:
        """Mean and scale."""
        return {"mean": self.loc, "scale": self.scale}

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z) of codes z (..., D), (...)."""
        return clamp_nats(self.base_dist.unbounded_log_prob(z).sum(-1))

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z = loc + scale * noise and log q(z), for standard normal noise (..., D)."""
        half = 0.5 * noise.square() + add_excess(self.scale.log(), self.excess)
        return self.loc + self.scale * noise, -half.sum(-1) - 0.5 * math.log(2 * math.pi) * noise.shape[-1]


@final
class FullGaussian(CodeDistribution, MultivariateNormal):
    """N(loc, L L^T), L = scale_tril; loc (..., D), L (..., D, D) lower triangular, log_prob (...).

    excess: (..., D), what was removed from the logarithm of L's diagonal, as in BoundedNormal
    """

    gaussian_covariance: Covariance | None = "full"

    def __init__(self, loc: Tensor, scale_tril: Tensor, excess: Tensor | None = None) -> None:
        super().__init__(loc, scale_tril=scale_tril, validate_args=False)
        self.excess = excess

    def marginals(self) -> BoundedNormal:
        """The distribution of each dimension, (..., D)."""
        return BoundedNormal(self.loc, clamp_nats(self.scale_tril.square().sum(-1)).sqrt())

    def detached(self) -> "FullGaussian":
        """The same Gaussian without gradients to its parameters."""
        return FullGaussian(self.loc.detach(), self.scale_tril.detach(), detach(self.excess))

    def select(self, rows: Tensor) -> "FullGaussian":
        """The Gaussians of these rows of a batch, (*rows.shape)."""
        return FullGaussian(self.loc[rows], self.scale_tril[rows])

    def moments(self, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Its own moments, without sampling."""
        scale = self.scale_tril.diagonal(dim1=-2, dim2=-1)
        return self.loc, scale.log(), self.scale_tril / scale[..., None]

    def tensors(self) -> dict[str, Tensor]:
        """Mean and Cholesky factor of the covariance."""
        return {"mean": self.mean, "scale_tril": self.scale_tril}

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z) of codes z (..., D), (...); finite even where L^-1 (z - loc) is not."""
        loc, scale, z = (finite_gradient(each) for each in (self.loc, self.scale_tril, z))
        nats = MultivariateNormal(loc, scale_tril=scale, validate_args=False).log_prob(z)
        if self.excess is not None:
            nats = nats - self.excess.sum(-1)
        return torch.where(nats > -NATS, nats, -NATS)  # unlike clamp, this also replaces NaN

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z = loc + L noise and log q(z), for standard normal noise (..., D)."""
        z = self.loc + (self.scale_tril * noise[..., None, :]).sum(-1)  # autocast leaves this product in float32
        half = 0.5 * noise.square() + add_excess(self.scale_tril.diagonal(dim1=-2, dim2=-1).log(), self.excess)
        return z, -half.sum(-1) - 0.5 * math.log(2 * math.pi) * noise.shape[-1]


@final
class GaussianMixture(CodeDistribution, MixtureSameFamily):
    """sum_k w_k N_k over (D,), for weights and a batch (K,) of Gaussians."""

    has_rsample = False

    def __init__(self, weights: Categorical, components: DiagonalGaussian | FullGaussian) -> None:
        self.components = components
        super().__init__(weights, components, validate_args=False)

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        raise TypeError("a mixture turns no given noise into codes, since it has to choose a component")

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 (torch's signature)
        """Draw from the chosen components only; torch's method draws from all, often hundreds, and drops the others."""
        chosen = self.components.select(self.mixture_distribution.sample(sample_shape))
        noise = torch.randn(*chosen.batch_shape, *self.event_shape, device=chosen.loc.device, dtype=chosen.loc.dtype)
        return chosen.rsample_and_log_prob(noise)[0]


Scaled = BoundedNormal | DiagonalGaussian | FullGaussian


def add_excess(log_scale: Tensor, excess: Tensor | None) -> Tensor:
    """The exact logarithm of a scale, from that of the scale within its bounds."""
    return log_scale if excess is None else log_scale + excess


def detach(excess: Tensor | None) -> Tensor | None:
    """The excess without a gradient."""
    return None if excess is None else excess.detach()


@register_kl(FullGaussian, DiagonalGaussian)
def _(q: FullGaussian, p: DiagonalGaussian) -> Tensor:
    """(tr(S_p^-1 L L^T) + |(m_q - m_p) / s_p|^2 - D) / 2 + sum_d log s_p - log L_dd, (...)."""
    spread = (q.scale_tril / p.scale[..., None]).square().sum(-1)
    squares = spread + ((q.loc - p.loc) / p.scale).square()
    log_det = q.scale_tril.diagonal(dim1=-2, dim2=-1).log() - p.scale.log()
    return clamp_nats((0.5 * (squares - 1) - exact_log_ratio(log_det, q, p)).sum(-1))


@register_kl(DiagonalGaussian, DiagonalGaussian)
def _(q: DiagonalGaussian, p: DiagonalGaussian) -> Tensor:
    """sum_d ((s_q^2 + (m_q - m_p)^2) / s_p^2 - 1) / 2 - log(s_q / s_p), (...)."""
    ratio = q.scale / p.scale
    squares = ratio.square() + ((q.loc - p.loc) / p.scale).square()
    return clamp_nats((0.5 * (squares - 1) - exact_log_ratio(ratio.log(), q, p)).sum(-1))


@register_kl(BoundedNormal, BoundedNormal)
def _(q: BoundedNormal, p: BoundedNormal) -> Tensor:
    """((s_q^2 + (m_q - m_p)^2) / s_p^2 - 1) / 2 - log(s_q / s_p), of their shape."""
    ratio = (q.scale / p.scale).pow(2).clamp(1 / NATS, NATS)
    squares = ((q.loc - p.loc) / p.scale).pow(2)
    nats = 0.5 * (ratio + squares - 1 - ratio.log())
    return clamp_nats(-exact_log_ratio(-nats, q, p))


def exact_log_ratio(log_ratio: Tensor, q: Scaled, p: Scaled) -> Tensor:
    """log(s_q / s_p) of the exact scales, from that of the scales within their bounds."""
    if q.excess is not None:
        log_ratio = log_ratio + q.excess
    return log_ratio if p.excess is None else log_ratio - p.excess
