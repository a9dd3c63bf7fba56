"""Measures of the latent code: mutual information, total correlation of its dimensions, prediction of classes."""

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.build import Run
from src.data.selection import evenly_spread_rows
from src.data.sources import Split
from src.evaluation import samplers
from src.inference import aggregate, decomposition, metrics
from src.models.distributions import CodeDistribution
from src.support.noise import Noise

IMAGES = 5000  # evenly spread images, whose posteriors make up the aggregate posterior
CODES = 20_000  # codes of evenly spread training images, to which densities are fitted
NEIGHBOURS = 10


@torch.no_grad()
def latent_use(run: Run, images: Split, kl: np.ndarray, means: np.ndarray, count: int = IMAGES) -> dict[str, Any]:
    """Active units, mutual information, KL of the aggregate posterior, and total correlation; nats.

    The last three are bounded from both sides (src/inference/aggregate.py), from `count` images. The density r there
    is a mixture of Gaussians fitted to codes of training images. `total_correlation` is a lower bound, and
    `total_correlation_gaussian` what correlations alone amount to. `total_correlation_at_most` is an upper estimate;
    `total_correlation_at_most_if_independent` is its value when the dimensions are shuffled over the images, so that
    the true one is 0. The estimate of `objective=beta_tc`, from a batch, is of this kind, and higher.

    Of a conditional model x stands for an image and its label. With a prior p(z|y) the last two bounds are of I(x; z|y)
    and of the mean KL(q(z|y), p(z|y)), whose other bounds are not known.

    kl: KL(q(z|x), p(z)) of each image, (N,); means: the means of the posteriors, (N, D)
    """
    rows = evenly_spread_rows(len(images.images), count)
    batch = next(iter(run.batches(images.take(rows), len(rows))))
    vae = run.vae.given(batch.y)
    q, p = vae.encode(batch.x), vae.prior()
    z, log_q = q.rsample_and_log_prob(Noise(run.seed).normal(batch.index, vae.latent_dim, like=batch.x))
    # other posteriors may evaluate the density of their own samples only, and need not have marginals
    log_qz = None if q.gaussian_covariance is None else metrics.aggregate_log_prob(q, z)
    is_of_all = not p.batch_shape  # one p(z), with which the aggregate posterior of all images is compared
    lower = (log_q.double() - log_qz).cpu().numpy() if log_qz is not None and is_of_all else None
    reference, codes = training_codes(run), z.double().cpu().numpy()
    density = decomposition.fit_mixture(reference, run.seed)
    gain = density.score_samples(codes) - p.log_prob(z).double().cpu().numpy()
    numbers = {"active_units": metrics.active_units(means)} | aggregate.information(kl[rows], gain, lower)
    at_most: dict[str, float] = {}
    # only the KL from a factorised prior bounds TC
    if is_of_all and q.factors() is not None and p.factors() is not None:
        at_most["total_correlation_at_most"] = numbers["aggregate_kl_at_most"]
    if log_qz is not None and len(z) > 1:
        shuffled = shuffled_total_correlation(q, z, run.seed)
        least = min(at_most.get("total_correlation_at_most", np.inf), aggregate.dependence_at_most(q, z, log_qz))
        at_most = {"total_correlation_at_most": least, "total_correlation_at_most_if_independent": shuffled}
    dependence = aggregate.dependence(reference, codes, run.seed)
    high = at_most.get("total_correlation_at_most", np.inf)
    numbers["total_correlation"] = aggregate.clip(dependence.least, high)
    return numbers | {"total_correlation_gaussian": dependence.gaussian} | at_most


def training_codes(run: Run, count: int = CODES) -> np.ndarray:
    """Samples of the posteriors of training images (M, D) in float64, evenly spread over all that `samplers` draws.

    The first `count` codes would belong to the first training images only.
    """
    codes = samplers.codes(run).double().cpu().numpy()
    return codes[evenly_spread_rows(len(codes), count)]


def shuffled_total_correlation(q: CodeDistribution, z: Tensor, seed: int) -> float:
    """The upper estimate of a total correlation of zero: that of the codes with their dimensions shuffled."""
    q, z = aggregate.shuffle_dimensions(q, z, seed)
    return aggregate.dependence_at_most(q, z, metrics.aggregate_log_prob(q, z))


def representation(run: Run, means: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """How well posterior means (N, D) predict the classes (N,) of their images; empty for a single class.

    The accuracies are those of a linear probe and of nearest neighbours, both fitted to the training images. The others
    are the agreement of the classes with as many clusters of k-means: normalised mutual information and adjusted Rand
    index.
    """
    if len(np.unique(labels)) < 2:
        return {}
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.neighbors import KNeighborsClassifier

    train, train_labels = run.codes(run.train), run.train.labels
    centre, spread = train.mean(0), train.std(0) + 1e-6
    train, means = (train - centre) / spread, (means - centre) / spread
    probe = LogisticRegression(max_iter=500).fit(train, train_labels)
    neighbours = KNeighborsClassifier(min(NEIGHBOURS, len(train))).fit(train, train_labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer distinct codes than classes
        clusters = KMeans(len(np.unique(train_labels)), n_init=5, random_state=run.seed).fit(train).predict(means)
    return {
        "linear_probe_accuracy": float(probe.score(means, labels)),
        "knn_accuracy": float(neighbours.score(means, labels)),
        "clusters_nmi": float(normalized_mutual_info_score(labels, clusters)),
        "clusters_ari": float(adjusted_rand_score(labels, clusters)),
    }
