"""What is minimised. An objective is an equation: it holds no state and draws no random numbers.

    objective(vae, x, noise, weight) -> Terms    x (B, C, H, W); noise (K, B, D), standard normal, K = objective.samples

All terms are nats per image, (B,). Handing the noise in (rather than drawing it inside) lets the caller give noise its
address, share it between objectives, and cut it for several processes. `weight` is the schedule's value.
"""

from typing import Literal, NamedTuple

from torch import Tensor
from torch.distributions import Distribution

from src.divergences import kl, sampled_kl
from src.vae import VAE


class Terms(NamedTuple):
    """loss, recon, kl: (B,) in nats per image; q: the posterior they were computed with."""

    loss: Tensor
    recon: Tensor
    kl: Tensor
    q: Distribution


class ELBO:
    """loss = E_q[-log p(x|z)] + beta KL(q(z|x), p(z)): the negative ELBO at beta = 1 (Kingma & Welling, 2014),
    the beta-VAE (Higgins et al., 2017) otherwise.

    samples: K draws of z an image, over which the reconstruction is averaged
    kl: `closed` form where there is one, or always from the `sample`
    """

    def __init__(self, beta: float = 1.0, samples: int = 1, kl: Literal["closed", "sample"] = "closed"):
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        if kl not in ("closed", "sample"):
            raise ValueError(f"kl must be closed or sample, got {kl}")
        self.beta, self.samples, self.kl = beta, samples, kl

    def __call__(self, vae: VAE, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
        q, p = vae.encode(x), vae.prior()
        z, log_q = q.rsample_and_log_prob(noise)
        recon = -vae.decode(z).log_prob(x).mean(0)
        divergence = kl(q, p, z, log_q) if self.kl == "closed" else sampled_kl(p, z, log_q)
        divergence = divergence.mean(0) if divergence.dim() == 2 else divergence
        return Terms(recon + self.beta * weight * divergence, recon, divergence, q)
