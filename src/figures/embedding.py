"""Embeddings of codes in the plane, and how well these preserve neighbours."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from openTSNE import TSNEEmbedding

NEIGHBOURS = 10
GRID = 2.0**18  # steps of a coordinate along the RMS distance of the points
# theta is coarser than the customary 0.5: this is faster and preserves as many neighbours
DESCENT = {"momentum": 0.8, "theta": 1.0}
SEED = 0


def nearest(points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other points of each of `points` (P, D), nearest first: indices and distances (P, k).

    Distances are in units of the RMS distance from the centre.
    """
    # products and sums of whole numbers are exact, in whatever order the threads of a machine add them up
    places = np.rint(normalise(points) * GRID)
    norms = (places**2).sum(1)
    squares = norms[:, None] + norms - 2 * places @ places.T
    np.fill_diagonal(squares, np.inf)
    k = min(k, len(points) - 1)
    indices = np.argpartition(squares, k - 1)[:, :k]
    order = np.take_along_axis(squares, indices, 1).argsort(1, kind="stable")
    indices = np.take_along_axis(indices, order, 1)
    return indices, np.sqrt(np.take_along_axis(squares, indices, 1)) / GRID


def neighbours(points: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """The indices (P, k) of the k nearest other points of each of `points` (P, D), nearest first."""
    return nearest(points, k)[0]


def knn_accuracy(near: np.ndarray, labels: np.ndarray) -> float:
    """The share of points whose label (P,) wins the vote of their neighbours `near` (P, k); ties go to the lowest."""
    votes = labels[near][..., None] == np.arange(labels.max() + 1)
    return float((votes.sum(1).argmax(1) == labels).mean())


def neighbour_overlap(near: np.ndarray, near_in_plane: np.ndarray) -> float:
    """The mean share of a point's neighbours `near` (P, k) that are also its neighbours in the plane (P, k)."""
    member = np.zeros((2, len(near), len(near)), dtype=bool)
    for space, indices in zip(member, (near, near_in_plane), strict=True):
        np.put_along_axis(space, indices, True, axis=1)
    return float(member.all(0).sum(1).mean() / near.shape[1])


def embed_backwards(codes: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """The t-SNE (P, 2) of each of `codes` (P, D), the last first, centred and with RMS 1.

    The last is embedded from its principal components. Each earlier one starts from the plane of its successor and
    without early exaggeration, which would form clusters at new places: so the points move without jumps.
    """
    *earlier, last = codes
    plane = embed(last)
    yield normalise(plane)
    for points in reversed(earlier):
        plane = _embedding(points, plane).optimize(n_iter=25, learning_rate=3 * len(points), **DESCENT)
        yield normalise(np.asarray(plane))


def embed(points: np.ndarray) -> np.ndarray:
    """The t-SNE (P, 2) of `points` (P, D), from their principal components."""
    embedding = _embedding(points, principal_plane(points)).optimize(n_iter=50, exaggeration=12, **DESCENT)
    # at three times the customary learning rate, a fifth of the customary steps is enough for so few points
    return embedding.optimize(n_iter=150, learning_rate=3 * len(points), **DESCENT)


def principal_plane(points: np.ndarray) -> np.ndarray:
    """The first two principal components (P, 2), small as t-SNE needs them at its start, plus a little noise."""
    from sklearn.decomposition import PCA

    points = np.pad(points, ((0, 0), (0, max(0, 2 - points.shape[1]))))  # a single dimension has no second component
    with np.errstate(invalid="ignore"):  # identical codes have no variance to explain
        plane = PCA(2, svd_solver="full").fit_transform(normalise(points))
    # the last digits of the decomposition depend on the number of threads, and t-SNE amplifies them: round
    return 1e-4 * normalise(plane).round(6) + 1e-6 * np.random.default_rng(SEED).standard_normal(plane.shape)


def normalise(points: np.ndarray) -> np.ndarray:
    """`points` (P, D), centred and scaled to an RMS distance from the centre of 1, or of 0 if they coincide."""
    centred = points - points.mean(0, dtype=np.float64)
    rms = np.sqrt((centred**2).sum(1).mean())
    return centred / rms if rms > 0 else centred


def _embedding(points: np.ndarray, start: np.ndarray) -> "TSNEEmbedding":
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    perplexity = min(30, (len(points) - 1) / 3)
    index = PrecomputedNeighbors(*nearest(points, int(3 * perplexity)))
    affinities = PerplexityBasedNN(knn_index=index, perplexity=perplexity)
    return TSNEEmbedding(np.asarray(start), affinities, negative_gradient_method="bh", random_state=SEED)
