"""Proposals for the importance sampling of log p(x) that are reliable where the encoder is wrong. Nats per image.

The caller puts the VAE in evaluation mode. Noise is a function of (seed, image, sample).

With few latent dimensions an encoder may place the code of an image far from the codes that explain the image. Samples
from its posterior, or from a Gaussian refined by descent from it, then miss nearly all of p(z|x); their weights look
even, and nothing shows that the estimate is tens of nats too high. Three things help:

    pilot codes   a thousand samples of the prior, stretched, that all images of a batch share at little cost.
                  Refinement begins at the code with the largest p(x, z) among these and samples of the encoder. In up
                  to about four dimensions the pilot codes find the mode, in many the samples of the encoder are best
    more modes    another Gaussian is refined from the pilot code that the proposal so far covers least, if it covers it
                  less than the first mode
    a mixture     of the refined Gaussians, the encoder's posterior and the stretched prior, with balanced weights p(x,
                  z) / sum_j share_j q_j(z), which are bounded wherever one of them has mass (Hesterberg, 1995; Veach &
                  Guibas, 1995). A mode that is missed all the same then shows as few effective samples
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from src.data.batches import Batch
from src.inference.importance import DECODED, STEPS, encoder_parameters, full_gaussian, maximise_elbo, sample_noise
from src.models.gaussians import DiagonalGaussian, FullGaussian
from src.models.vae import VAE
from src.support.noise import Noise

PILOT = 1000  # codes of the prior at which refinement may begin
OWN = 16  # codes of the encoder's posterior, besides its mean, at which it may begin
STRETCH = 1.5  # factor on the distance of the prior's samples from their mean: codes of unusual images are in its tails
WIDER = 1.1  # the scale of the Gaussian components relative to the posterior's, whose tails are too light
MODES = 3  # largest number of Gaussians that are refined for an image
MARGIN = 1.0  # nats by which the weight of a pilot code must exceed that of the first mode to begin another
# which component draws each of ten samples: the refined Gaussians, the encoder's posterior, the stretched prior
ORDER = (0, 1, 0, 4, 0, 3, 2, 0, 4, 1)


class BalancedMixture:
    """The mixture of `components`, Gaussians over codes (B, D), whose k-th sample is of component ORDER[k mod 10].

    The samples are stratified, so that no estimate depends on how often chance selected a component.
    """

    def __init__(self, components: Sequence[DiagonalGaussian | FullGaussian]) -> None:
        self.components = components

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Codes z (K, B, D) for standard normal noise of that shape, and the log density (K, B) of the mixture in
        the proportions of these K: the mean of w = p(x, z) / q(z) over them has the expectation p(x)."""
        order = (ORDER * (-(-len(noise) // len(ORDER))))[: len(noise)]
        z = torch.empty_like(noise)
        for i, q in enumerate(self.components):
            rows = [k for k, component in enumerate(order) if component == i]
            z[rows] = q.rsample_and_log_prob(noise[rows])[0]
        return z, self.log_prob(z, order)

    def log_prob(self, z: Tensor, order: Sequence[int] = ORDER) -> Tensor:
        """The log density (K, B) at codes z (K, B, D) or (K, 1, D), with each component's share in `order`."""
        shares = [order.count(i) / len(order) for i in range(len(self.components))]
        parts = [q.log_prob(z) + math.log(n) for q, n in zip(self.components, shares, strict=True) if n]
        return torch.stack(parts).logsumexp(0)


class Pilot(NamedTuple):
    """Codes (P, D) that all images of a batch share, and log p(x, z) of each image there, (P, B)."""

    codes: Tensor
    log_joint: Tensor


class Proposal(NamedTuple):
    """For the images of a batch: the Gaussian that is refined for each, the parameters with which its refinement began,
    and the mixture for importance sampling."""

    refined: FullGaussian
    start: tuple[Tensor, Tensor, Tensor]
    mixture: BalancedMixture


def propose(vae: VAE, batch: Batch, noise: Noise, steps: int = STEPS) -> Proposal:
    """The proposal for the images of a batch, from `steps` of refining Gaussians with full covariance."""
    own = encoder_parameters(vae, batch, noise)
    pilot = evaluate_pilot(vae, batch, stretched_prior(vae.given(batch.y), noise))
    start = best_start(vae, batch, noise, own, pilot)
    mean, scale = (each.expand_as(own[0]) for each in (pilot.codes.mean(0), pilot.codes.std(0)))
    others = [wider(full_gaussian(*own)), DiagonalGaussian(mean, scale)]
    first = refine_full(vae, batch, noise, start, steps)
    modes = [first]
    for _ in range(MODES - 1):
        codes, rows = uncovered_codes(vae, batch, mixture_of(modes, others), first.loc, pilot)
        modes.append(first)
        if len(rows):
            some = Batch(*(each[rows] for each in batch))
            more = refine_full(vae, some, noise, (codes, start[1][rows], start[2][rows]), steps)
            modes[-1] = FullGaussian(
                first.loc.index_copy(0, rows, more.loc), first.scale_tril.index_copy(0, rows, more.scale_tril)
            )
    return Proposal(first, start, mixture_of(modes, others))


def refine_full(vae: VAE, batch: Batch, noise: Noise, start: tuple[Tensor, Tensor, Tensor], steps: int) -> FullGaussian:
    """Refine as in importance.py, from the parameters of a Gaussian with full covariance."""
    return full_gaussian(*maximise_elbo(vae, batch, noise, start, steps))


def wider(q: FullGaussian) -> FullGaussian:
    """The same Gaussian with WIDER times its scale."""
    return FullGaussian(q.loc, WIDER * q.scale_tril)


def mixture_of(modes: Sequence[FullGaussian], others: Sequence[FullGaussian | DiagonalGaussian]) -> BalancedMixture:
    """The mixture of MODES modes, the first in place of those that are missing, and the other components."""
    padded = [*modes, *[modes[0]] * (MODES - len(modes))]
    return BalancedMixture([*(wider(q) for q in padded), *others])


@torch.no_grad()
def uncovered_codes(
    vae: VAE, batch: Batch, mixture: BalancedMixture, mode: Tensor, pilot: Pilot
) -> tuple[Tensor, Tensor]:
    """For some images of the batch the pilot code with the largest weight under the mixture, and their rows.

    These are the images for which that weight exceeds the weight at the `mode` (B, D) by MARGIN.
    """
    usual = vae.given(batch.y).log_joint(batch.x, mode) - mixture.log_prob(mode[None])[0]
    weight, code = (pilot.log_joint - mixture.log_prob(pilot.codes[:, None])).max(0)
    rows = (weight > usual + MARGIN).nonzero()[:, 0]
    return pilot.codes[code[rows]], rows


@torch.no_grad()
def stretched_prior(vae: VAE, noise: Noise) -> Tensor:
    """PILOT samples of the prior (PILOT, D), each moved to STRETCH times its distance from their mean.

    Those of p(z|y) are of all labels in turn, since the images of a batch share them.
    """
    device = next(vae.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(noise.at("pilot").seed)
        codes = vae.given_each_label(PILOT).sample_codes(PILOT)
    return codes.mean(0) + STRETCH * (codes - codes.mean(0))


@torch.no_grad()
def evaluate_pilot(vae: VAE, batch: Batch, codes: Tensor) -> Pilot:
    """The codes (P, D) with log p(x, z) of all images of the batch.

    They are decoded once for all images, or for each image if the model uses its label.
    """
    model, size = vae.given(batch.y), len(batch.x)
    if model is not vae:
        parts = (part[:, None].expand(-1, size, -1) for part in codes.split(max(1, DECODED // size)))
        return Pilot(codes, torch.cat([model.log_joint(batch.x, part) for part in parts]))
    p, blocks = model.prior(), []
    for part in codes.split(DECODED):
        px = model.decode(part)
        blocks.append(torch.stack([px.log_prob(image) for image in batch.x], 1) + p.log_prob(part)[:, None])
    return Pilot(codes, torch.cat(blocks))


@torch.no_grad()
def best_start(
    vae: VAE, batch: Batch, noise: Noise, own: tuple[Tensor, Tensor, Tensor], pilot: Pilot
) -> tuple[Tensor, Tensor, Tensor]:
    """The parameters `own` of the encoder's Gaussian, moved for some images to the pilot code of largest p(x, z): for
    those where it is above the largest among the encoder's mean and OWN of its samples."""
    vae, x = vae.given(batch.y), batch.x
    eps = next(sample_noise(noise, batch, OWN, vae.latent_dim))
    z = torch.cat([own[0][None], full_gaussian(*own).rsample_and_log_prob(eps)[0]])
    log_px = torch.cat([vae.decode(part).log_prob(x) for part in z.split(max(1, DECODED // len(x)))])
    best, code = pilot.log_joint.max(0)
    better = best > (log_px + vae.prior().log_prob(z)).amax(0)
    return torch.where(better[:, None], pilot.codes[code], own[0]), *own[1:]
