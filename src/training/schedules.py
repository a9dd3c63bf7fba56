"""Curves that multiply beta, or whatever else an objective schedules, during training.

    schedule(epoch, step) -> weight in [0, 1]    epoch a float, step an integer, both counted from 0

A curve has a `length` in the `unit` epochs or steps. Each ends at 1, the value for validation and test:
`schedule(math.inf, math.inf)`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt, Le

from src.support.ranges import Count, Positive, check_arguments

Unit = Literal["epochs", "steps"]
PLACES = 20_000  # at which a curve is looked at, to find its end


@dataclass(frozen=True)
class Constant:
    """weight = 1."""

    def __call__(self, epoch: float, step: float) -> float:
        return 1.0


@check_arguments
@dataclass(frozen=True)
class Linear:
    """weight = t, the completed share of the length: KL warm-up (Bowman et al., 2016; Soenderby et al., 2016)."""

    length: Positive = 5
    unit: Unit = "epochs"

    def __call__(self, epoch: float, step: float) -> float:
        return progress(self.length, self.unit, epoch, step)


@check_arguments
@dataclass(frozen=True)
class Cosine:
    """weight = (1 - cos(pi t)) / 2: a warm-up with zero slope at both ends."""

    length: Positive = 5
    unit: Unit = "epochs"

    def __call__(self, epoch: float, step: float) -> float:
        return (1 - math.cos(math.pi * progress(self.length, self.unit, epoch, step))) / 2


@check_arguments
@dataclass(frozen=True)
class Cyclic:
    """weight = min(1, s / rise), s the completed share of the current one of `cycles` periods (Fu et al., 2019)."""

    length: Positive
    unit: Unit = "epochs"
    cycles: Count = 4
    rise: Annotated[float, Gt(0), Le(1)] = 0.5

    def __call__(self, epoch: float, step: float) -> float:
        t = progress(self.length, self.unit, epoch, step)
        return 1.0 if t == 1 else min(1.0, t * self.cycles % 1 / self.rise)


def progress(length: float, unit: Unit, epoch: float, step: float) -> float:
    """The completed share of a length, at most 1."""
    return min(1.0, (epoch if unit == "epochs" else step) / length)


def settling_epoch(schedule: Callable[[float, float], float], epochs: int, steps: int) -> int:
    """The epoch at whose end a schedule has its final value for the rest of a training; 0 where it has it always.

    Args:
        schedule: the curve, whatever its class.
        epochs: those of the training.
        steps: of the optimizer in an epoch.
    """
    final, places = schedule(math.inf, math.inf), min(epochs * steps, PLACES)
    for place in reversed(range(places)):
        epoch = epochs * place / places
        if schedule(epoch, int(epoch * steps)) != final:
            return math.ceil(epochs * (place + 1) / places)
    return 0
