"""p(z | visible pixels) and p(missing pixels | visible pixels), by importance sampling. Nats per image.

The caller puts the VAE in evaluation mode. Noise is a function of (seed, index of the image). The likelihood must
factorise over the pixels.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.data.batches import Batch
from src.inference.importance import DECODED, effective_samples, full_gaussian
from src.models.distributions import ImageDistribution
from src.models.gaussians import DiagonalGaussian, FullGaussian
from src.models.vae import VAE
from src.support.noise import Noise

ROUNDS = 5  # rounds of filling and encoding, before a fit begins
# Steps, learning rate and initial scale of the fit: twice the steps give no better log p(visible) on MNIST.
STEPS, RATE, SPREAD = 300, 0.05, 0.3


class Masked(NamedTuple):
    """Images of which only some pixels are visible: their batch, and the mask of these pixels, (B, 1, H, W)."""

    batch: Batch
    visible: Tensor


class Fits(NamedTuple):
    """Gaussians over the codes of B images: J that are fitted to p(z|visible), (J, B, D), and one to p(z|x), (B, D)."""

    visible: FullGaussian
    whole: DiagonalGaussian | FullGaussian


class Inpainting(NamedTuple):
    """The missing pixels of B images.

    nll: -log p(missing | visible), (B,)
    means: of p(x|z), (draws, B, C, H, W), at samples of p(z|visible)
    effective: the number of effective samples among those from which the draws were selected, (B,)
    """

    nll: Tensor
    means: Tensor
    effective: Tensor


def inpaint(vae: VAE, masked: Masked, fits: Fits, noise: Noise, samples: int, draws: int) -> Inpainting:
    """The missing pixels, by weighting codes from the Gaussians fitted to p(z|visible) and, as many, to p(z|x).

    log p(x) and log p(visible) are both computed from all of these codes. Since the fit to p(z|x) has seen the missing
    pixels, neither can miss the codes that explain the whole image; if log p(visible) alone missed them, the result
    would favour the model. The draws of p(z|visible) are resampled from the samples of its own fits only.
    """
    model, x, index = vae.given(masked.batch.y), masked.batch.x, masked.batch.index
    (blind, whole), starts = fits, fits.visible.loc.shape[0]
    with torch.no_grad():
        p, each = model.prior(), -(-samples // (2 * starts))
        eps = noise.at("inpainting", "samples").normal(index, each, 2, starts, model.latent_dim, like=x)
        z_blind = blind.rsample_and_log_prob(eps[:, 0])[0].flatten(0, 1)
        z = torch.cat([z_blind, whole.rsample_and_log_prob(eps[:, 1].flatten(0, 1))[0]])
        log_blind = (blind.log_prob(z[:, None]).logsumexp(1) - math.log(starts)).double()
        log_both = torch.logaddexp(log_blind, whole.log_prob(z).double()) - math.log(2)
        log_visible, log_missing = log_likelihoods(vae, masked, z)
        joint = log_visible + p.log_prob(z).double()
        nll = (joint - log_both).logsumexp(0) - (joint - log_both + log_missing).logsumexp(0)
        log_w = (joint - log_blind)[: len(z_blind)]
        codes = resample(z_blind, log_w, noise.at("inpainting", "draws").normal(index, draws, like=x).T)
        means = torch.cat([model.decode(part).mean for part in codes.split(max(1, DECODED // len(x)))])
    return Inpainting(nll, means, effective_samples(log_w))


@torch.no_grad()
def initial_codes(vae: VAE, masked: Masked, donors: Tensor, noise: Noise) -> Tensor:
    """Initial codes (J, B, D): `donors` fill the missing pixels, then the encoder gives a code of the filled image and
    the decoder new missing pixels for that code, in turns (Rezende et al., 2014)."""
    (x, y, index), fill, z = masked.batch, donors, torch.empty(0)
    encoder, decoder = vae.given(y.repeat(len(donors))), vae.given(y)
    for step in range(ROUNDS):
        q = encoder.encode(torch.where(masked.visible, x, fill).flatten(0, 1))
        eps = noise.at("inpainting", f"start {step}").normal(index, len(donors), vae.latent_dim, like=x)
        z = q.rsample_and_log_prob(eps.flatten(0, 1))[0].unflatten(0, eps.shape[:2])
        fill = decoder.decode(z).mean
    return z


@torch.enable_grad()
def fit_codes(vae: VAE, masked: Masked, donors: Tensor, noise: Noise, steps: int = STEPS) -> FullGaussian:
    """Gaussians over codes (J, B, D) that maximise E_q[log p(visible|z)] - KL(q, p(z)), by Adam and the gradient
    without the score (Roeder et al., 2017).

    donors: (J, B, C, H, W), images that fill the missing pixels where the J fits begin
    """
    starts, (x, y, index) = initial_codes(vae, masked, donors, noise), masked.batch
    vae = vae.given(y)
    with torch.no_grad():
        p = vae.prior()
    log_scale = torch.full_like(starts, math.log(SPREAD))
    below = starts.new_zeros(*starts.shape, starts.shape[-1])
    parameters = [each.clone().requires_grad_() for each in (starts, log_scale, below)]
    optimizer = torch.optim.Adam(parameters)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        eps = noise.at("inpainting", f"fit {step}").normal(index, len(starts), vae.latent_dim, like=x)
        q = full_gaussian(*parameters)
        z, _ = q.rsample_and_log_prob(eps)
        log_visible = visible_log_prob(vae.decode(z), x, masked.visible)
        loss = (q.detached().log_prob(z) - p.log_prob(z) - log_visible).sum()
        for each, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            each.grad = gradient
        optimizer.step()
    return full_gaussian(*(each.detach() for each in parameters))


def visible_log_prob(px: ImageDistribution, x: Tensor, visible: Tensor) -> Tensor:
    """log p(visible pixels of x | z), (..., B), for p(x|z) over (..., B, C, H, W).

    Raises TypeError where pixels depend on each other, so that single ones have no density.
    """
    pixels = px.factors()
    if pixels is None:
        raise TypeError("inpainting needs a likelihood that factorises over the pixels")
    return pixels.log_prob(x).masked_fill(~visible, 0).flatten(-3).sum(-1)


def log_likelihoods(vae: VAE, masked: Masked, z: Tensor) -> tuple[Tensor, Tensor]:
    """log p of the visible and of the missing pixels given codes z (K, B, D); (K, B) each, float64."""
    vae, x, visible, parts = vae.given(masked.batch.y), masked.batch.x, masked.visible, []
    for part in z.split(max(1, DECODED // len(x))):
        px = vae.decode(part)
        parts.append(torch.stack([visible_log_prob(px, x, visible), visible_log_prob(px, x, ~visible)]).double())
    log_visible, log_missing = torch.cat(parts, 1)
    return log_visible, log_missing


def resample(z: Tensor, log_w: Tensor, eps: Tensor) -> Tensor:
    """Some of the codes z (K, B, D), each with a probability proportional to its weight (K, B): one for each of the
    standard normal numbers `eps` (R, B); (R, B, D)."""
    cumulative = log_w.softmax(0).cumsum(0).T.contiguous()
    chosen = torch.searchsorted(cumulative, torch.special.ndtr(eps.double()).T.contiguous()).clamp(max=len(z) - 1)
    return z.gather(0, chosen.T[..., None].expand(-1, -1, z.shape[-1]))


class Marginals(NamedTuple):
    """Independent pixels: log_p (L, C, H, W) of the levels of each, their values (L,), and log_width, the logarithm of
    the width of a level where log p is a density."""

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
        """The mean image, (C, H, W)."""
        return (self.log_p.exp() * self.values.view(-1, 1, 1, 1)).sum(0)


def marginals(images: np.ndarray, pixels: str) -> Marginals:
    """The frequencies of the levels of each pixel in the training images (N, C, H, W) uint8, for `pixels` of ImageData.

    Half a count is added to each (Krichevsky & Trofimov, 1981); hardly any model of independent pixels does better.
    Binary pixels have two levels, counted by their intensities; others 256, within which a density is constant.
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
