"""Parts that sum to -ELBO, each of which a different change of the model would reduce. Nats per image.

The caller puts the VAE in evaluation mode. Noise is a function of (seed, image).

    noise floor    H(x|g): the entropy of the binarisation of the grayscale image g, which no model can predict
    decoder        min_z E_{x|g}[-log p(x|z)] - H(x|g) = min_z KL(g, p(x|z)): what the decoder cannot explain with any
                   code. Found by descent, so it may be too large. Grayscale images have no floor: min_z -log p(x|z)
    prior          KL(q(z), p(z)), q(z) the mean of q(z|x) over images (Hoffman & Johnson, 2016): at least the mean of
                   log r(z) - log p(z) at held-out codes, r a mixture fitted to training codes, or p itself where that
                   fits better, so that the part is zero
    family         the best q of the posterior's family against log p(x); amortisation: the encoder's q against the best
                   (Cremer et al., 2018), which is the encoder's own where descent found none better. log p(x) is
                   estimated from below, so their sum is, if anything, too small
    code           the rest: the cost of identifying the image's code among the others, and the width of its posterior

Prior, family and amortisation cannot be negative: an estimate whose mean is below zero is replaced by zero.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.data.batches import Batch
from src.inference.importance import elbo, nll, refine
from src.inference.proposals import propose
from src.models.distributions import CodeDistribution
from src.models.vae import VAE
from src.support.noise import Noise

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

DRAWS, AT_ONCE = 50, 5  # codes of an image that an ELBO is averaged over, and that are decoded together
RATE, STEPS = 0.05, 200  # learning rate and steps of the descent to the best code
COMPONENTS, EACH = 50, 100  # largest number of components of the mixture r; codes that each needs
RIDGE = 1e-4  # added to the variances of the mixture
NON_NEGATIVE = ("prior", "posterior", "family", "amortisation")


class Bounds(NamedTuple):
    """Upper bounds of -log p(x), (B,) nats, and the number of effective samples of the last.

    encoder: -ELBO of the encoder's q; refined: that of the best q of its family, None for a flow; nll: the
    importance-weighted estimate
    """

    encoder: Tensor
    refined: Tensor | None
    nll: Tensor
    effective: Tensor


def bounds(vae: VAE, batch: Batch, noise: Noise, samples: int, steps: int) -> Bounds:
    """The bounds for the images of a batch; the last from `samples` codes of the mixture of proposals.py.

    A Gaussian that is refined from the encoder's alone may miss the posterior, and leave the estimate far too high.
    Refinement takes `steps`, and begins with the same parameters as that of the mixture.
    """
    with torch.no_grad():
        q = vae.given(batch.y).encode(batch.x)
    proposal = propose(vae, batch, noise, steps)
    estimate, effective = nll(vae, batch, samples, noise, proposal.mixture)
    own = -mean_elbo(vae, batch, q, noise)
    if q.gaussian_covariance is None:
        return Bounds(own, None, estimate, effective)
    diagonal = q.gaussian_covariance == "diagonal"
    best = refine(vae, batch, noise, proposal.start[:2], steps) if diagonal else proposal.refined
    return Bounds(own, torch.minimum(-mean_elbo(vae, batch, best, noise), own), estimate, effective)


def clip_parts(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parts (N,), with zeros for those that cannot be negative and whose mean is."""
    return {
        name: np.zeros_like(nats) if name in NON_NEGATIVE and nats.mean() < 0 else nats for name, nats in parts.items()
    }


@torch.no_grad()
def mean_elbo(vae: VAE, batch: Batch, q: CodeDistribution, noise: Noise) -> Tensor:
    """The ELBO with posteriors q, (B,) in float64, over DRAWS codes of each image, with the same noise for any q."""
    eps = noise.at("ELBO").normal(batch.index, DRAWS, vae.latent_dim, like=batch.x)
    return torch.stack([elbo(vae, batch, q, part).double() for part in eps.split(AT_ONCE)]).mean(0)


@torch.enable_grad()
def best_code_cost(vae: VAE, batch: Batch, target: Tensor, steps: int = STEPS) -> Tensor:
    """min_z -log p(target|z), (B,), by Adam from the codes of the batch.

    For binary images `target` may be their intensity, for the mean of -log p(x|z) over all x drawn from it.
    """
    vae, x = vae.given(batch.y), batch.x
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
    entropy = torch.special.entr(intensity.double()) + torch.special.entr(1 - intensity.double())
    return entropy.flatten(1).sum(1)


def fit_mixture(codes: np.ndarray, seed: int) -> "GaussianMixture":
    """A mixture of Gaussians r(z) fitted to codes (N, D); its `score_samples` is the log density."""
    from sklearn.mixture import GaussianMixture

    components = int(np.clip(len(codes) // EACH, 1, COMPONENTS))
    return GaussianMixture(components, random_state=seed % 2**32, reg_covar=RIDGE).fit(codes)


@torch.no_grad()
def prior_gain(density: "GaussianMixture", vae: VAE, batch: Batch, noise: Noise) -> Tensor:
    """E_q[log r(z) - log p(z)], (B,) in float64, over DRAWS codes of each image, r the fitted `density`.

    Its mean over images is at most KL(q(z), p(z)): what a prior r would gain if all else stayed the same.
    """
    z = posterior_codes(vae, batch, noise.at("held out"), DRAWS)
    log_r = density.score_samples(z.flatten(0, 1).double().cpu().numpy()).reshape(z.shape[:-1])
    return (torch.from_numpy(log_r) - vae.given(batch.y).prior().log_prob(z).double().cpu()).mean(0)


@torch.no_grad()
def posterior_codes(vae: VAE, batch: Batch, noise: Noise, samples: int) -> Tensor:
    """Codes (samples, B, D) from the posteriors of a batch."""
    eps = noise.at("codes").normal(batch.index, samples, vae.latent_dim, like=batch.x)
    return vae.given(batch.y).encode(batch.x).rsample_and_log_prob(eps)[0]
