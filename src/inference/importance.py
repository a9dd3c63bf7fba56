"""log p(x) by importance sampling, and posteriors refined for single images. Nats per image.

The caller puts the VAE in evaluation mode. Noise is a function of (seed, image, sample), so that dividing images and
samples into chunks changes no number but by the rounding of float32.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from src.data.batches import Batch
from src.models.distributions import CodeDistribution
from src.models.gaussians import DiagonalGaussian, FullGaussian
from src.models.vae import VAE
from src.support.noise import Noise

GROUP = 250  # samples of an image that share a generator
NUMBERS = 250_000_000  # of noise at once, a gigabyte
DECODED = 500  # codes decoded at once, few enough to stay in the cache of a processor
# Steps, samples and learning rate of `refine`: the ELBO of MNIST is then within 0.1 nat of that after 1,000 steps.
STEPS, SAMPLES, RATE = 100, 4, 0.05
FEW, TOLERATED = 20, 0.05  # effective samples that are too few, and the share of images that may have fewer
MOMENTS = 64  # samples of a posterior that is no Gaussian, from which its moments are computed
# loc (B, D), log_scale (B, D), and for a full covariance `below` (B, D, D), the arguments of `gaussian`
Parameters = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]


class Proposal(Protocol):
    """The distribution that importance sampling draws codes from: any posterior, or the mixture of proposals.py."""

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (K, B, D) for standard normal noise of that shape, and their log density (K, B)."""
        ...


def elbo(vae: VAE, batch: Batch, q: CodeDistribution, eps: Tensor) -> Tensor:
    """E_q[log p(x|z)] - KL(q, p(z)), (B,), for any q over codes of the images, from noise `eps` (K, B, D)."""
    draws = vae.given(batch.y).draw(batch.x, eps, q)
    return -(draws.recon() + draws.kl("closed"))


@torch.no_grad()
def log_weights(vae: VAE, batch: Batch, samples: int, noise: Noise, proposal: Proposal | None = None) -> Tensor:
    """log p(x|z) + log p(z) - log q(z) at `samples` codes z ~ q for each image, (samples, B) in float64.

    q is the posterior of the encoder, computed once, or another `proposal` over codes (B, D). Under autocast
    the decoder runs in lower precision, and with it the posterior of a hierarchy.
    """
    if proposal is None and len(batch.x) > 1 and GROUP * len(batch.x) * vae.latent_dim > NUMBERS:
        halves = zip(*(each.tensor_split(2) for each in batch), strict=True)
        return torch.cat([log_weights(vae, Batch(*half), samples, noise) for half in halves], 1)
    vae, x = vae.given(batch.y), batch.x
    full_precision = partial(torch.autocast, x.device.type, enabled=False)
    with full_precision():
        q, p, parts = vae.encode(x) if proposal is None else None, vae.prior(), []
    at_once = max(1, DECODED // len(x))
    for eps in sample_noise(noise, batch, samples, vae.latent_dim):
        if proposal is None:
            for each in eps.split(at_once):
                draws = vae.draw(x, each, q, p)
                parts.append((draws.log_px - draws.log_ratio()).double())
            continue
        with full_precision():
            codes, log_q = proposal.rsample_and_log_prob(eps)  # all at once, since a mixture divides them
            log_ratio = p.log_prob(codes) - log_q
        for z, ratio in zip(codes.split(at_once), log_ratio.split(at_once), strict=True):
            parts.append((vae.decode(z).log_prob(x) + ratio).double())
    return torch.cat(parts)


def sample_noise(noise: Noise, batch: Batch, samples: int, dims: int) -> Iterator[Tensor]:
    """Standard normal noise for `samples` codes of each image, in groups (at most GROUP, B, dims)."""
    for group in range(-(-samples // GROUP)):
        eps = noise.at("importance", group).normal(batch.index, GROUP, dims, like=batch.x)
        yield eps[: samples - group * GROUP]


def log_mean_weight(log_w: Tensor) -> Tensor:
    """log mean_k w_k, (B,), from log weights (K, B): its expectation is below log p(x), and approaches it with K
    (Burda et al., 2016)."""
    return log_w.logsumexp(0) - math.log(len(log_w))


def effective_samples(log_w: Tensor) -> Tensor:
    """(sum w)^2 / sum w^2, (B,), from 1 to K: how many of K samples carry the estimate."""
    return torch.exp(2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0))


def effective_summary(effective: np.ndarray) -> dict[str, float]:
    """The median over images of their effective samples (N,), and the share of images that have fewer than FEW.

    These few images cause most of the error of an estimate, which a median does not show.
    """
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
    """1, 2, 5, 10, 20, ... and finally `samples` itself."""
    steps = [factor * 10**power for power in range(len(str(samples))) for factor in (1, 2, 5)]
    return [*(step for step in steps if step < samples), samples]


def nll(vae: VAE, batch: Batch, samples: int, noise: Noise, proposal: Proposal | None = None) -> tuple[Tensor, Tensor]:
    """The estimate of -log p(x) from `samples` codes of each image, and how many are effective; (B,) each, float64."""
    log_w = log_weights(vae, batch, samples, noise, proposal)
    return -log_mean_weight(log_w), effective_samples(log_w)


@torch.no_grad()
def encoder_parameters(vae: VAE, batch: Batch, noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
    """The parameters of the Gaussian that is the encoder's posterior of each image, or has the same moments."""
    eps = next(sample_noise(noise, batch, MOMENTS, vae.latent_dim))
    return vae.given(batch.y).encode(batch.x).moments(eps)


def refine(
    vae: VAE, batch: Batch, noise: Noise, start: Parameters, steps: int = STEPS
) -> DiagonalGaussian | FullGaussian:
    """The Gaussian q of each image that maximises its ELBO, over codes (B, D): free of the error of amortisation
    (Cremer et al., 2018).

    Adam searches it from `start`: two parameters are those of a diagonal Gaussian, three of one with full covariance.
    The result is a local maximum: of several modes, the one nearest to `start`.
    """
    return gaussian(*maximise_elbo(vae, batch, noise, start, steps))


@torch.enable_grad()
def maximise_elbo(vae: VAE, batch: Batch, noise: Noise, start: Parameters, steps: int) -> list[Tensor]:
    """The parameters of `refine`'s Gaussian; the weights of the VAE are not changed."""
    parameters = [each.clone().requires_grad_() for each in start]
    trainable = [weight for weight in vae.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(parameters, betas=(0.9, 0.99))
    vae.requires_grad_(False)
    try:
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
            eps = noise.at("refine", step).normal(batch.index, SAMPLES // 2, vae.latent_dim, like=batch.x)
            loss = -elbo(vae, batch, gaussian(*parameters), torch.cat([eps, -eps])).sum()
            for each, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                each.grad = gradient
            optimizer.step()
    finally:
        for weight in trainable:
            weight.requires_grad_()
    return [each.detach() for each in parameters]


def gaussian(loc: Tensor, log_scale: Tensor, below: Tensor | None = None) -> DiagonalGaussian | FullGaussian:
    """N(loc, diag(exp(log_scale))^2), or with L = diag(exp(log_scale)) (I + the part of `below` under its diagonal)."""
    if below is None:
        return DiagonalGaussian(loc, log_scale.exp())
    return full_gaussian(loc, log_scale, below)


def full_gaussian(loc: Tensor, log_scale: Tensor, below: Tensor) -> FullGaussian:
    """N(loc, L L^T) with L = diag(exp(log_scale)) (I + the part of `below` under its diagonal)."""
    unit = below.tril(-1) + torch.eye(loc.shape[-1], device=loc.device, dtype=loc.dtype)
    return FullGaussian(loc, log_scale.exp()[..., None] * unit)
