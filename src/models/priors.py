"""p(z): what codes look like before an image is seen.

A prior is called with the VAE's `encode`, for those that are made of posteriors, and returns a distribution over codes
(D,) with `log_prob` and `sample`; its parameters are trained with the VAE's. One that turns given noise into codes has
`rsample_and_log_prob(noise)` too: objectives that draw from the prior need it. Learned means and scales lie within the
bounds of bounds.py.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution

from src.models import distributions
from src.models.bounds import bounded, bounded_scale
from src.models.distributions import DiagonalGaussian, FullGaussian
from src.support.ranges import Count, Widths, check_arguments

Encode = Callable[[Tensor], Distribution]


@check_arguments
class Standard(nn.Module):
    """p(z) = N(0, I)."""

    def __init__(self, latent_dim: Count):
        super().__init__()
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("ones", torch.ones(latent_dim), persistent=False)

    def forward(self, encode: Encode) -> DiagonalGaussian:
        """Distribution over (D,)."""
        return DiagonalGaussian(self.zeros, self.ones)


@check_arguments
class Mixture(nn.Module):
    """p(z) = sum_k softmax(logits)_k N(z; m_k, diag(s_k^2)), all learned.

    It starts with the moments of N(0, I): means of variance 1 - SPREAD^2 around zero, scales SPREAD.
    """

    SPREAD = 0.7

    def __init__(self, latent_dim: Count, components: Count = 100):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(math.sqrt(1 - self.SPREAD**2) * torch.randn(components, latent_dim))
        self.log_scales = nn.Parameter(torch.full((components, latent_dim), math.log(self.SPREAD)))

    def forward(self, encode: Encode) -> distributions.Mixture:
        """Distribution over (D,)."""
        return mixture(self.logits, DiagonalGaussian(bounded(self.means), *bounded_scale(self.log_scales)))


@check_arguments
class Vamp(nn.Module):
    """p(z) = 1/K sum_k q(z | u_k), the posteriors of K learned pseudo-inputs u_k (Tomczak & Welling, 2018).

    u = sigmoid(logits) stays an image; needs a posterior that is a Gaussian, whose density is known for any code.
    shape: of an image, (C, H, W); components: K
    """

    def __init__(self, shape: Sequence[Count], components: Count = 500):
        super().__init__()
        self.logits = nn.Parameter(torch.randn(components, *shape) - 2)

    def forward(self, encode: Encode) -> distributions.Mixture:
        """Distribution over (D,). Raises ValueError for a posterior that is no Gaussian."""
        q = encode(self.logits.sigmoid())
        if not isinstance(q, DiagonalGaussian | FullGaussian):
            raise ValueError("prior=vamp needs the density of any code under the posteriors it is made of")
        return mixture(torch.zeros(len(self.logits), device=q.mean.device, dtype=q.mean.dtype), q)


@check_arguments
class Flow(nn.Module):
    """z = f(u), u ~ N(0, I): a normalizing flow of affine layers.

    kind: `coupling` (fast both ways), or `autoregressive` (richer a layer; a sample takes D passes)
    transforms: layers of f; hidden: widths of the masked network of each
    """

    def __init__(
        self,
        latent_dim: Count,
        kind: Literal["coupling", "autoregressive"] = "coupling",
        transforms: Count = 4,
        hidden: Widths = (64, 64),
    ):
        super().__init__()
        from src.models.flows import autoregressive  # zuko: only where it is needed

        self.base = Standard(latent_dim)
        # trained from z to u, the direction in which a density takes one pass
        self.to_base = autoregressive(latent_dim, 0, transforms, hidden, passes=2 if kind == "coupling" else None)

    def forward(self, encode: Encode) -> distributions.Flow:
        """Distribution over (D,)."""
        return distributions.Flow(self.base(encode), self.to_base(None).inv)


def mixture(logits: Tensor, components: DiagonalGaussian | FullGaussian) -> distributions.Mixture:
    """sum_k softmax(logits)_k components_k; logits (K,), components a batch (K,) of distributions over (D,)."""
    return distributions.Mixture(Categorical(logits=logits, validate_args=False), components)
