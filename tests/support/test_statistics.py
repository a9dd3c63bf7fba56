"""Estimates and tables as flat names."""

import numpy as np
import pytest

from src.support.statistics import Estimate, estimate, estimate_by, flatten


def test_an_estimate_is_the_mean_and_its_standard_error():
    values = np.array([1.0, 2.0, 4.0], np.float32)
    assert estimate(values) == pytest.approx(Estimate(7 / 3, np.std([1, 2, 4], ddof=1) / 3**0.5))


def test_one_value_has_no_error():
    assert estimate(np.array([2.0])) == Estimate(2.0, None)


def test_float32_values_are_averaged_in_float64():
    values = np.full(1_000_001, 0.1, np.float32)
    assert estimate(values).mean == float(np.float32(0.1))


def test_tables_and_estimates_are_flattened_in_their_order():
    numbers = {"nll": Estimate(90.0, 0.5), "table": {"row": {"nats": Estimate(1.0, None), "share": 0.2}}, "who": "a"}
    assert list(flatten(numbers).items()) == [
        ("nll", 90.0),
        ("nll_se", 0.5),
        ("table/row/nats", 1.0),
        ("table/row/share", 0.2),
        ("who", "a"),
    ]


def test_an_estimate_by_a_number_that_all_have_is_unbiased_and_knows_its_error():
    random = np.random.default_rng(0)
    found = []
    for _ in range(2000):
        known = random.normal(100, 30, 400)
        values = known - 3 + random.normal(0, 2, 400)  # expected: 97
        rows = random.choice(400, 50, replace=False)
        found.append(estimate_by(values[rows], rows, known))
    means, errors = np.array(found).T
    assert abs(means.mean() - 97) < 4 * means.std() / 2000**0.5
    assert errors.mean() == pytest.approx(means.std(), rel=0.05)
    assert errors.mean() < 0.5 * 30 / 50**0.5


def test_an_estimate_of_all_images_by_themselves_is_their_mean():
    values, known = np.array([1.0, 2.0, 4.0]), np.array([3.0, 1.0, 7.0])
    assert estimate_by(values, np.arange(3), known) == pytest.approx(estimate(values))
