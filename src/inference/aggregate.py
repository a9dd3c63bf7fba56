"""Quantities of the aggregate posterior q(z) = mean_x q(z|x): mutual information, KL from the prior, total correlation.

All are bounds in nats, estimated from finitely many images. A bound weaker than these inequalities is replaced by them:
    0 <= I(x; z) = R - KL(q(z), p(z)) <= R, with R = E[KL(q(z|x), p(z))];   0 <= TC <= KL(q(z), p(z)) of a product p(z)
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.inference.metrics import PAIRS
from src.models.distributions import CodeDistribution
from src.models.gaussians import DiagonalGaussian
from src.support.statistics import Estimate, estimate

MIXTURES = (1, 10, 50)  # components of the densities that bound the total correlation
EACH = 100  # codes that each component needs
RIDGE, TOLERANCE = 1e-4, 1e-2  # added to the components' variances; gain in nats below which the fit stops


def clip(values: np.ndarray, high: float) -> Estimate:
    """The estimate of a quantity between 0 and `high`; one below 0 is replaced by 0, without an error."""
    mean, se = estimate(values)
    return Estimate(0.0, None if se is None else 0.0) if mean < 0 else Estimate(min(mean, high), se)


def information(kl: np.ndarray, gain: np.ndarray, lower: np.ndarray | None) -> dict[str, Estimate | float]:
    """Bounds of I(x; z) and of KL(q(z), p(z)) from both sides, by name.

    kl: KL(q(z|x), p(z)) of N images, (N,)
    gain: log r(z) - log p(z) at a code of each image, for any density r, (N,): its mean is at most KL(q(z), p(z))
    lower: `metrics.mutual_information`, (N,): its mean is at most I(x; z), and at most log N, a cap of the estimate
        that I itself may exceed; None for a posterior whose density is not known for any code
    """
    rate, numbers = max(float(kl.mean()), 0.0), {}
    least = 0.0
    if lower is not None:
        numbers["mutual_information"] = clip(lower, rate)
        numbers["mutual_information_cap"] = math.log(len(lower))
        least = numbers["mutual_information"].mean
    at_least = clip(gain, rate - least)
    numbers |= {"aggregate_kl_at_most": rate - least, "aggregate_kl_at_least": at_least}
    return numbers | {"mutual_information_at_most": max(rate - at_least.mean, least)}


class Dependence(NamedTuple):
    """The total correlation TC = KL(q(z), prod_d q(z_d)).

    least: (N,), whose mean is a lower bound
    gaussian: its value if q(z) had the dependence of a Gaussian, -1/2 log det R
    """

    least: np.ndarray
    gaussian: float


def dependence(reference: np.ndarray, codes: np.ndarray, seed: int) -> Dependence:
    """The total correlation of codes (N, D), with densities that are fitted to `reference`, other codes (M, D).

    TC does not change when each dimension is mapped to a standard normal one by its own quantiles: what remains is the
    distance of the codes from N(0, I). A mixture r of Gaussians is fitted to the mapped reference, and the mean of
    log r - log N(0, I) over the mapped `codes` is at most TC, below it by KL(q, r), the misfit of the mixture. Of
    mixtures of several sizes, and of independence, which gives 0, the one with the largest mean is used. R is the
    correlation of the mapped reference, whose sampling adds D (D - 1) / 4M. In one dimension all are 0.
    """
    from sklearn.mixture import GaussianMixture

    if codes.shape[1] == 1:
        return Dependence(np.zeros(len(codes)), 0.0)
    others, scores = normal_scores(reference, reference), normal_scores(reference, codes)
    independent = -0.5 * np.square(scores).sum(1) - 0.5 * codes.shape[1] * math.log(2 * math.pi)
    candidates = [np.zeros(len(codes))]
    for size in MIXTURES:
        if size == 1 or size * EACH <= len(others):
            fit = GaussianMixture(size, random_state=seed % 2**32, reg_covar=RIDGE, tol=TOLERANCE).fit(others)
            candidates.append(fit.score_samples(scores) - independent)
    log_det = np.linalg.slogdet(np.corrcoef(others.T))[1]
    return Dependence(max(candidates, key=np.mean), float(-0.5 * log_det))


def normal_scores(among: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Codes (N, D) with each dimension mapped to N(0, 1) by its quantiles among others (M, D)."""
    levels = (np.arange(len(among)) + 0.5) / len(among)
    columns = zip(codes.T, np.sort(among, 0).T, strict=True)
    quantiles = np.stack([np.interp(own, column, levels) for own, column in columns], 1)
    return torch.special.ndtri(torch.from_numpy(quantiles)).numpy()


@torch.no_grad()
def dependence_at_most(q: CodeDistribution, z: Tensor, log_qz: Tensor) -> float:
    """An upper estimate of TC: the mean over codes z (N, D) of the N posteriors q of log q(z) - sum_d log q(z_d).

    log_qz: `metrics.aggregate_log_prob`, (N,), in which each code meets its own posterior. In the marginals it meets
    those of the others only, so that the one errs upwards and the other downwards. Where I(x; z) exceeds log N, the
    result is too large by at least the difference, which no estimate from N images can avoid (McAllester & Stratos,
    2020). Raises TypeError for a posterior without marginals.
    """
    if z.shape[1] == 1:
        return 0.0
    marginals = q.marginals()
    if marginals is None:
        raise TypeError(f"the total correlation needs a posterior with marginals, not {q.name}")
    n, parts = len(z), []
    for rows in torch.arange(n, device=z.device).split(max(1, PAIRS // n)):
        across = marginals.log_prob(z[rows, None])
        across[torch.arange(len(rows)), rows] = -torch.inf
        parts.append((across.double().logsumexp(1) - math.log(n - 1)).sum(-1))
    return max(float((log_qz - torch.cat(parts)).mean()), 0.0)


def shuffle_dimensions(q: CodeDistribution, z: Tensor, seed: int) -> tuple[DiagonalGaussian, Tensor]:
    """Gaussian posteriors and codes (N, D) with the marginals q(z_d) of the given ones and independent dimensions.

    Each dimension is that of another image, so any dependence that remains is due to chance. Raises TypeError for a
    posterior that is no Gaussian.
    """
    marginals = q.marginals()
    if q.gaussian_covariance is None or marginals is None:
        raise TypeError(f"shuffling dimensions needs a Gaussian posterior, not {q.name}")
    generator = torch.Generator().manual_seed(seed)
    order = torch.stack([torch.randperm(len(z), generator=generator) for _ in range(z.shape[1])], 1).to(z.device)
    return DiagonalGaussian(marginals.mean.gather(0, order), marginals.stddev.gather(0, order)), z.gather(0, order)
