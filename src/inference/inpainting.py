"""p(z | visible pixels) and p(missing pixels | visible pixels), by importance sampling. Nats per image.

x (B, C, H, W) are images, `visible` (B, 1, H, W) says what is seen of them. Evaluation mode is the caller's; noise is a
function of (seed, index of the image). The likelihood must factorise over the pixels, as all do.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from src.inference.importance import DECODED, effective_samples, gaussian
from src.models.distributions import FullGaussian
from src.models.vae import VAE
from src.support import noise

ROUNDS = 5  # of filling and encoding, before a fit begins
STEPS, RATE, SPREAD = 300, 0.05, 0.3  # of the fit: with twice the steps log p(visible) of MNIST is no better


class Filled(NamedTuple):
    """What is known of the missing pixels of B images.

    nll: -log p(missing | visible), (B,); means: of p(x|z), (draws, B, C, H, W), at draws of p(z|visible); effective:
    how many of the samples that these were chosen from carry weight, (B,)
    """

    nll: Tensor
    means: Tensor
    effective: Tensor


def filled(
    vae: VAE,
    x: Tensor,
    whole: Distribution,
    visible: Tensor,
    donors: Tensor,
    index: Tensor,
    seed: int,
    samples: int,
    draws: int,
) -> Filled:
    """Samples codes from Gaussians fitted to p(z|visible) and, as many, from `whole`, a fit to p(z|x), and weighs them.

    log p(x) - log p(visible) is taken from both: `whole` has seen what is missing, so neither density can lose the
    codes that explain the whole image, as one of them alone would, in the model's favour. The draws of p(z|visible) are
    resampled from the samples of its own fits only. `donors` (J, B, C, H, W): where the J fits begin.
    """
    fits = fitted(vae, x, visible, started(vae, x, visible, donors, index, seed), index, seed)
    with torch.no_grad():
        p, each = vae.prior(), -(-samples // (2 * len(donors)))
        drawn = normal(seed, "samples", index, (each, 2, len(donors), vae.latent_dim), x).movedim(0, 3)
        blind = fits.rsample_and_log_prob(drawn[:, 0])[0].flatten(0, 1)
        z = torch.cat([blind, whole.rsample_and_log_prob(drawn[:, 1].flatten(0, 1))[0]])
        log_fits = (fits.log_prob(z[:, None]).logsumexp(1) - math.log(len(donors))).double()
        log_both = torch.logaddexp(log_fits, whole.log_prob(z).double()) - math.log(2)
        log_seen, log_missing = log_likelihoods(vae, x, z, visible)
        joint = log_seen + p.log_prob(z).double()
        nll = (joint - log_both).logsumexp(0) - (joint - log_both + log_missing).logsumexp(0)
        log_w = (joint - log_fits)[: len(blind)]
        codes = resampled(blind, log_w, normal(seed, "draws", index, (draws,), x).T)
        means = torch.cat([vae.decode(part).mean for part in codes.split(max(1, DECODED // len(x)))])
    return Filled(nll, means, effective_samples(log_w))


@torch.no_grad()
def started(vae: VAE, x: Tensor, visible: Tensor, donors: Tensor, index: Tensor, seed: int) -> Tensor:
    """Codes (J, B, D) to begin with: `donors` fill what is missing, and then by turns the encoder says a code of the
    filled image and the decoder what is missing (Rezende et al., 2014)."""
    fill = donors
    for step in range(ROUNDS):
        q = vae.encode(torch.where(visible, x, fill).flatten(0, 1))
        drawn = normal(seed, f"start {step}", index, (len(donors), vae.latent_dim), x).transpose(0, 1)
        z = q.rsample_and_log_prob(drawn.flatten(0, 1))[0].unflatten(0, drawn.shape[:2])
        fill = vae.decode(z).mean
    return z


@torch.enable_grad()
def fitted(vae: VAE, x: Tensor, visible: Tensor, starts: Tensor, index: Tensor, seed: int) -> FullGaussian:
    """The Gaussians over codes (J, B, D) that from `starts` on maximise E_q[log p(visible|z)] - KL(q, p(z)), by Adam
    and the gradient without the score (Roeder et al., 2017)."""
    with torch.no_grad():
        p = vae.prior()
    log_scale = torch.full_like(starts, math.log(SPREAD))
    below = starts.new_zeros(*starts.shape, starts.shape[-1])
    parameters = [each.clone().requires_grad_() for each in (starts, log_scale, below)]
    optimizer = torch.optim.Adam(parameters)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        drawn = normal(seed, f"fit {step}", index, (len(starts), vae.latent_dim), x).transpose(0, 1)
        q = gaussian(*parameters)
        z, _ = q.rsample_and_log_prob(drawn)
        log_seen = seen(vae.decode(z), x, visible)
        loss = (q.detached().log_prob(z) - p.log_prob(z) - log_seen).sum()
        for each, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            each.grad = gradient
        optimizer.step()
    return gaussian(*(each.detach() for each in parameters))


def seen(px: Distribution, x: Tensor, visible: Tensor) -> Tensor:
    """log p(visible pixels of x | z), (..., B), for p(x|z) over (..., B, C, H, W)."""
    return px.base_dist.log_prob(x).masked_fill(~visible, 0).flatten(-3).sum(-1)


def log_likelihoods(vae: VAE, x: Tensor, z: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """log p of the visible and of the missing pixels given codes z (K, B, D); (K, B) each, float64."""
    parts = []
    for part in z.split(max(1, DECODED // len(x))):
        px = vae.decode(part)
        parts.append(torch.stack([seen(px, x, visible), seen(px, x, ~visible)]).double())
    return tuple(torch.cat(parts, 1))


def resampled(z: Tensor, log_w: Tensor, drawn: Tensor) -> Tensor:
    """Of the codes z (K, B, D) some, each with a probability as its weight (K, B): one for each of the standard normal
    numbers `drawn` (R, B); (R, B, D)."""
    reached = log_w.softmax(0).cumsum(0).T.contiguous()
    chosen = torch.searchsorted(reached, torch.special.ndtr(drawn.double()).T.contiguous()).clamp(max=len(z) - 1)
    return z.gather(0, chosen.T[..., None].expand(-1, -1, z.shape[-1]))


def normal(seed: int, address: str, index: Tensor, shape: Sequence[int], like: Tensor) -> Tensor:
    """Noise (B, *shape) for the images `index` (B,), as `like` in dtype and device."""
    return noise.normal(noise.seed_of(seed, "inpainting", address), index, tuple(shape)).to(like)


class Marginals(NamedTuple):
    """Each pixel by itself: log_p (L, C, H, W) of its levels, their values (L,), and log_width, the log of a level's
    width where log p is a density."""

    log_p: Tensor
    values: Tensor
    log_width: float

    def nll(self, x: Tensor, visible: Tensor) -> Tensor:
        """-log p of the missing pixels of x, (B,)."""
        levels = len(self.values)
        level = (x * levels).floor() if self.log_width else (x * (levels - 1)).round()
        chosen = (
            self.log_p[None].expand(len(x), *self.log_p.shape).gather(1, level.long().clamp(0, levels - 1)[:, None])
        )
        return (self.log_width - chosen[:, 0]).masked_fill(visible, 0).flatten(1).sum(1)

    def mean(self) -> Tensor:
        """(C, H, W)."""
        return (self.log_p.exp() * self.values.view(-1, 1, 1, 1)).sum(0)


def marginals(images: np.ndarray, pixels: str) -> Marginals:
    """How often each pixel has each of its levels in the training images (N, C, H, W) uint8, with half a count added to
    all (Krichevsky & Trofimov, 1981), for `pixels` of ImageData: hardly a model without dependence does better.

    Binary pixels have two levels, counted by their intensities; greys 256, a density being even within each.
    """
    if pixels == "binary":
        ones = images.sum(0, dtype=np.int64) / 255
        counts = np.stack([len(images) - ones, ones])
        values = torch.tensor([0.0, 1.0])
    else:
        place = np.arange(images[0].size).reshape(images.shape[1:])
        counts = np.zeros(256 * images[0].size)
        for part in np.array_split(images, -(-len(images) // 5000)):
            counts += np.bincount((part.astype(np.int64) * images[0].size + place).ravel(), minlength=len(counts))
        counts = counts.reshape(256, *images.shape[1:])
        values = (torch.arange(256) + 0.5) / 256 if pixels == "dequantized" else torch.arange(256) / 255
    log_p = np.log(counts + 0.5) - np.log(len(images) + 0.5 * len(counts))
    log_width = -math.log(256) if pixels == "dequantized" else 0.0
    return Marginals(torch.from_numpy(log_p), values.double(), log_width)
