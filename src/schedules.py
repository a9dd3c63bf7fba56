"""Curves by which beta is multiplied while training: epoch (a float, counted from 0) -> weight in [0, 1].

Each ends at 1, where validation and test are measured: `schedule(math.inf)`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Constant:
    """weight = 1."""

    def __call__(self, epoch: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Linear:
    """weight = min(1, epoch / epochs): KL warm-up (Bowman et al., 2016; Soenderby et al., 2016)."""

    epochs: float = 5

    def __post_init__(self) -> None:
        if self.epochs <= 0:
            raise ValueError(f"epochs must be positive, got {self.epochs}")

    def __call__(self, epoch: float) -> float:
        return min(1.0, epoch / self.epochs)


@dataclass(frozen=True)
class Cyclic:
    """In each of `cycles` periods over `epochs` a rise from 0 to 1 for the share `rise`, then 1 (Fu et al., 2019)."""

    epochs: float
    cycles: int = 4
    rise: float = 0.5

    def __post_init__(self) -> None:
        if self.epochs <= 0 or self.cycles < 1 or not 0 < self.rise <= 1:
            raise ValueError("epochs must be positive, cycles at least 1, rise above 0 and at most 1")

    def __call__(self, epoch: float) -> float:
        if epoch >= self.epochs:
            return 1.0
        period = self.epochs / self.cycles
        return min(1.0, epoch % period / (self.rise * period))
