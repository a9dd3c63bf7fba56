"""-ELBO in parts that sum to it, each of which something else would mend. Nats per image; evaluation mode is the
caller's; noise is a function of (seed, image).

    noise floor    H(x|g): the binarisation of the grey image g, which no model foresees
    decoder        min_z E_{x|g}[-log p(x|z)] - H(x|g) = min_z KL(g, p(x|z)): what no code makes it say. Found by
                   descent, so at most too large. Of greys there is no floor: min_z -log p(x|z)
    prior          KL(q(z), p(z)), q(z) the mean of q(z|x) over images (Hoffman & Johnson, 2016): at least the mean of
                   log r(z) - log p(z) at held-out codes, r a mixture fitted to training codes, or p itself where that
                   fits better: then none
    family         the best q of the posterior's family against log p(x); amortisation: the encoder's q against the best
                   (Cremer et al., 2018), which is the encoder's own where descent found none better. log p(x) is
                   estimated from below, so their sum is, if anything, too small
    code           the rest: naming the image's code among the others, and the blur of its posterior

Prior, family and amortisation can't be below zero: an estimate whose mean is negative says less, and becomes zero.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from src.data.batches import Batch
from src.inference.importance import elbo, nll, refine
from src.inference.proposals import propose
from src.models.distributions import DiagonalGaussian, FullGaussian
from src.models.vae import VAE
from src.support import noise

DRAWS, AT_ONCE = 50, 5  # codes an image that an ELBO is averaged over, and that are decoded together
RATE, STEPS = 0.05, 200  # of the descent to the best code
COMPONENTS, EACH = 50, 100  # of the mixture r at most; codes that a component asks for
RIDGE = 1e-4  # added to its variances


class Bounds(NamedTuple):
    """Of -log p(x) from above, (B,) nats: -ELBO of the encoder's q and of the best q of its family (None for a flow),
    the importance-weighted estimate, and how many of its samples are effective."""

    encoder: Tensor
    refined: Tensor | None
    nll: Tensor
    effective: Tensor


def bounds(vae: VAE, x: Tensor, index: Tensor, seed: int, samples: int, steps: int) -> Bounds:
    """The bounds for images x (B, C, H, W); the last from `samples` codes of the mixture of proposals.py, as a
    Gaussian that is refined from the encoder's alone may miss the posterior, and leave the estimate far too high.
    Refinement takes `steps`, and begins where that of the mixture does."""
    with torch.no_grad():
        q = vae.encode(x)
    proposal = propose(vae, x, index, seed, steps)
    estimate, effective = nll(vae, x, index, samples, seed, proposal.mixture)
    own, refined = -mean_elbo(vae, x, q, index, seed), None
    if isinstance(q, DiagonalGaussian | FullGaussian):
        diagonal = not isinstance(q, FullGaussian)
        best = refine(vae, x, index, seed, steps, start=proposal.start) if diagonal else proposal.refined
        refined = torch.minimum(-mean_elbo(vae, x, best, index, seed), own)
    return Bounds(own, refined, estimate, effective)


def at_least_zero(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parts (N,) that can't be negative, none at all where their mean is."""
    known = ("prior", "posterior", "family", "amortisation")
    return {k: np.zeros_like(nats) if k in known and nats.mean() < 0 else nats for k, nats in parts.items()}


@torch.no_grad()
def mean_elbo(vae: VAE, x: Tensor, q: Distribution, index: Tensor, seed: int) -> Tensor:
    """The ELBO with the posteriors q, (B,) in float64, over DRAWS codes an image, whatever q from the same noise."""
    drawn = noise.normal(noise.seed_of(seed, "ELBO"), index, (DRAWS, vae.latent_dim)).transpose(0, 1).to(x)
    return torch.stack([elbo(vae, x, q, part).double() for part in drawn.split(AT_ONCE)]).mean(0)


@torch.enable_grad()
def best_code(vae: VAE, x: Tensor, target: Tensor, steps: int = STEPS) -> Tensor:
    """min_z -log p(target|z), (B,), by Adam from the codes of x; of binary images `target` may be their intensity, for
    the mean of -log p(x|z) over all x drawn from it."""
    z = vae.encode(x).mean.detach().requires_grad_()
    optimizer = torch.optim.Adam([z], lr=RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best = torch.full((len(x),), torch.inf, device=x.device, dtype=torch.float64)
    for _ in range(steps):
        cost = -vae.decode(z).log_prob(target)
        best = torch.minimum(best, cost.detach().double())
        (z.grad,) = torch.autograd.grad(cost.sum(), z)
        optimizer.step()
        schedule.step()
    return best


def noise_floor(intensity: Tensor) -> Tensor:
    """The entropy of pixels drawn from their intensity (B, C, H, W), (B,)."""
    of_pixels = torch.special.entr(intensity.double()) + torch.special.entr(1 - intensity.double())
    return of_pixels.flatten(1).sum(1)


def fitted(codes: np.ndarray, seed: int):
    """A mixture of Gaussians r(z) fitted to codes (N, D); `score_samples` is its log density."""
    from sklearn.mixture import GaussianMixture

    components = int(np.clip(len(codes) // EACH, 1, COMPONENTS))
    return GaussianMixture(components, random_state=seed % 2**32, reg_covar=RIDGE).fit(codes)


@torch.no_grad()
def gain_of(density, vae: VAE, batch: Batch, seed: int) -> Tensor:
    """E_q[log r(z) - log p(z)], (B,) in float64, over DRAWS codes of each image: its mean over images is at most
    KL(q(z), p(z)), and what a prior r would gain with all else as it is."""
    z = drawn_codes(vae, batch, noise.seed_of(seed, "held out"), DRAWS)
    log_r = density.score_samples(z.flatten(0, 1).double().cpu().numpy()).reshape(z.shape[:-1])
    return (torch.from_numpy(log_r) - vae.prior().log_prob(z).double().cpu()).mean(0)


@torch.no_grad()
def drawn_codes(vae: VAE, batch: Batch, seed: int, draws: int) -> Tensor:
    """Codes (draws, B, D) from the posteriors of a batch."""
    drawn = noise.normal(noise.seed_of(seed, "codes"), batch.index, (draws, vae.latent_dim)).transpose(0, 1)
    return vae.encode(batch.x).rsample_and_log_prob(drawn.to(batch.x))[0]
