"""Curves that multiply the learning rate: completed share of the training, in [0, 1] -> factor.

Unlike torch's schedulers they have no state: a resumed run needs only its step, and follows new options.
"""

import math
from dataclasses import dataclass

from src.support.ranges import OpenShare, Share, check_arguments


@dataclass(frozen=True)
class Constant:
    """factor = 1."""

    def __call__(self, done: float) -> float:
        return 1.0


@check_arguments
@dataclass(frozen=True)
class OneCycle:
    """A factor that rises from `start` to 1 in the share `rise` of the training and then falls to 0, both along half a
    cosine (Smith & Topin, 2018, without their cycle of the momentum)."""

    rise: OpenShare = 0.1
    start: Share = 0.04

    def __call__(self, done: float) -> float:
        if done < self.rise:
            return 1 - (1 - self.start) * half_cosine(done / self.rise)
        return half_cosine((done - self.rise) / (1 - self.rise))


@dataclass(frozen=True)
class Cosine:
    """factor = (1 + cos(pi done)) / 2 (Loshchilov & Hutter, 2017, without restarts)."""

    def __call__(self, done: float) -> float:
        return half_cosine(done)


def half_cosine(share: float) -> float:
    """(1 + cos(pi share)) / 2: from 1 at 0 to 0 at 1."""
    return (1 + math.cos(math.pi * share)) / 2
