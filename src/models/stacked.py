"""p(z) of a hierarchy: any prior of the top level, and N(0, I) of the levels below, in units of their priors."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from src.models.distributions import CodeDistribution
from src.models.gaussians import DiagonalGaussian


def stack(top: CodeDistribution, sizes: Sequence[int], like: Tensor) -> "Stacked":
    """The prior of all levels, of these dimensions from the top, from that of the top level; of the device and type of
    `like`.

    Raises ValueError for a distribution over codes of another size than the top level's.
    """
    if top.event_shape != (sizes[0],):
        raise ValueError(
            f"the prior is over codes of the shape {tuple(top.event_shape)}, and those of the top level, which it is "
            f"the prior of, have ({sizes[0]},)"
        )
    zeros = like.new_zeros(*top.batch_shape, sum(sizes[1:]))
    return Stacked(top, DiagonalGaussian(zeros, torch.ones_like(zeros)))


@final
class Stacked(CodeDistribution):
    """p(z) = p(z_1) p(z_below) over codes (..., D), the numbers of z_1 before the others."""

    def __init__(self, top: CodeDistribution, below: DiagonalGaussian) -> None:
        self.top, self.below = top, below
        self.sizes = [top.event_shape[-1], below.event_shape[-1]]
        self.has_rsample, self.evaluates_any_code = top.has_rsample, top.evaluates_any_code
        super().__init__(top.batch_shape, torch.Size([sum(self.sizes)]), validate_args=False)

    @property
    def is_isotropic(self) -> bool:
        """Whether the top's is N(0, I), too."""
        return self.top.is_isotropic and bool((self.top.stddev == 1).all())

    @property
    def mean(self) -> Tensor:
        """The means of both, (..., D)."""
        return torch.cat([self.top.mean, self.below.mean], -1)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 (torch's signature)
        """Codes of both, (..., D)."""
        return torch.cat([self.top.sample(sample_shape), self.below.sample(sample_shape)], -1)

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (K, ..., D) for standard normal noise of that shape, and their log density (K, ...)."""
        parts = zip((self.top, self.below), noise.split(self.sizes, -1), strict=True)
        (z, log_p), (z_below, log_below) = (part.rsample_and_log_prob(its) for part, its in parts)
        return torch.cat([z, z_below], -1), log_p + log_below

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) of codes z (..., D), (...)."""
        z_top, z_below = z.split(self.sizes, -1)
        return self.top.log_prob(z_top) + self.below.log_prob(z_below)

    def split(self, sizes: Sequence[int]) -> list[CodeDistribution]:
        """The distributions of the levels, whose dimensions are `sizes`."""
        return [self.top, *self.below.split(sizes[1:])]
