"""Curves by which beta (or what else an objective has scheduled) is multiplied while training.

    schedule(epoch, step) -> weight in [0, 1]    epoch a float, step a whole number, both counted from 0

A curve has a `length` in the `unit` epochs or steps. Each ends at 1, where validation and test are measured:
`schedule(math.inf, math.inf)`.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt, Le

from src.support.ranges import Count, Positive, check_arguments

Unit = Literal["epochs", "steps"]


@dataclass(frozen=True)
class Constant:
    """weight = 1."""

    def __call__(self, epoch: float, step: float) -> float:
        return 1.0


@check_arguments
@dataclass(frozen=True)
class Linear:
    """weight = t, the share of the length that is done: KL warm-up (Bowman et al., 2016; Soenderby et al., 2016)."""

    length: Positive = 5
    unit: Unit = "epochs"

    def __call__(self, epoch: float, step: float) -> float:
        return done(self.length, self.unit, epoch, step)


@check_arguments
@dataclass(frozen=True)
class Cosine:
    """weight = (1 - cos(pi t)) / 2: a warm-up that starts and ends gently."""

    length: Positive = 5
    unit: Unit = "epochs"

    def __call__(self, epoch: float, step: float) -> float:
        return (1 - math.cos(math.pi * done(self.length, self.unit, epoch, step))) / 2


@check_arguments
@dataclass(frozen=True)
class Cyclic:
    """In each of `cycles` periods a rise from 0 to 1 for the share `rise`, then 1 (Fu et al., 2019)."""

    length: Positive
    unit: Unit = "epochs"
    cycles: Count = 4
    rise: Annotated[float, Gt(0), Le(1)] = 0.5

    def __call__(self, epoch: float, step: float) -> float:
        t = done(self.length, self.unit, epoch, step)
        return 1.0 if t == 1 else min(1.0, t * self.cycles % 1 / self.rise)


def done(length: float, unit: Unit, epoch: float, step: float) -> float:
    """The share of a length that is done, at most 1."""
    return min(1.0, (epoch if unit == "epochs" else step) / length)
