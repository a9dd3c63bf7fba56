"""Numbers that describe a VAE, from batches of images."""

import contextlib
import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from src.data.batches import Batch
from src.data.pixels import smoothed_mean
from src.models.distributions import CodeDistribution
from src.models.divergences import kl_per_dim
from src.models.vae import VAE
from src.support.noise import Noise

ACTIVE = 0.01  # variance of the posterior mean over images, above which a dimension counts (Burda et al., 2016)

PAIRS = 200_000  # pairs of a code and a posterior whose densities are computed at once


def active_units(means: np.ndarray) -> int:
    """How many latent dimensions vary with the image: Var_x(E_q[z_d | x]) > 0.01, from posterior means (N, D)."""
    return int((means.var(0, dtype=np.float64) > ACTIVE).sum())


@torch.no_grad()
def elbo_terms(vae: VAE, batches: Iterable[Batch], noise: Noise, samples: int = 1) -> dict[str, np.ndarray]:
    """`elbo`, `recon` and `kl` of each image, nats, (N,) float64, over `samples` codes; `kl_per_level` (N, L) too of a
    hierarchy of levels.

    With the samples of the objective and the noise of the run's seed they are the terms of the evaluation in training.
    """
    parts, levels = [], []
    for batch in batches:
        eps = noise.normal(batch.index, samples, vae.latent_dim, like=batch.x)
        draws = vae.given(batch.y).draw(batch.x, eps)
        if vae.levels:
            levels.append(draws.kl_per_level("closed").double())
        kl = levels[-1].sum(1) if levels else draws.kl("closed")
        parts.append(torch.stack([draws.recon().double(), kl.double()]))
    recon, kl = torch.cat(parts, 1).cpu().numpy()
    terms = {"elbo": -(recon + kl), "recon": recon, "kl": kl}
    return terms | ({"kl_per_level": torch.cat(levels).cpu().numpy()} if levels else {})


@torch.no_grad()
def dimensions(vae: VAE, batches: Iterable[Batch]) -> tuple[np.ndarray, np.ndarray | None]:
    """Posterior means (N, D), and the mean KL of each dimension (D,), nats; None where it has no closed form."""
    means, kl = [], []
    for batch in batches:
        model = vae.given(batch.y)
        q, p = model.encode(batch.x), model.prior()
        means.append(q.mean)
        with contextlib.suppress(TypeError):  # q or p does not factorise
            kl.append(kl_per_dim(q, p).double())
    return torch.cat(means).cpu().numpy(), torch.cat(kl).mean(0).cpu().numpy() if kl else None


@torch.no_grad()
def code_gain(vae: VAE, batch: Batch, noise: Noise) -> Tensor:
    """log p(x|z) - log p(x|z') (B,), nats: the gain of a code z of the image over a code z' of another of the batch.

    It is zero where the decoder ignores codes, however much these differ.
    """
    vae = vae.given(batch.y)
    z = vae.encode(batch.x).rsample_and_log_prob(noise.normal(batch.index, vae.latent_dim, like=batch.x))[0]
    other = z.roll(len(z) // 2, 0)  # not its neighbour, since neighbours in a file are often of one class
    return vae.decode(z).log_prob(batch.x) - vae.decode(other).log_prob(batch.x)


@torch.no_grad()
def unexplained_share(vae: VAE, batch: Batch, mean: Tensor) -> float:
    """The squared error of the reconstructions over that of `mean` (C, H, W): 1 if they are no nearer to the images
    than the mean is; NaN if all images equal the mean."""
    guesses = (vae.given(batch.y).reconstruct(batch.x), mean)
    error, total = (float((guess - batch.x).double().square().sum()) for guess in guesses)
    return error / total if total else math.nan


def mean_image_cost(train: np.ndarray, images: np.ndarray) -> float:
    """-log p(x) in nats per binary image (N, C, H, W), 0 or 255, under independent pixels with the means of the
    training images (M, C, H, W) uint8, to which half an image of each level is added."""
    p, seen = smoothed_mean(train), images.mean(0, dtype=np.float64) / 255
    return float(-(seen * np.log(p) + (1 - seen) * np.log(1 - p)).sum())


@torch.no_grad()
def aggregate_log_prob(q: CodeDistribution, z: Tensor) -> Tensor:
    """log q(z) = log 1/N sum_n q(z|x_n) at codes z (M, D), of the posteriors q of N images; (M,), float64.

    Raises TypeError for a posterior whose density is known for its own samples only.
    """
    if not q.evaluates_any_code:
        raise TypeError("the aggregate posterior needs the density of any code: a Gaussian posterior")
    at_once = max(1, PAIRS // len(q.mean))
    rows = [q.log_prob(part[:, None]).double().logsumexp(1) for part in z.split(at_once)]
    return torch.cat(rows) - math.log(len(q.mean))


def mutual_information(q: CodeDistribution, z: Tensor, log_q: Tensor) -> Tensor:
    """log q(z|x) - log q(z), (N,), from a draw z (N, D) of each of N posteriors and its density log_q (N,).

    The mean estimates I(x; z) from below and is at most log N, however much the codes say (Hoffman & Johnson, 2016).
    Raises TypeError as `aggregate_log_prob` does.
    """
    return log_q.double() - aggregate_log_prob(q, z)


def nearest(images: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each image (S, C, H, W) the index of the nearest image in `among`, in Euclidean pixel distance."""
    from sklearn.metrics import pairwise_distances_argmin

    a, b = (each.reshape(len(each), -1).astype(np.float32) for each in (images, among))
    return pairwise_distances_argmin(a, b)


def bits_per_dim(nats: float, pixels: int, density: bool) -> float:
    """Bits per pixel of 256 gray levels, from the nats of an image with `pixels` pixels.

    A density is that of (k + u) / 256; divided by 256 it bounds the probability of the level k (Theis et al., 2016).
    """
    return nats / pixels / math.log(2) + 8 * density
