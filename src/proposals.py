"""Proposals for the importance sampling of log p(x) that hold where the encoder is wrong. Nats per image; evaluation
mode is the caller's; noise is a function of (seed, image, sample).

With few latent dimensions an encoder may place an image's code far from the codes that explain the image. Samples from
its posterior, or from a Gaussian that is refined by descent from it, then miss nearly all of p(z|x); their weights look
even, and nothing shows that the estimate is tens of nats too high. Two things help:

    pilot codes   a thousand draws of the prior, stretched, that all images of a batch share, so that they cost little.
                  Refinement begins at the code with the largest p(x, z) among these and the encoder's own: in up to
                  about four dimensions the pilot codes find the mode, in many the encoder's are always the best
    a mixture     of the refined Gaussian, the encoder's posterior and the stretched prior, with balanced weights p(x,
                  z) / sum_j share_j q_j(z), which are bounded wherever one of the three has mass (Hesterberg, 1995;
                  Veach & Guibas, 1995). A mode that was missed shows as few effective samples
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from src import noise
from src.distributions import DiagonalGaussian, FullGaussian
from src.importance import DECODED, STEPS, Start, gaussian, moments, noise_of, refine
from src.vae import VAE

PILOT = 1000  # codes of the prior that refinement may begin at
OWN = 16  # codes of the encoder's posterior, beside its mean, that it may begin at
STRETCH = 1.5  # of the prior's draws about their mean: codes of unusual images lie in its tails
WIDER = 1.1  # the scale of the Gaussian components over the posterior's, whose tails are too light
# which component draws each of ten samples: the refined Gaussian, the encoder's posterior, the stretched prior
ORDER = (0, 1, 0, 2, 0, 0, 1, 0, 2, 0)


class Balanced:
    """The mixture of `components`, Gaussians over codes (B, D), of which the k-th sample is drawn from number
    ORDER[k mod 10]: stratified, so that no estimate depends on how often chance chose a component."""

    def __init__(self, components: Sequence[DiagonalGaussian | FullGaussian]):
        self.components = components

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Codes z (K, B, D) for standard normal noise of that shape, and the log density (K, B) of the mixture in
        the proportions of these K: the mean of w = p(x, z) / q(z) over them has the expectation p(x)."""
        chosen = torch.tensor(ORDER).repeat(-(-len(noise) // len(ORDER)))[: len(noise)]
        z = torch.empty_like(noise)
        rows = [(chosen == i).nonzero()[:, 0].to(noise.device) for i in range(len(self.components))]
        for row, q in zip(rows, self.components, strict=True):
            z[row] = q.rsample_and_log_prob(noise[row])[0]
        shares = torch.tensor([len(row) / len(noise) for row in rows])
        log_q = [q.log_prob(z) + log for q, log in zip(self.components, shares.log().tolist(), strict=True)]
        return z, torch.stack(log_q).logsumexp(0)


class Proposal(NamedTuple):
    """For images x (B, C, H, W): the Gaussian that is refined for each, where its refinement began, and the mixture
    for importance sampling."""

    refined: DiagonalGaussian | FullGaussian
    start: Start
    mixture: Balanced


def propose(vae: VAE, x: Tensor, index: Tensor, seed: int, steps: int = STEPS) -> Proposal:
    """The proposal for images x (B, C, H, W) with the indices (B,), from `steps` of refining a full covariance."""
    with torch.no_grad():
        own = moments(vae.encode(x), next(noise_of(seed, index, 64, vae.latent_dim)).to(x))
        draws = stretched_prior(vae, seed)
        begin = best_start(vae, x, index, seed, own, draws)
    refined = refine(vae, x, index, seed, steps, full=True, start=begin)
    encoder, (mean, scale) = gaussian(*own), (each.expand_as(own[0]) for each in (draws.mean(0), draws.std(0)))
    wider = [FullGaussian(q.loc, WIDER * q.scale_tril) for q in (refined, encoder)]
    return Proposal(refined, begin, Balanced([*wider, DiagonalGaussian(mean, scale)]))


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
def best_start(vae: VAE, x: Tensor, index: Tensor, seed: int, own: Start, draws: Tensor) -> Start:
    """The encoder's Gaussian `own`, for each image moved to the code with the largest p(x, z) among `draws` (P, D) if
    that is above the largest among its mean and OWN of its samples."""
    p = vae.prior()
    drawn = next(noise_of(seed, index, OWN, vae.latent_dim)).to(x)
    z = torch.cat([own[0][None], gaussian(*own).rsample_and_log_prob(drawn)[0]])
    mine = torch.cat([vae.decode(part).log_prob(x) for part in z.split(max(1, DECODED // len(x)))]) + p.log_prob(z)
    blocks = []
    for part in draws.split(DECODED):
        px = vae.decode(part)
        blocks.append(torch.stack([px.log_prob(image) for image in x], 1) + p.log_prob(part)[:, None])
    best, code = torch.cat(blocks).max(0)
    return torch.where((best > mine.amax(0))[:, None], draws[code], own[0]), *own[1:]
