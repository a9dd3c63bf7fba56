"""Proposals for the importance sampling of log p(x) that hold where the encoder is wrong. Nats per image; evaluation
mode is the caller's; noise is a function of (seed, image, sample).

With few latent dimensions an encoder may place an image's code far from the codes that explain the image. Samples from
its posterior, or from a Gaussian that is refined by descent from it, then miss nearly all of p(z|x); their weights look
even, and nothing shows that the estimate is tens of nats too high. Three things help:

    pilot codes   a thousand draws of the prior, stretched, that all images of a batch share: they cost little.
                  Refinement begins at the code with the largest p(x, z) among these and the encoder's own: in up to
                  about four dimensions the pilot codes find the mode, in many the encoder's are always the best
    more modes    another Gaussian is refined from the pilot code that the proposal found so far covers least, if it
                  covers it less than the first mode
    a mixture     of the refined Gaussians, the encoder's posterior and the stretched prior, with balanced weights p(x,
                  z) / sum_j share_j q_j(z), which are bounded wherever one of them has mass (Hesterberg, 1995; Veach &
                  Guibas, 1995). A mode that was missed all the same then shows as few effective samples
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from src.inference.importance import DECODED, STEPS, Start, gaussian, moments, noise_of, refine
from src.models.distributions import DiagonalGaussian, FullGaussian
from src.models.vae import VAE
from src.support import noise

PILOT = 1000  # codes of the prior that refinement may begin at
OWN = 16  # codes of the encoder's posterior, beside its mean, that it may begin at
STRETCH = 1.5  # of the prior's draws about their mean: codes of unusual images lie in its tails
WIDER = 1.1  # the scale of the Gaussian components over the posterior's, whose tails are too light
MODES = 3  # Gaussians that are refined at most
MARGIN = 1.0  # nats by which the weight of a pilot code must exceed that of the first mode to begin another
# which component draws each of ten samples: the refined Gaussians, the encoder's posterior, the stretched prior
ORDER = (0, 1, 0, 4, 0, 3, 2, 0, 4, 1)


class Balanced:
    """The mixture of `components`, Gaussians over codes (B, D), of which the k-th sample is drawn from number
    ORDER[k mod 10]: stratified, so that no estimate depends on how often chance chose a component."""

    def __init__(self, components: Sequence[DiagonalGaussian | FullGaussian]):
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
        """The log density (K, B) at codes z (K, B, D) or (K, 1, D), for the shares that components have of `order`."""
        shares = [order.count(i) / len(order) for i in range(len(self.components))]
        parts = [q.log_prob(z) + math.log(n) for q, n in zip(self.components, shares, strict=True) if n]
        return torch.stack(parts).logsumexp(0)


class Proposal(NamedTuple):
    """For images x (B, C, H, W): the Gaussian that is refined for each, where its refinement began, and the mixture
    for importance sampling."""

    refined: FullGaussian
    start: Start
    mixture: Balanced


def propose(vae: VAE, x: Tensor, index: Tensor, seed: int, steps: int = STEPS) -> Proposal:
    """The proposal for images x (B, C, H, W) with the indices (B,), from `steps` of refining full covariances."""
    with torch.no_grad():
        own = moments(vae.encode(x), next(noise_of(seed, index, 64, vae.latent_dim)).to(x))
        draws = stretched_prior(vae, seed)
        joint = pilot(vae, x, draws)
        begin = best_start(vae, x, index, seed, own, draws, joint)
    mean, scale = (each.expand_as(own[0]) for each in (draws.mean(0), draws.std(0)))
    rest = [wider(gaussian(*own)), DiagonalGaussian(mean, scale)]
    modes = [refine(vae, x, index, seed, steps, full=True, start=begin)]
    for _ in range(MODES - 1):
        so_far = mixture_of(modes, rest)
        starts, rows = uncovered(vae, x, so_far, modes[0].loc, draws, joint)
        modes.append(modes[0])
        if len(rows):
            start = (starts, *(each[rows] for each in begin[1:]))
            more = refine(vae, x[rows], index[rows], seed, steps, full=True, start=start)
            first = modes[0]
            modes[-1] = FullGaussian(
                first.loc.index_copy(0, rows, more.loc), first.scale_tril.index_copy(0, rows, more.scale_tril)
            )
    return Proposal(modes[0], begin, mixture_of(modes, rest))


def wider(q: FullGaussian) -> FullGaussian:
    """The same Gaussian with WIDER times its scale."""
    return FullGaussian(q.loc, WIDER * q.scale_tril)


def mixture_of(modes: Sequence[FullGaussian], rest: Sequence[FullGaussian | DiagonalGaussian]) -> Balanced:
    """Of the modes, the first in place of those that there are not, and the rest."""
    padded = [*modes, *[modes[0]] * (MODES - len(modes))]
    return Balanced([*(wider(q) for q in padded), *rest])


@torch.no_grad()
def uncovered(
    vae: VAE, x: Tensor, mixture: Balanced, mode: Tensor, draws: Tensor, joint: Tensor
) -> tuple[Tensor, Tensor]:
    """Of the pilot codes `draws` (P, D) with log p(x, z) `joint` (P, B), for some images that with the largest weight
    under the mixture, and the rows of these images: where it exceeds the weight at the `mode` (B, D)."""
    usual = vae.decode(mode).log_prob(x) + vae.prior().log_prob(mode) - mixture.log_prob(mode[None])[0]
    weight, code = (joint - mixture.log_prob(draws[:, None])).max(0)
    rows = (weight > usual + MARGIN).nonzero()[:, 0]
    return draws[code[rows]], rows


@torch.no_grad()
def stretched_prior(vae: VAE, seed: int) -> Tensor:
    """PILOT draws of the prior (PILOT, D), each STRETCH times as far from their mean; a function of the seed alone."""
    p = vae.prior()
    device = next(vae.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(noise.seed_of(seed, "pilot"))
        draws = p.sample((PILOT,))
    return draws.mean(0) + STRETCH * (draws - draws.mean(0))


@torch.no_grad()
def pilot(vae: VAE, x: Tensor, draws: Tensor) -> Tensor:
    """log p(x, z) of all images x (B, C, H, W) at the codes `draws` (P, D), which are decoded once; (P, B)."""
    p, blocks = vae.prior(), []
    for part in draws.split(DECODED):
        px = vae.decode(part)
        blocks.append(torch.stack([px.log_prob(image) for image in x], 1) + p.log_prob(part)[:, None])
    return torch.cat(blocks)


@torch.no_grad()
def best_start(vae: VAE, x: Tensor, index: Tensor, seed: int, own: Start, draws: Tensor, joint: Tensor) -> Start:
    """The encoder's Gaussian `own`, for each image moved to the code with the largest p(x, z) among `draws` (P, D),
    that is exp(joint), (P, B), if it is above the largest among its mean and OWN of its samples."""
    drawn = next(noise_of(seed, index, OWN, vae.latent_dim)).to(x)
    z = torch.cat([own[0][None], gaussian(*own).rsample_and_log_prob(drawn)[0]])
    log_px = torch.cat([vae.decode(part).log_prob(x) for part in z.split(max(1, DECODED // len(x)))])
    best, code = joint.max(0)
    better = best > (log_px + vae.prior().log_prob(z)).amax(0)
    return torch.where(better[:, None], draws[code], own[0]), *own[1:]
