"""Which images of a split are used: each class by its share, each part of the order, and the same ones every time."""

import numpy as np
import pytest

from src.data.selection import (
    class_balanced_rows,
    class_balanced_subset,
    equidistant_rows,
    evenly_spread_rows,
    mixed_rows,
    random_rows,
    stratified_rows,
)
from src.data.sources import Split


@pytest.mark.parametrize(("among", "count"), [(50_000, 5000), (5001, 5000), (7, 3), (3, 7), (10, 10)])
def test_a_subset_is_spread_evenly_and_always_the_same(among, count):
    rows = evenly_spread_rows(among, count)
    assert np.array_equal(rows, evenly_spread_rows(among, count))
    edges = np.linspace(0, among, min(among, count) + 1).astype(int)  # a row of each part
    assert all(a <= row < b for a, b, row in zip(edges, edges[1:], rows, strict=False))
    assert len(rows) == min(among, count)


@pytest.mark.parametrize("period", [2, 4, 10])
def test_a_subset_is_even_where_the_order_of_the_images_has_a_period(period):
    counts = np.bincount(evenly_spread_rows(50_000, 5000) % period, minlength=period)
    assert np.abs(counts - 5000 / period).max() < 4 * (5000 / period) ** 0.5


def test_a_representative_subset_has_of_each_class_its_share():
    random = np.random.default_rng(1)
    labels = random.choice(3, 9000, p=[0.7, 0.2, 0.1])
    rows = stratified_rows(labels, 1000)
    assert len(np.unique(rows)) == 1000
    assert np.abs(np.bincount(labels[rows]) - np.bincount(labels) / 9).max() <= 1
    for label in range(3):  # and evenly over the order of the images
        assert np.median(rows[labels[rows] == label]) == pytest.approx(4500, abs=450)


def test_classes_take_turns():
    labels = np.array([0] * 50 + [1] * 3 + [2] * 20)
    chosen = class_balanced_rows(labels, 15)
    assert len(set(chosen)) == 15
    assert np.bincount(labels[chosen]).tolist() == [6, 3, 6]
    assert len(class_balanced_rows(labels, 1000)) == 73


def test_mixed_rows_are_of_different_classes():
    labels = np.repeat([0, 1, 2, 5], [40, 5, 30, 2])
    chosen = mixed_rows(labels, 77, 0)
    assert sorted(chosen) == list(range(77))
    assert {*labels[chosen[:4]]} == {*labels[chosen[4:8]]} == {0, 1, 2, 5}
    assert list(chosen[:6]) == list(mixed_rows(labels, 6, 0)) != list(mixed_rows(labels, 6, 1))
    assert len(set(mixed_rows(np.zeros(9, int), 4, 0))) == 4


def test_a_subset_is_balanced_and_depends_on_the_seed_alone():
    labels = np.repeat([0, 1, 2], [50, 30, 4])
    train = Split(np.arange(84, dtype=np.uint8).reshape(-1, 1, 1, 1), labels)
    chosen = class_balanced_subset(train, 24, 1)
    assert np.bincount(chosen.labels).tolist() == [10, 10, 4]
    assert (labels[chosen.images.ravel()] == chosen.labels).all()
    np.testing.assert_array_equal(chosen.images, class_balanced_subset(train, 40, 1).images[:24])
    assert (chosen.images != class_balanced_subset(train, 24, 2).images).any()
    assert sorted(class_balanced_subset(train, 84, 1).images.ravel().tolist()) == list(range(84))


def test_equidistant_rows_include_both_ends():
    assert equidistant_rows(10, 4).tolist() == [0, 3, 6, 9]
    assert equidistant_rows(3, 9).tolist() == [0, 1, 2]


def test_random_rows_depend_on_the_seed_and_the_purpose():
    rows = random_rows(50, 20, 3, "a")
    assert len(set(rows)) == 20
    assert random_rows(50, 10, 3, "a").tolist() == rows[:10].tolist()
    assert rows.tolist() != random_rows(50, 20, 4, "a").tolist() != random_rows(50, 20, 3, "b").tolist()
    assert sorted(random_rows(5, 20, 3, "a")) == list(range(5))


@pytest.mark.parametrize("rows", [np.array([2, 0]), np.array([True, False, True]), slice(2), slice(None)])
def test_a_split_is_taken_from_with_its_labels(rows):
    split = Split(np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1), np.arange(3))
    taken = split.take(rows)
    assert taken.labels.tolist() == taken.images.ravel().tolist() == np.arange(3)[rows].tolist()
