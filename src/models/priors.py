"""p(z): the distribution of codes before an image is seen.

A prior is called with the VAE's `encode`, which priors made of posteriors need, and returns a distribution over codes
(D,): a CodeDistribution (distributions.py), or any distribution of torch that sums over the dimensions, such as
Independent. Its parameters are trained with those of the VAE. Objectives that draw from the prior need a
CodeDistribution that maps noise to codes (`has_rsample`). Learned means and scales are kept within the bounds of
bounds.py.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from src.models.bounds import clamp_location, clamp_scale
from src.models.distributions import CodeDistribution
from src.models.distributions import Flow as FlowDistribution
from src.models.gaussians import DiagonalGaussian, FullGaussian, GaussianMixture
from src.support.ranges import Count, Widths, check_arguments

Encode = Callable[[Tensor], CodeDistribution]


@check_arguments
class Standard(nn.Module):
    """p(z) = N(0, I)."""

    def __init__(self, latent_dim: Count) -> None:
        super().__init__()
        self.zeros: Tensor
        self.ones: Tensor
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("ones", torch.ones(latent_dim), persistent=False)

    def forward(self, encode: Encode) -> DiagonalGaussian:
        """Distribution over (D,)."""
        return DiagonalGaussian(self.zeros, self.ones)


@check_arguments
class Mixture(nn.Module):
    """p(z) = sum_k softmax(logits)_k N(z; m_k, diag(s_k^2)), all learned.

    Its initial moments are those of N(0, I): means of variance 1 - SPREAD^2 around zero, scales SPREAD.
    """

    SPREAD = 0.7

    def __init__(self, latent_dim: Count, components: Count = 100) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(math.sqrt(1 - self.SPREAD**2) * torch.randn(components, latent_dim))
        self.log_scales = nn.Parameter(torch.full((components, latent_dim), math.log(self.SPREAD)))

    def forward(self, encode: Encode) -> GaussianMixture:
        """Distribution over (D,)."""
        return mixture(self.logits, DiagonalGaussian(clamp_location(self.means), *clamp_scale(self.log_scales)))


@check_arguments
class Vamp(nn.Module):
    """p(z) = 1/K sum_k q(z | u_k), the posteriors of K learned pseudo-inputs u_k (Tomczak & Welling, 2018).

    u = sigmoid(logits) is always an image. The posterior must be a Gaussian, whose density is known for any code.

    shape: of an image, (C, H, W); components: K
    """

    def __init__(self, shape: Sequence[Count], components: Count = 500) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(components, *shape) - 2)

    def forward(self, encode: Encode) -> GaussianMixture:
        """Distribution over (D,). Raises ValueError for a posterior that is no Gaussian."""
        q = encode(self.logits.sigmoid())
        if q.gaussian_covariance is None:
            raise ValueError("prior=vamp needs the density of any code under the posteriors it is made of")
        weights = torch.zeros(len(self.logits), device=q.mean.device, dtype=q.mean.dtype)
        return mixture(weights, cast(DiagonalGaussian | FullGaussian, q))


@check_arguments
class Flow(nn.Module):
    """z = f(u), u ~ N(0, I): a normalizing flow of affine layers.

    kind: `coupling` (fast in both directions), or `autoregressive` (richer layers; a sample takes D passes)
    transforms: number of layers of f; hidden: widths of the masked network in each
    """

    def __init__(
        self,
        latent_dim: Count,
        kind: Literal["coupling", "autoregressive"] = "coupling",
        transforms: Count = 4,
        hidden: Widths = (64, 64),
    ) -> None:
        super().__init__()
        from src.models.flows import autoregressive_transform  # zuko takes a second to import

        self.base = Standard(latent_dim)
        # the network computes u from z, so that a density takes one pass
        self.to_base = autoregressive_transform(
            latent_dim, 0, transforms, hidden, passes=2 if kind == "coupling" else None
        )

    def forward(self, encode: Encode) -> FlowDistribution:
        """Distribution over (D,)."""
        return FlowDistribution(self.base(encode), self.to_base(None).inv, evaluates_any_code=True)


def mixture(logits: Tensor, components: DiagonalGaussian | FullGaussian) -> GaussianMixture:
    """sum_k softmax(logits)_k components_k; logits (K,), components a batch (K,) of distributions over (D,)."""
    return GaussianMixture(Categorical(logits=logits, validate_args=False), components)
