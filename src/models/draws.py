"""Samples of a posterior with all densities that an objective needs."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from src.models.distributions import CodeDistribution, ImageDistribution
from src.models.divergences import kl, kl_per_dim, sampled_kl_per_dim

Estimator = Literal["closed", "sample"]  # a KL is computed in closed form where there is one, or estimated from samples


@dataclass(frozen=True)
class Draws:
    """K samples z of q(z|x) for each of B images x, and the densities there, in nats.

    q, p, px: posterior, prior, and p(x|z) at the samples
    z: (K, B, D); log_q, log_px: log q(z|x) and log p(x|z) there, (K, B)
    conditional: of a hierarchy the posterior of each level's code given those above, over codes (K, B, D); else None
    """

    q: CodeDistribution
    p: CodeDistribution
    px: ImageDistribution
    z: Tensor
    log_q: Tensor
    log_px: Tensor
    conditional: CodeDistribution | None = None

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
        """KL(q(z|x), p(z)), (B,): for `closed` in closed form where there is one, otherwise from the samples.

        Of a hierarchy it is the sum of the levels'.
        """
        if self.conditional is not None:
            return self.kl_per_level(estimator).sum(1)
        closed = kl(self.q, self.p) if estimator == "closed" else None
        return self.log_ratio().mean(0) if closed is None else closed

    def kl_per_dim(self, estimator: Estimator) -> Tensor:
        """The KL of each latent dimension, (B, D), whose sum over D is the KL; of a hierarchy that of each level.

        Raises TypeError where posterior or prior does not factorise, or `closed` has no closed form.
        """
        if self.conditional is not None:
            return self.kl_per_level(estimator)
        if estimator == "sample":
            return sampled_kl_per_dim(self.q, self.p, self.z).mean(0)
        return kl_per_dim(self.q, self.p)

    def kl_per_level(self, estimator: Estimator) -> Tensor:
        """The KL of each level of a hierarchy, (B, L), given the samples of the levels above: for `closed` in closed
        form where there is one, otherwise from the samples. Raises TypeError for codes of one level."""
        if self.conditional is None:
            raise TypeError(f"{self.q.name} is of codes of one level")
        sizes, found = self.q.levels, []
        parts = self.conditional.split(sizes), self.p.split(sizes), self.z.split(sizes, -1)
        for q, p, z in zip(*parts, strict=True):
            closed = kl(q, p) if estimator == "closed" else None
            found.append(q.log_prob(z) - p.log_prob(z) if closed is None else closed)
        return torch.stack(found, -1).mean(0)
