"""Adapters that make distributions of torch, or of a user's own part, meet the contracts of distributions.py.

Parts may return any distribution that sums over the dimensions or pixels. This is the only module that inspects the
type of a distribution; all others use the interfaces.
"""

from abc import ABC, abstractmethod
from functools import singledispatch
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, kl_divergence, register_kl
from torch.distributions.constraints import Constraint

from src.models.distributions import CodeDistribution, ImageDistribution


class CarriesNoise(ABC):
    """Any class that has a method `rsample_and_log_prob(noise)`; as with collections.abc.Sized, it need not inherit."""

    @abstractmethod
    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes and their log density, as `CodeDistribution.rsample_and_log_prob` does."""

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        return any("rsample_and_log_prob" in vars(each) for each in other.__mro__)


class FollowsDecoder(ABC):
    """Any posterior that has a method `along`; as with collections.abc.Sized, it need not inherit.

    sizes: the dimensions of each level of its codes, from the top. The prior is that of the top level; the codes of the
        levels below are in units of their priors, so that these are N(0, I)
    """

    sizes: tuple[int, ...]

    @abstractmethod
    def along(self, raw: Tensor, decoder: nn.Module, beside: Tensor) -> Distribution:
        """q(z|x) from the encoder's output (B, in_features), whose samples the decoder's path leads to.

        beside: the numbers (B, features) that a condition puts beside the codes
        """

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        return any("along" in vars(each) for each in other.__mro__)


class KnowsRawOfMean(ABC):
    """Any likelihood that has a method `raw_of_mean(mean)`; as with collections.abc.Sized, it need not inherit."""

    @abstractmethod
    def raw_of_mean(self, mean: Tensor) -> Tensor:
        """mean (C, H, W), in (0, 1) -> the raw numbers (channels C, H, W) at which p(x|z) has it."""

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        return any("raw_of_mean" in vars(each) for each in other.__mro__)


class Forwarding(Distribution):
    """Forwards the whole interface of torch's distributions to the distribution that it wraps."""

    def __init__(self, wrapped: Any) -> None:
        self.wrapped, self.known_factors = wrapped, factors_of(wrapped)
        super().__init__(wrapped.batch_shape, wrapped.event_shape, validate_args=False)

    def __getattr__(self, name: str) -> Any:
        if name == "wrapped":  # not set yet, as during a copy: forwarding it would recurse
            raise AttributeError(name)
        return getattr(self.wrapped, name)

    @property
    def support(self) -> Constraint:
        return self.wrapped.support

    @property
    def mean(self) -> Tensor:
        return self.wrapped.mean

    @property
    def mode(self) -> Tensor:
        return self.wrapped.mode

    @property
    def variance(self) -> Tensor:
        return self.wrapped.variance

    @property
    def stddev(self) -> Tensor:
        return self.wrapped.stddev

    def expand(self, batch_shape: torch.Size, _instance: None = None) -> Distribution:
        return self.wrapped.expand(batch_shape)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 (torch's signature)
        return self.wrapped.sample(sample_shape)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 (torch's signature)
        return self.wrapped.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.wrapped.log_prob(value)

    def cdf(self, value: Tensor) -> Tensor:
        return self.wrapped.cdf(value)

    def icdf(self, value: Tensor) -> Tensor:
        return self.wrapped.icdf(value)

    def entropy(self) -> Tensor:
        return self.wrapped.entropy()

    def factors(self) -> Distribution | None:
        return self.known_factors


@final
class Wrapped(Forwarding, CodeDistribution):
    """Adapts any distribution over codes (..., D). To serve as a posterior it needs `rsample_and_log_prob`."""

    evaluates_any_code = False  # unknown for an arbitrary distribution

    def __init__(self, wrapped: Any) -> None:
        self.has_rsample = carries_noise(wrapped)
        super().__init__(wrapped)

    @property
    def name(self) -> str:
        return self.wrapped.__class__.__name__

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        return self.wrapped.rsample_and_log_prob(noise)


@final
class WrappedImage(Forwarding, ImageDistribution):
    """Adapts any distribution over images (..., C, H, W)."""


@singledispatch
def factors_of(distribution: object) -> Distribution | None:
    """The distributions of single dimensions or pixels whose product a distribution is; None if not known."""
    return None


@factors_of.register
def _(distribution: Independent) -> Distribution:
    return distribution.base_dist


@singledispatch
def carries_noise(distribution: object) -> bool:
    """Whether a distribution maps given noise to samples."""
    return False


@carries_noise.register
def _(distribution: CarriesNoise) -> bool:
    return True


@singledispatch
def apply_posterior(posterior: Any, raw: Tensor, decoder: nn.Module, beside: Tensor) -> Distribution:
    """q(z|x) from the encoder's output, and from the decoder for a posterior that follows it."""
    return posterior(raw)


@apply_posterior.register
def _(posterior: FollowsDecoder, raw: Tensor, decoder: nn.Module, beside: Tensor) -> Distribution:
    return posterior.along(raw, decoder, beside)


@singledispatch
def levels_of(posterior: object) -> tuple[int, ...]:
    """The number of dimensions of each level of a posterior's codes, from the top; empty for codes of one level."""
    return ()


@levels_of.register
def _(posterior: FollowsDecoder) -> tuple[int, ...]:
    return posterior.sizes


@singledispatch
def raw_of_mean(likelihood: object, mean: Tensor) -> Tensor | None:
    """The raw numbers at which a likelihood has a mean (C, H, W); None where it does not say them."""
    return None


@raw_of_mean.register
def _(likelihood: KnowsRawOfMean, mean: Tensor) -> Tensor:
    return likelihood.raw_of_mean(mean)


@singledispatch
def code_distribution(distribution: object) -> CodeDistribution:
    """Adapt what a posterior or a prior returns to CodeDistribution. Raises TypeError if it is no distribution."""
    raise TypeError(f"it gives an object of {distribution.__class__}, and must give a distribution over codes")


@code_distribution.register
def _(distribution: CodeDistribution) -> CodeDistribution:
    return distribution


@code_distribution.register
def _(distribution: Distribution) -> CodeDistribution:
    return Wrapped(distribution)


@singledispatch
def image_distribution(distribution: object) -> ImageDistribution:
    """Adapt what a likelihood returns to ImageDistribution. Raises TypeError if it is no distribution."""
    raise TypeError(f"it gives an object of {distribution.__class__}, and must give a distribution over images")


@image_distribution.register
def _(distribution: ImageDistribution) -> ImageDistribution:
    return distribution


@image_distribution.register
def _(distribution: Distribution) -> ImageDistribution:
    return WrappedImage(distribution)


@register_kl(Wrapped, Wrapped)
def _(q: Wrapped, p: Wrapped) -> Tensor:
    return kl_divergence(q.wrapped, p.wrapped)


@register_kl(Wrapped, CodeDistribution)
def _(q: Wrapped, p: CodeDistribution) -> Tensor:
    return kl_divergence(q.wrapped, p)


@register_kl(CodeDistribution, Wrapped)
def _(q: CodeDistribution, p: Wrapped) -> Tensor:
    return kl_divergence(q, p.wrapped)
