"""What the aggregate posterior q(z) = mean_x q(z|x) says of a code: how much of the image it holds, how far it is from
the prior, how much its dimensions depend on each other. Nats.

All are bounds, estimated from finitely many images. One that says less than what is known anyway is replaced by that:
    0 <= I(x; z) = R - KL(q(z), p(z)) <= R, with R = E[KL(q(z|x), p(z))];   0 <= TC <= KL(q(z), p(z)) of a product p(z)
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.inference.metrics import PAIRS, estimate
from src.models.distributions import DiagonalGaussian, FullGaussian

MIXTURES = (1, 10, 50)  # components of the densities that the total correlation is sought with
EACH = 100  # codes that a component asks for
RIDGE, TOLERANCE = 1e-4, 1e-2  # added to their variances; nats that a step of the fit must gain, or it ends


def bounded(name: str, values: np.ndarray, high: float) -> dict[str, float]:
    """`estimate`, between 0, which has no error, and `high`."""
    found = estimate(name, values)
    if found[name] < 0:
        return dict.fromkeys(found, 0.0)
    return found | {name: min(found[name], high)}


def information(kl: np.ndarray, gain: np.ndarray, said: np.ndarray | None) -> dict[str, float]:
    """I(x; z) and KL(q(z), p(z)) from both sides.

    kl: KL(q(z|x), p(z)) of N images, (N,); gain: log r(z) - log p(z) at a code of each, for any density r, (N,): its
    mean is at most KL(q(z), p(z)); said: `metrics.mutual_information`, (N,): its mean is at most I(x; z), and at most
    log N, a cap of the estimate that I itself may exceed; None of a posterior whose density is not known at any code
    """
    rate = max(float(kl.mean()), 0.0)
    found = bounded("mutual_information", said, rate) if said is not None else {}
    least = found.get("mutual_information", 0.0)
    if said is not None:
        found["mutual_information_cap"] = math.log(len(said))
    found |= {"aggregate_kl_at_most": rate - least} | bounded("aggregate_kl_at_least", gain, rate - least)
    return found | {"mutual_information_at_most": max(rate - found["aggregate_kl_at_least"], least)}


class Dependence(NamedTuple):
    """The total correlation TC = KL(q(z), prod_d q(z_d)) from below: (N,), of which it is the mean; and what it were
    if q(z) had the dependence of a Gaussian, -1/2 log det R."""

    least: np.ndarray
    gaussian: float


def dependence(fitted_to: np.ndarray, codes: np.ndarray, seed: int) -> Dependence:
    """The total correlation of codes (N, D), with densities that are fitted to other codes (M, D).

    TC does not change when each dimension is mapped to a standard normal one by its own quantiles: what is left is how
    far the codes are from N(0, I). A mixture r of Gaussians is fitted to the others, mapped so, and the mean of log r -
    log N(0, I) over `codes` is at most TC, short of it by KL(q, r): by what the mixture does not catch. Of mixtures of
    several sizes, and of independence, which reads 0, the one with the largest mean is taken. R is the correlation of
    the mapped codes (M, D), whose sampling adds D (D - 1) / 4M to it. 0 in one dimension.
    """
    from sklearn.mixture import GaussianMixture

    if codes.shape[1] == 1:
        return Dependence(np.zeros(len(codes)), 0.0)
    others, scores = normal_scores(fitted_to, fitted_to), normal_scores(fitted_to, codes)
    independent = -0.5 * np.square(scores).sum(1) - 0.5 * codes.shape[1] * math.log(2 * math.pi)
    candidates = [np.zeros(len(codes))]
    for size in MIXTURES:
        if size == 1 or size * EACH <= len(others):
            fit = GaussianMixture(size, random_state=seed % 2**32, reg_covar=RIDGE, tol=TOLERANCE).fit(others)
            candidates.append(fit.score_samples(scores) - independent)
    log_det = np.linalg.slogdet(np.corrcoef(others.T))[1]
    return Dependence(max(candidates, key=np.mean), float(-0.5 * log_det))


def normal_scores(among: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Each dimension of codes (N, D) mapped to N(0, 1) by its quantiles among others (M, D)."""
    levels = (np.arange(len(among)) + 0.5) / len(among)
    columns = zip(codes.T, np.sort(among, 0).T, strict=True)
    quantiles = np.stack([np.interp(own, column, levels) for own, column in columns], 1)
    return torch.special.ndtri(torch.from_numpy(quantiles)).numpy()


@torch.no_grad()
def dependence_at_most(q: DiagonalGaussian | FullGaussian, z: Tensor, log_qz: Tensor) -> float:
    """TC from above: the mean over codes z (N, D) of the N posteriors q of log q(z) - sum_d log q(z_d).

    log_qz: `metrics.aggregate_log_prob`, (N,), in which each code meets its own posterior; in the marginals it meets
    the others' only: the one errs to above, the other to below. Where I(x; z) is larger than log N, it is too large by
    at least the difference, and no estimate from N images could know better (McAllester & Stratos, 2020).
    """
    if z.shape[1] == 1:
        return 0.0
    n, found = len(z), []
    for rows in torch.arange(n, device=z.device).split(max(1, PAIRS // n)):
        across = q.marginals.log_prob(z[rows, None])
        across[torch.arange(len(rows)), rows] = -torch.inf
        found.append((across.double().logsumexp(1) - math.log(n - 1)).sum(-1))
    return max(float((log_qz - torch.cat(found)).mean()), 0.0)


def shuffled(q: DiagonalGaussian | FullGaussian, z: Tensor, seed: int) -> tuple[DiagonalGaussian, Tensor]:
    """Posteriors and codes (N, D) with the same marginals q(z_d) whose dimensions are independent, but for chance:
    each dimension is that of another image."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.stack([torch.randperm(len(z), generator=generator) for _ in range(z.shape[1])], 1).to(z.device)
    each = q.marginals
    return DiagonalGaussian(each.loc.gather(0, order), each.scale.gather(0, order)), z.gather(0, order)
