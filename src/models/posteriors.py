"""q(z | x): heads that turn the encoder's output into a distribution over codes.

A posterior states how many numbers it needs, `in_features`, and is called with them. It returns a CodeDistribution
(distributions.py), which maps standard normal noise (K, B, D) to codes by `rsample_and_log_prob`. Objectives that need
more of it, such as its marginals, raise an error where that is missing. Any finite output of the encoder gives a
distribution with finite densities (bounds.py).
"""

import torch
from torch import Tensor, nn

from src.models import distributions
from src.models.bounds import clamp_location, clamp_scale
from src.models.gaussians import DiagonalGaussian, FullGaussian
from src.support.ranges import Count, Whole, Widths, check_arguments


@check_arguments
class Gaussian(nn.Module):
    """q(z | x) = N(mu, diag(exp(logvar))), the encoder giving mu and logvar (Kingma & Welling, 2014)."""

    def __init__(self, latent_dim: Count) -> None:
        super().__init__()
        self.in_features = 2 * latent_dim

    def forward(self, raw: Tensor) -> DiagonalGaussian:
        """raw (B, 2D) -> distribution over (B, D)."""
        mu, logvar = clamp_location(raw).chunk(2, -1)
        return DiagonalGaussian(mu, *clamp_scale(0.5 * logvar))


@check_arguments
class Full(nn.Module):
    """q(z | x) = N(mu, L L^T), L = diag(exp(logvar / 2)) (I + A), A strictly lower triangular, all from the encoder.

    Entries of A are clamped to [-STEEPEST, STEEPEST]: a correlation of 1 - 5e-9, which float32 rounds to 1.
    """

    STEEPEST = 1e4

    def __init__(self, latent_dim: Count) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.in_features = 2 * latent_dim + latent_dim * (latent_dim - 1) // 2

    def forward(self, raw: Tensor) -> FullGaussian:
        """raw (B, 2D + D(D-1)/2) -> distribution over (B, D)."""
        d = self.latent_dim
        mu, logvar, a = clamp_location(raw).split([d, d, raw.shape[-1] - 2 * d], -1)
        row, column = torch.tril_indices(d, d, -1, device=raw.device)
        unit = torch.eye(d, dtype=raw.dtype, device=raw.device).repeat(raw.shape[0], 1, 1)
        unit[:, row, column] = a.clamp(-self.STEEPEST, self.STEEPEST)
        scale, excess = clamp_scale(0.5 * logvar)
        return FullGaussian(mu, scale[..., None] * unit, excess)


@check_arguments
class Flow(nn.Module):
    """z = f(u; c(x)), u ~ N(mu(x), diag(exp(logvar(x)))): an inverse-autoregressive flow on a Gaussian, with mu, logvar
    and the context c from the encoder (Kingma et al., 2016).

    A sample and its density take one pass. The density of another code would take D passes, so the parts that need it
    (prior=vamp, objective=beta_tc, the estimators stl and dreg) refuse this posterior. `mean` is f(mu), which is not
    the expectation.

    transforms: number of layers of f; hidden: widths of the masked network in each; context: size of c
    """

    def __init__(self, latent_dim: Count, transforms: Count = 2, hidden: Widths = (64,), context: Whole = 16) -> None:
        super().__init__()
        from src.models.flows import autoregressive_transform  # zuko takes a second to import

        self.latent_dim = latent_dim
        self.in_features = 2 * latent_dim + context
        self.base = Gaussian(latent_dim)
        self.f = autoregressive_transform(latent_dim, context, transforms, hidden)

    def forward(self, raw: Tensor) -> distributions.Flow:
        """raw (B, 2D + context) -> distribution over (B, D)."""
        head, context = raw[..., : 2 * self.latent_dim], raw[..., 2 * self.latent_dim :]
        f = self.f(clamp_location(context) if context.shape[-1] else None)
        return distributions.Flow(self.base(head), f, evaluates_any_code=False)
