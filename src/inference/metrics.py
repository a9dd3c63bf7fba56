"""Numbers that describe a VAE."""

import contextlib
import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from src.data.batches import Batch
from src.models.distributions import DiagonalGaussian, FullGaussian
from src.models.divergences import kl_per_dim
from src.models.vae import VAE
from src.support import noise
from src.training.objectives import draw

ACTIVE = 0.01  # variance of the posterior mean over images, above which a dimension counts (Burda et al., 2016)

PAIRS = 200_000  # densities of codes under posteriors that are computed at once


def active_units(means: np.ndarray) -> int:
    """How many latent dimensions vary with the image: Var_x(E_q[z_d | x]) > 0.01, from posterior means (N, D)."""
    return int((means.var(0, dtype=np.float64) > ACTIVE).sum())


def estimate(name: str, values: np.ndarray) -> dict[str, float]:
    """The mean of `values` (N,) in float64 under `name`, and under `name`_se its standard error, which one alone has
    not."""
    values = np.asarray(values, np.float64)
    mean = {name: float(values.mean())}
    return mean | ({f"{name}_se": float(values.std(ddof=1) / math.sqrt(len(values)))} if len(values) > 1 else {})


@torch.no_grad()
def elbo_terms(vae: VAE, batches: Iterable[Batch], seed: int, samples: int = 1) -> dict[str, np.ndarray]:
    """`elbo`, `recon` and `kl` of each image, nats, (N,) float64, over `samples` codes; with those of the objective and
    the seed of the training, the noise is that of the evaluation in training."""
    found = []
    for batch in batches:
        drawn = noise.normal(seed, batch.index, (samples, vae.latent_dim)).transpose(0, 1).to(batch.x)
        terms = draw(vae, batch.x, drawn)
        found.append(torch.stack([terms.recon(), terms.kl("closed")]).double())
    recon, kl = torch.cat(found, 1).cpu().numpy()
    return {"elbo": -(recon + kl), "recon": recon, "kl": kl}


@torch.no_grad()
def dimensions(vae: VAE, batches: Iterable[Batch]) -> tuple[np.ndarray, np.ndarray | None]:
    """Posterior means (N, D), and the mean KL of each dimension (D,), nats; None where it has no closed form."""
    p, means, kl = vae.prior(), [], []
    for batch in batches:
        q = vae.encode(batch.x)
        means.append(q.mean)
        with contextlib.suppress(TypeError):  # of two that do not factorise
            kl.append(kl_per_dim(q, p).double())
    return torch.cat(means).cpu().numpy(), torch.cat(kl).mean(0).cpu().numpy() if kl else None


@torch.no_grad()
def code_gain(vae: VAE, batch: Batch, seed: int) -> Tensor:
    """log p(x|z) - log p(x|z') (B,), nats: what a code z of the image is worth beside one z' of another image of the
    batch. Zero where the decoder ignores codes, however much these differ."""
    drawn = noise.normal(seed, batch.index, (vae.latent_dim,)).to(batch.x)
    z = vae.encode(batch.x).rsample_and_log_prob(drawn)[0]
    other = z.roll(len(z) // 2, 0)  # neighbours in a file are often of one class
    return vae.decode(z).log_prob(batch.x) - vae.decode(other).log_prob(batch.x)


@torch.no_grad()
def unexplained(vae: VAE, batch: Batch, mean: Tensor) -> float:
    """The squared error of the reconstructions over that of `mean` (C, H, W): 1 where they are no nearer to the images;
    NaN where these are all like the mean."""
    error, whole = (float((guess - batch.x).double().square().sum()) for guess in (vae.reconstruct(batch.x), mean))
    return error / whole if whole else math.nan


def mean_image_cost(train: np.ndarray, images: np.ndarray) -> float:
    """-log p(x), nats per image of binary images (N, C, H, W), 0 or 255, of the model that knows of the training images
    (M, C, H, W) uint8 nothing but each pixel's mean: of pixels that are independent, and by half an image less sure."""
    white, seen = train.mean(0, dtype=np.float64) / 255, images.mean(0, dtype=np.float64) / 255
    p = (len(train) * white + 0.5) / (len(train) + 1)
    return float(-(seen * np.log(p) + (1 - seen) * np.log(1 - p)).sum())


@torch.no_grad()
def aggregate_log_prob(q: Distribution, z: Tensor) -> Tensor:
    """log q(z) = log 1/N sum_n q(z|x_n) at codes z (M, D), of the posteriors q of N images; (M,), float64.

    Raises TypeError for a posterior that knows the density of its own samples alone.
    """
    if not isinstance(q, DiagonalGaussian | FullGaussian):
        raise TypeError("the aggregate posterior needs the density of any code: a Gaussian posterior")
    at_once = max(1, PAIRS // len(q.mean))
    rows = [q.log_prob(part[:, None]).double().logsumexp(1) for part in z.split(at_once)]
    return torch.cat(rows) - math.log(len(q.mean))


def mutual_information(q: Distribution, z: Tensor, log_q: Tensor) -> Tensor:
    """log q(z|x) - log q(z), (N,), from a draw z (N, D) of each of N posteriors and its density log_q (N,).

    The mean estimates I(x; z) from below and is at most log N, however much the codes say (Hoffman & Johnson, 2016).
    Raises TypeError as `aggregate_log_prob` does.
    """
    return log_q.double() - aggregate_log_prob(q, z)


def nearest(images: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each image (S, C, H, W) the index of its nearest in squared pixel distance, found in blocks of both."""
    found = []
    for part in torch.from_numpy(images).split(1000):
        a = part.flatten(1).float()
        blocks = (block.flatten(1).float() for block in torch.from_numpy(among).split(5000))
        found.append(torch.cat([b.square().sum(1) - 2 * a @ b.T for b in blocks], 1).argmin(1))
    return torch.cat(found).numpy()


def bits_per_dim(nats: float, pixels: int, density: bool) -> float:
    """Bits a pixel of 256 grey levels costs, from the nats of an image of so many pixels.

    A density speaks of (k + u) / 256, and bounds the probability of the level k by itself / 256 (Theis et al., 2016).
    """
    return nats / pixels / math.log(2) + 8 * density
