"""Embeddings of codes: smooth from frame to frame, with correct measures of neighbours."""

import numpy as np
import pytest

from src.figures import embedding


def moving_clusters(points: int, dimensions: int, epochs: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Codes (epochs + 1, P, D) whose `classes` part steadily, and the labels (P,)."""
    rng = np.random.default_rng(0)
    labels = np.arange(points) % classes
    centres, spread = rng.normal(size=(classes, dimensions)), rng.normal(size=(points, dimensions))
    return np.stack([0.3 * spread + (0.1 + 0.15 * epoch) * centres[labels] for epoch in range(epochs + 1)]), labels


def test_the_untrained_models_tiny_codes_embed_like_any_others():
    codes, labels = moving_clusters(60, 4, epochs=8)
    plane, tiny = (embedding.normalise(embedding.embed(scale * codes[-1])) for scale in (1, 2.0**-20))
    assert np.array_equal(plane, tiny)
    assert embedding.knn_accuracy(embedding.neighbours(plane), labels) > 0.9


@pytest.mark.parametrize("points", [40, 6])
def test_a_single_dimension_is_embedded(points):
    """As the pixel of images of one is, with which the codes are compared."""
    plane = embedding.embed(np.random.default_rng(0).integers(0, 2, (points, 1)).astype(float))
    assert plane.shape == (points, 2)
    assert np.isfinite(plane).all()


def test_tsne_frames_travel_and_keep_their_scale():
    codes, labels = moving_clusters(100, 6, epochs=20)
    planes = np.stack(list(embedding.embed_backwards(codes[10:])))[::-1]
    assert np.allclose(planes.mean(1), 0, atol=1e-9)
    assert np.allclose((planes**2).sum(2).mean(1), 1)
    steps = np.linalg.norm(np.diff(planes, axis=0), axis=2).mean(1)
    assert steps.max() < 0.15
    # constant frames would be smooth as well, so each must preserve the neighbours of its own codes
    near = [[embedding.neighbours(points) for points in space] for space in (codes[10:], planes)]
    assert min(map(embedding.neighbour_overlap, *near)) > 0.4
    afresh = [embedding.normalise(embedding.embed(points)) for points in codes[10:13]]
    assert np.linalg.norm(np.diff(afresh, axis=0), axis=2).mean() > steps.max()
    assert embedding.knn_accuracy(near[1][-1], labels) > 0.95


def test_neighbours_against_brute_force():
    rng = np.random.default_rng(2)
    points, plane, labels = rng.normal(size=(30, 5)), rng.normal(size=(30, 2)), rng.integers(0, 3, 30)

    def nearest(space: np.ndarray, i: int, k: int) -> list[int]:
        return sorted((j for j in range(30) if j != i), key=lambda j: np.linalg.norm(space[i] - space[j]))[:k]

    right, shared = 0, 0
    for i in range(30):
        votes = [int(labels[j]) for j in nearest(points, i, 10)]
        right += max(sorted(set(votes)), key=votes.count) == labels[i]
        shared += len(set(nearest(points, i, 10)) & set(nearest(plane, i, 10)))
    near, near_in_plane = embedding.neighbours(points), embedding.neighbours(plane)
    assert embedding.knn_accuracy(near, labels) == pytest.approx(right / 30)
    assert embedding.neighbour_overlap(near, near_in_plane) == pytest.approx(shared / 300)
    assert embedding.neighbour_overlap(near, near) == 1
    assert {tuple(sorted(row)) for row in embedding.neighbours(points[:5])} == {
        tuple(j for j in range(5) if j != i) for i in range(5)
    }
