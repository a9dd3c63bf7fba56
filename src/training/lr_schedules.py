"""Curves by which the learning rate is multiplied: the share of the training that is done, in [0, 1] -> factor.

They hold no state, unlike torch's schedulers: a resumed run needs nothing but its step, and obeys new options.
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
    """From `start` to 1 within the share `rise` of the training, then to 0, both along half a cosine.

    Smith & Topin (2018), without their cycle of the momentum.
    """

    rise: OpenShare = 0.1
    start: Share = 0.04

    def __call__(self, done: float) -> float:
        if done < self.rise:
            return 1 - (1 - self.start) * half_cosine(done / self.rise)
        return half_cosine((done - self.rise) / (1 - self.rise))


@dataclass(frozen=True)
class Cosine:
    """From 1 to 0 along half a cosine (Loshchilov & Hutter, 2017, without restarts)."""

    def __call__(self, done: float) -> float:
        return half_cosine(done)


def half_cosine(share: float) -> float:
    """(1 + cos(pi share)) / 2: from 1 at 0 to 0 at 1."""
    return (1 + math.cos(math.pi * share)) / 2
