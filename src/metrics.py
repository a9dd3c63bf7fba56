"""Numbers that describe a VAE."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from src.distributions import DiagonalGaussian, FullGaussian

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
    """For each image (S, C, H, W) the index of its nearest in squared pixel distance, found in blocks of `among`."""
    a = torch.from_numpy(images).flatten(1).float()
    distances = [
        (b.square().sum(1) - 2 * a @ b.T) for b in (c.flatten(1).float() for c in torch.from_numpy(among).split(5000))
    ]
    return torch.cat(distances, 1).argmin(1).numpy()


def bits_per_dim(nats: float, pixels: int, density: bool) -> float:
    """Bits a pixel of 256 grey levels costs, from the nats of an image of so many pixels.

    A density speaks of (k + u) / 256, and bounds the probability of the level k by itself / 256 (Theis et al., 2016).
    """
    return nats / pixels / math.log(2) + 8 * density
