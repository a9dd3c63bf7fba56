"""Embeddings of codes in the plane, and what they keep of the neighbours."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.spatial.distance import cdist

NEIGHBOURS = 10
SEED = 0


def neighbours(points: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """The indices (P, k) of the k nearest other points of each of `points` (P, D), in no order."""
    distances = cdist(points, points, "sqeuclidean")
    np.fill_diagonal(distances, np.inf)
    k = min(k, len(points) - 1)
    return np.argpartition(distances, k - 1)[:, :k]


def knn_accuracy(points: np.ndarray, labels: np.ndarray, k: int = NEIGHBOURS) -> float:
    """Share of points whose label (P,) wins the vote of their k nearest other points, the lowest a tie."""
    votes = labels[neighbours(points, k)][..., None] == np.arange(labels.max() + 1)
    return float((votes.sum(1).argmax(1) == labels).mean())


def neighbours_kept(points: np.ndarray, plane: np.ndarray, k: int = NEIGHBOURS) -> float:
    """Mean share of a point's k nearest in `points` (P, D) that are among its k nearest in `plane` (P, 2)."""
    member = np.zeros((2, len(points), len(points)), dtype=bool)
    for space, positions in zip(member, (points, plane), strict=True):
        np.put_along_axis(space, neighbours(positions, k), True, axis=1)
    return float(member.all(0).sum(1).mean() / min(k, len(points) - 1))


def backwards(codes: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """The t-SNE (P, 2) of each of `codes` (P, D), the last first, centred and with RMS 1.

    The last is embedded from its principal components. Each earlier one starts from its successor's plane,
    without early exaggeration, which would gather the points anew elsewhere: so they travel and do not jump.
    """
    *earlier, last = codes
    plane = embed(last)
    yield unit(plane)
    for points in reversed(earlier):
        plane = _embedding(points, plane).optimize(n_iter=100, momentum=0.8)
        yield unit(np.asarray(plane))


def embed(points: np.ndarray) -> np.ndarray:
    """The t-SNE (P, 2) of `points` (P, D), from their principal components."""
    embedding = _embedding(points, principal_plane(points))
    # twice the customary early exaggeration: classes part a little better (10-NN in the plane 0.88 against 0.87)
    return embedding.optimize(n_iter=500, exaggeration=12, momentum=0.8).optimize(n_iter=500, momentum=0.8)


def principal_plane(points: np.ndarray) -> np.ndarray:
    """The first two principal components (P, 2), small as t-SNE wants its start, and a little noise."""
    from sklearn.decomposition import PCA

    with np.errstate(invalid="ignore"):  # codes that are all alike have no variance to explain
        plane = PCA(2, svd_solver="full").fit_transform(unit(points))
    # the decomposition's last digits depend on the number of threads, and t-SNE makes much of them: round
    return 1e-4 * unit(plane).round(6) + 1e-6 * np.random.default_rng(SEED).standard_normal(plane.shape)


def unit(points: np.ndarray) -> np.ndarray:
    """`points` (P, D) centred and scaled to a root mean square distance from the centre of 1 (or 0)."""
    centred = points - points.mean(0, dtype=np.float64)
    rms = np.sqrt((centred**2).sum(1).mean())
    return centred / rms if rms > 0 else centred


def _embedding(points: np.ndarray, start: np.ndarray):
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN

    # one thread, since for a thousand points a second one gains nothing, and distances that do not depend on
    # their number: the same codes give the same picture anywhere on a machine
    options = {"n_jobs": 1, "random_state": SEED}
    points = unit(points)
    perplexity = min(30, (len(points) - 1) / 3)
    affinities = PerplexityBasedNN(cdist(points, points), metric="precomputed", perplexity=perplexity, **options)
    return TSNEEmbedding(np.asarray(start), affinities, negative_gradient_method="bh", **options)
