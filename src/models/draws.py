"""Samples of a posterior with all densities that an objective needs."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from torch import Tensor

from src.models.distributions import CodeDistribution, ImageDistribution
from src.models.divergences import kl, kl_per_dim, sampled_kl_per_dim

Estimator = Literal["closed", "sample"]  # a KL is computed in closed form where there is one, or estimated from samples


@dataclass(frozen=True)
class Draws:
    """K samples z of q(z|x) for each of B images x, and the densities there, in nats.

    q, p, px: posterior, prior, and p(x|z) at the samples
    z: (K, B, D); log_q, log_px: log q(z|x) and log p(x|z) there, (K, B)
    """

    q: CodeDistribution
    p: CodeDistribution
    px: ImageDistribution
    z: Tensor
    log_q: Tensor
    log_px: Tensor

    @cached_property
    def log_pz(self) -> Tensor:
        """log p(z), (K, B); computed on demand, since a KL in closed form does without it."""
        return self.p.log_prob(self.z)

    def recon(self) -> Tensor:
        """E_q[-log p(x|z)], (B,)."""
        return -self.log_px.mean(0)

    def log_ratio(self) -> Tensor:
        """log q(z|x) - log p(z), (K, B): an unbiased estimate of KL(q(z|x), p(z)) from each sample."""
        return self.log_q - self.log_pz

    def kl(self, estimator: Estimator) -> Tensor:
        """KL(q(z|x), p(z)), (B,): for `closed` in closed form where there is one, otherwise from the samples."""
        closed = kl(self.q, self.p) if estimator == "closed" else None
        return self.log_ratio().mean(0) if closed is None else closed

    def kl_per_dim(self, estimator: Estimator) -> Tensor:
        """The KL of each latent dimension, (B, D), whose sum over D is the KL.

        Raises TypeError where posterior or prior does not factorise, or `closed` has no closed form.
        """
        if estimator == "closed":
            return kl_per_dim(self.q, self.p)
        return sampled_kl_per_dim(self.q, self.p, self.z).mean(0)
