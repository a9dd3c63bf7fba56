"""Curves of beta at the points that define them."""

import math

import pytest

from src.training.schedules import Constant, Cosine, Cyclic, Linear


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        (Constant(), {0: 1, 3.7: 1}),
        (Linear(10), {0: 0, 2.5: 0.25, 10: 1, 11: 1}),
        (Cosine(10), {0: 0, 5: 0.5, 2.5: (1 - math.sqrt(0.5)) / 2, 10: 1, 11: 1}),
        (Cyclic(40, cycles=4, rise=0.5), {0: 0, 2.5: 0.5, 5: 1, 9.99: 1, 10: 0, 12.5: 0.5, 39.9: 1, 40: 1, 50: 1}),
    ],
)
def test_values(schedule, points):
    for epoch, weight in points.items():
        assert schedule(epoch, 0) == pytest.approx(weight), epoch
    assert schedule(math.inf, math.inf) == 1


@pytest.mark.parametrize("curve", [Linear, Cosine, Cyclic])
def test_a_length_in_steps_counts_steps_alone(curve):
    for step in (0, 30, 99, 100, 101):
        assert curve(100, "steps")(0.5, step) == curve(100)(step, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Linear(0),
        lambda: Cyclic(0),
        lambda: Cyclic(4, cycles=0),
        lambda: Cyclic(4, rise=1.5),
        lambda: Cosine(unit="days"),
    ],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        wrong()
