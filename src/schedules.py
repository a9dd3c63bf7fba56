"""Curves by which beta (or what else an objective has scheduled) is multiplied while training.

    schedule(epoch, step) -> weight in [0, 1]    epoch a float, step a whole number, both counted from 0

A curve has a length in epochs, or in steps where `steps` is given. Each ends at 1, where validation and test are
measured: `schedule(math.inf, math.inf)`.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Constant:
    """weight = 1."""

    def __call__(self, epoch: float, step: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Linear:
    """weight = t, the share of the length that is done: KL warm-up (Bowman et al., 2016; Soenderby et al., 2016)."""

    epochs: float = 5
    steps: float | None = None

    def __post_init__(self) -> None:
        check(self.epochs, self.steps)

    def __call__(self, epoch: float, step: float) -> float:
        return done(self.epochs, self.steps, epoch, step)


@dataclass(frozen=True)
class Cosine:
    """weight = (1 - cos(pi t)) / 2: a warm-up that starts and ends gently."""

    epochs: float = 5
    steps: float | None = None

    def __post_init__(self) -> None:
        check(self.epochs, self.steps)

    def __call__(self, epoch: float, step: float) -> float:
        return (1 - math.cos(math.pi * done(self.epochs, self.steps, epoch, step))) / 2


@dataclass(frozen=True)
class Cyclic:
    """In each of `cycles` periods a rise from 0 to 1 for the share `rise`, then 1 (Fu et al., 2019)."""

    epochs: float
    steps: float | None = None
    cycles: int = 4
    rise: float = 0.5

    def __post_init__(self) -> None:
        check(self.epochs, self.steps)
        if self.cycles < 1 or not 0 < self.rise <= 1:
            raise ValueError("cycles must be at least 1, rise above 0 and at most 1")

    def __call__(self, epoch: float, step: float) -> float:
        t = done(self.epochs, self.steps, epoch, step)
        return 1.0 if t == 1 else min(1.0, t * self.cycles % 1 / self.rise)


def done(epochs: float, steps: float | None, epoch: float, step: float) -> float:
    """The share of a length in epochs, or in steps where that is given, that is done, at most 1."""
    return min(1.0, epoch / epochs if steps is None else step / steps)


def check(epochs: float, steps: float | None) -> None:
    """Raises ValueError for a length that is not positive."""
    if epochs <= 0 or (steps is not None and steps <= 0):
        raise ValueError(f"epochs and steps must be positive, got {epochs} and {steps}")
