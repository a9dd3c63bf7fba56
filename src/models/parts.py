"""The contracts of the parts that a VAE is made of."""

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from src.models.distributions import CodeDistribution, ImageDistribution


class Posterior(Protocol):
    """A module of posteriors.py: q(z|x) from the `in_features` outputs of the encoder for each image."""

    in_features: int

    def __call__(self, raw: Tensor) -> Distribution:
        """raw (B, in_features) -> distribution over (B, D)."""
        ...


class Prior(Protocol):
    """A module of priors.py: p(z), which may be made of posteriors by the VAE's `encode`."""

    def __call__(self, encode: Callable[[Tensor], CodeDistribution]) -> Distribution:
        """Distribution over (D,); of a hierarchy D is the dimensions of its top level."""
        ...


class Likelihood(Protocol):
    """A module of likelihoods.py: p(x|z) from `channels` outputs of the decoder for each channel of a pixel.

    support: the images that it is a distribution over
    """

    channels: int
    support: Constraint

    def __call__(self, raw: Tensor) -> Distribution:
        """raw (..., channels C, H, W) -> distribution over (..., C, H, W)."""
        ...

    def update(self, px: ImageDistribution, x: Tensor) -> None:
        """Add a training batch x to the statistics for evaluation; only likelihoods that fit each batch need this."""
        ...


class Condition(Protocol):
    """A module of conditions.py: how the parts of a conditional VAE use labels (B,).

    labels: the names of the classes
    planes: the number of channels beside those of an image; features: of numbers beside those of a code
    has_prior: whether it has a prior p(z|y), which replaces that of the VAE
    """

    labels: Sequence[str]
    planes: int
    features: int
    has_prior: bool

    def beside_images(self, y: Tensor) -> Tensor:
        """The channels (B, planes, H, W) that the encoder sees beside images of these labels."""
        ...

    def beside_codes(self, y: Tensor) -> Tensor:
        """The numbers (B, features) that the decoder sees beside codes of these labels."""
        ...

    def prior(self, y: Tensor) -> CodeDistribution:
        """p(z|y), over codes (B, D); of a hierarchy D is the dimensions of its top level."""
        ...

    def carry(self, z: Tensor, y: Tensor, to: Tensor) -> Tensor:
        """The codes (B, D) of the style of z (B, D), codes of images of the labels y, for the labels `to`."""
        ...
