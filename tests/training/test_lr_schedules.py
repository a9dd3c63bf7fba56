"""Curves of the learning rate: those of torch's own schedulers, at each step."""

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from src.training.lr_schedules import Constant, Cosine, OneCycle

STEPS = 40


def rates(make) -> list[float]:
    """The learning rate of each of STEPS steps by a scheduler of torch, for lr=1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, seen = make(optimizer), []
    for _ in range(STEPS):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def one_cycle(optimizer):
    # torch counts to the last step where ours counts to the end: one step more gives both the same abscissa
    options = {"pct_start": 10 / STEPS, "div_factor": 25, "final_div_factor": 1e12, "cycle_momentum": False}
    scheduler = OneCycleLR(optimizer, 1.0, total_steps=STEPS + 1, **options)
    scheduler._schedule_phases[0]["end_step"] = 10
    return scheduler


@pytest.mark.parametrize(
    ("ours", "torchs"),
    [
        (Constant(), lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)),
        (Cosine(), lambda optimizer: CosineAnnealingLR(optimizer, T_max=STEPS)),
        (OneCycle(rise=0.25, start=0.04), one_cycle),
    ],
)
def test_the_curve_is_that_of_torch(ours, torchs):
    assert [ours(step / STEPS) for step in range(STEPS)] == pytest.approx(rates(torchs), abs=1e-6)


def test_a_cycle_ends_at_nothing():
    assert OneCycle()(1) == Cosine()(1) == pytest.approx(0)


@pytest.mark.parametrize("wrong", [{"rise": 0}, {"rise": 1}, {"start": -0.1}, {"start": 1.1}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        OneCycle(**wrong)
