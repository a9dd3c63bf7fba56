"""The contracts of the distributions that the parts of a VAE return; adapters.py makes those of torch meet them.

Objectives, inference and tasks use these interfaces and never inspect types: what a distribution lacks is None or
False.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, final

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from src.models.bounds import INTO_FLOW, NATS_OF_FLOW, OUT_OF_FLOW, finite_gradient

Covariance = Literal["diagonal", "full"]


class Descent(NamedTuple):
    """Codes of a hierarchy of levels, from one pass down.

    z: (K, B, D), the levels side by side, from the top
    conditional: the distribution of the code of each level given those above, over (K, B, D): log_prob is that of all
    raw: the output of the decoder there, (K, B, ...)
    """

    z: Tensor
    conditional: "CodeDistribution"
    raw: Tensor


class CodeDistribution(Distribution, ABC):
    """A distribution over codes (..., D): a posterior q(z|x) of B images, (B, D), or a prior p(z), (D,).

    Like any distribution of torch, it has `sample(shape)`, `mean` (..., D), which may be a typical point where the
    expectation has no closed form, and `log_prob(z)` (...), which sums over the dimensions.

    has_rsample: whether `rsample_and_log_prob` can map noise to codes
    evaluates_any_code: whether `log_prob` is cheap for codes of any origin, and broadcasts over them
    gaussian_covariance: `diagonal` or `full` for a Gaussian, otherwise None
    levels: the number of dimensions of each level of a hierarchy, from the top; empty for codes of one level
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType] (torch declares a property)
    has_rsample = True
    evaluates_any_code = True
    gaussian_covariance: Covariance | None = None
    levels: tuple[int, ...] = ()

    @property
    def is_isotropic(self) -> bool:
        """Whether it is centred at zero and the same in all directions, as N(0, I)."""
        return False

    @property
    def name(self) -> str:
        """The name of the distribution in messages."""
        return self.__class__.__name__

    @abstractmethod
    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (K, ..., D) for standard normal noise of that shape, and their log density (K, ...).

        Raises TypeError where `has_rsample` is False.
        """

    def descend(self, noise: Tensor) -> Descent | None:
        """Codes for standard normal noise (K, B, D) and the decoder's output there, of a posterior that follows the
        decoder's path; otherwise None."""
        return None

    def factors(self) -> Distribution | None:
        """The distributions of single dimensions, over (..., D) numbers, if this is their product; otherwise None."""
        return None

    def split(self, sizes: Sequence[int]) -> "list[CodeDistribution]":
        """The distributions of successive parts of the code, of these numbers of dimensions, whose product this is.

        Raises TypeError where it is no such product.
        """
        raise TypeError(f"{self.name} is no product of distributions of the levels")

    def marginals(self) -> Distribution | None:
        """The distribution of each dimension by itself, over (..., D) numbers; None where it has no closed form."""
        return None

    def detached(self) -> "CodeDistribution | None":
        """The same distribution without gradients to its parameters; None where that is not available."""
        return None

    def quantiles(self, levels: Tensor) -> Tensor | None:
        """The quantiles of a distribution over (D,) in each dimension, (S, D) for levels (S,); None without a closed
        form."""
        return None

    def moments(self, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (..., D), logarithm of the scale (..., D) and shape (..., D, D) of a Gaussian with the same moments.

        The shape is L / diag(L) of the Cholesky factor L, of which only the part below the diagonal counts. A
        distribution that is no Gaussian takes the moments of its samples for the standard normal `noise` (K, ..., D),
        as if its dimensions were independent.
        """
        z, _ = self.rsample_and_log_prob(noise)
        return z.mean(0), z.std(0).log(), noise.new_zeros(*noise.shape[1:], noise.shape[-1])

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that describe the distribution to another program, by name: mean, and scale of a Gaussian."""
        return {"mean": self.mean}


class ImageDistribution(Distribution, ABC):
    """A distribution over images (..., C, H, W): p(x|z) at codes of the batch shape (...).

    Like any distribution of torch, it has `mean`, `sample()` and `log_prob(x)` (...), which sums over the pixels.

    fits_batch: whether `log_prob(x)` takes its scale from the batch x. This is exact only for objectives that weight
        all samples equally, and the likelihood must be updated after each training step
    averages_draws: whether `mean` is an average of draws, since it has no closed form
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]
    fits_batch = False
    averages_draws = False

    @abstractmethod
    def factors(self) -> Distribution | None:
        """The distributions of single pixels whose product this is; None where pixels depend on each other."""

    def typical(self) -> Tensor:
        """An image for each code, (..., C, H, W): the mean, or a single draw where the mean is a blurred average."""
        return self.sample() if self.averages_draws else self.mean


@final
class Flow(CodeDistribution):
    """The distribution of z = f(u) for u ~ base: log p(z) = log base(u) - log |det df/du|; log_prob (...).

    base: over (..., D); f: a bijection of zuko's, whose `call_and_ladj` gives value and log |det|
    evaluates_any_code: False where f is autoregressive in u, so that inverting it takes D passes
    """

    def __init__(self, base: CodeDistribution, f: Any, evaluates_any_code: bool) -> None:
        self.base, self.f, self.evaluates_any_code = base, f, evaluates_any_code
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
        """f of a sample of the base."""
        return self.f(self.base.rsample(sample_shape))

    def log_prob(self, z: Tensor) -> Tensor:
        """The density at f^-1(z), which takes D passes where f is autoregressive in u."""
        with torch.autocast(z.device.type, enabled=False):
            u, log_det = self.f.inv.call_and_ladj(z.clamp(-INTO_FLOW, INTO_FLOW))
        return (self.base.log_prob(u) + log_det).clamp(-NATS_OF_FLOW, NATS_OF_FLOW)


@final
class FactorisedImage(ImageDistribution, Independent):
    """prod_i p_i(x_i) over the pixels of images (..., C, H, W), from a distribution of single pixels."""

    def __init__(self, pixels: Distribution, fits_batch: bool = False) -> None:
        self.fits_batch = fits_batch
        super().__init__(pixels, 3, validate_args=False)

    def factors(self) -> Distribution:
        return self.base_dist
