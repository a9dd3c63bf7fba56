"""log p(x) by importance sampling, and posteriors refined for single images. Nats per image; evaluation mode is the
caller's.

Noise is a function of (seed, image, sample): how images and samples are cut into chunks changes no number but by the
rounding of float32.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from src.models.distributions import DiagonalGaussian, FullGaussian
from src.models.vae import VAE
from src.support import noise
from src.training.objectives import Draws

GROUP = 250  # samples of an image that share a generator
DECODED = 500  # codes decoded at once: what stays in a processor's cache
STEPS, SAMPLES, RATE = 100, 4, 0.05  # of `refine`: found to bring the ELBO of MNIST within 0.1 nat of 1,000 steps'
FEW, TOLERATED = 20, 0.05  # effective samples that are too few, and the share of images that may have fewer
Start = tuple[Tensor, Tensor, Tensor]  # the arguments of `gaussian` that refinement begins with


class Proposal(Protocol):
    """What codes are drawn from: any posterior, or the mixture of src/inference/proposals.py."""

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (K, B, D) for standard normal noise of that shape, and their log density (K, B)."""


def elbo(vae: VAE, x: Tensor, q: Distribution, drawn: Tensor) -> Tensor:
    """E_q[log p(x|z)] - KL(q, p(z)), (B,), for any q over codes of the images x, from noise `drawn` (K, B, D)."""
    z, log_q = q.rsample_and_log_prob(drawn)
    draws = Draws(q, vae.prior(), z, log_q, vae.decode(z).log_prob(x))
    return -(draws.recon() + draws.kl("closed"))


@torch.no_grad()
def log_weights(
    vae: VAE, x: Tensor, index: Tensor, samples: int, seed: int, proposal: Proposal | None = None
) -> Tensor:
    """log p(x|z) + log p(z) - log q(z) at `samples` codes z ~ q an image, (samples, B) in float64.

    q is the encoder's posterior, made once, or another `proposal` over codes (B, D); index (B,) of the images x. Under
    autocast it is the decoder alone that is cast.
    """
    full = partial(torch.autocast, x.device.type, enabled=False)
    with full():
        q, p, found = vae.encode(x) if proposal is None else proposal, vae.prior(), []
    for drawn in noise_of(seed, index, samples, vae.latent_dim):
        with full():
            codes, log_q = q.rsample_and_log_prob(drawn.to(x))
            log_ratio = p.log_prob(codes) - log_q
        at_once = max(1, DECODED // len(x))
        for z, ratio in zip(codes.split(at_once), log_ratio.split(at_once), strict=True):
            found.append((vae.decode(z).log_prob(x) + ratio).double())
    return torch.cat(found)


def noise_of(seed: int, index: Tensor, samples: int, dims: int) -> Iterator[Tensor]:
    """Standard normal noise for `samples` draws of each image `index` (B,), in groups (at most GROUP, B, dims)."""
    for group in range(-(-samples // GROUP)):
        drawn = noise.normal(noise.seed_of(seed, "importance", group), index, (GROUP, dims))
        yield drawn.transpose(0, 1)[: samples - group * GROUP]


def nll_of(log_w: Tensor) -> Tensor:
    """-log mean_k w_k, (B,), from log weights (K, B): its mean is above -log p(x), the less so the larger K is
    (Burda et al., 2016)."""
    return math.log(len(log_w)) - log_w.logsumexp(0)


def effective_samples(log_w: Tensor) -> Tensor:
    """(sum w)^2 / sum w^2, (B,), from 1 to K: how many of K samples carry the estimate."""
    return torch.exp(2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0))


def effective_summary(effective: np.ndarray) -> dict[str, float]:
    """The median over images of their effective samples (N,), and the share that has fewer than FEW: it is these few
    that carry an estimate's error, which a median does not show."""
    return {
        "effective_samples": float(np.median(effective)),
        f"effective_samples_under_{FEW}": float((effective < FEW).mean()),
    }


def convergence(log_w: Tensor) -> Tensor:
    """nll_k for each k of `ladder(K)`, from log weights (K, B), as means over their K // k groups; (rungs, B)."""
    rungs = []
    for k in ladder(len(log_w)):
        groups = log_w[: len(log_w) // k * k].unflatten(0, (-1, k))
        rungs.append((math.log(k) - groups.logsumexp(1)).mean(0))
    return torch.stack(rungs)


def ladder(samples: int) -> list[int]:
    """1, 2, 5, 10, 20, ... and at last `samples` itself."""
    steps = [factor * 10**power for power in range(len(str(samples))) for factor in (1, 2, 5)]
    return [*(step for step in steps if step < samples), samples]


def nll(
    vae: VAE, x: Tensor, index: Tensor, samples: int, seed: int, proposal: Proposal | None = None
) -> tuple[Tensor, Tensor]:
    """The estimate of -log p(x) from `samples` codes an image, and how many are effective; (B,) each, float64."""
    log_w = log_weights(vae, x, index, samples, seed, proposal)
    return nll_of(log_w), effective_samples(log_w)


@torch.enable_grad()
def refine(
    vae: VAE, x: Tensor, index: Tensor, seed: int, steps: int = STEPS, full: bool = False, start: Start | None = None
) -> DiagonalGaussian | FullGaussian:
    """The Gaussian q of each image x (B, C, H, W) that maximises its ELBO, found by Adam from the encoder's posterior
    or from another `start`: without the error of amortisation (Cremer et al., 2018). Diagonal, or of `full`
    covariance; over codes (B, D). It is a local maximum: of several modes, the one nearest to where it began.
    """
    if start is None:
        with torch.no_grad():
            start = moments(vae.encode(x), next(noise_of(seed, index, 64, vae.latent_dim)).to(x))
    parameters = [each.clone().requires_grad_() for each in (start if full else start[:2])]
    frozen = [weight for weight in vae.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(parameters, betas=(0.9, 0.99))
    vae.requires_grad_(False)
    try:
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
            drawn = noise.normal(noise.seed_of(seed, "refine", step), index, (SAMPLES // 2, vae.latent_dim))
            drawn = drawn.transpose(0, 1).to(x)
            loss = -elbo(vae, x, gaussian(*parameters), torch.cat([drawn, -drawn])).sum()
            for each, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                each.grad = gradient
            optimizer.step()
    finally:
        for weight in frozen:
            weight.requires_grad_()
    return gaussian(*(each.detach() for each in parameters))


def moments(q: Distribution, drawn: Tensor) -> Start:
    """The arguments of `gaussian` for a posterior: its own if it is one, else (of a flow) those of its draws, with as
    many dimensions as noise `drawn` (K, B, D)."""
    if isinstance(q, FullGaussian):
        scale = q.scale_tril.diagonal(dim1=-2, dim2=-1)
        return q.loc, scale.log(), q.scale_tril / scale[..., None]
    none = drawn.new_zeros(*drawn.shape[1:], drawn.shape[-1])
    if isinstance(q, DiagonalGaussian):
        return q.loc, q.scale.log(), none
    z = q.rsample_and_log_prob(drawn)[0]
    return z.mean(0), z.std(0).log(), none


def gaussian(loc: Tensor, log_scale: Tensor, below: Tensor | None = None) -> DiagonalGaussian | FullGaussian:
    """N(loc, diag(exp(log_scale))^2), or with L = diag(exp(log_scale)) (I + the part of `below` under its diagonal)."""
    if below is None:
        return DiagonalGaussian(loc, log_scale.exp())
    unit = below.tril(-1) + torch.eye(loc.shape[-1], device=loc.device, dtype=loc.dtype)
    return FullGaussian(loc, log_scale.exp()[..., None] * unit)
