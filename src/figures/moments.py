"""Moments of an animation: the frames of a trace, and what is shown on the way from one to the next."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from src.run.trace import Trace

MOST, FEWEST = 72, 8  # moments of an animation: at first, and where its file would be too large
STEPS = 5  # the most moments from one frame to the next


class Moment(NamedTuple):
    """A frame of a trace, or a moment on the way from it to a following one, of which `share` has passed."""

    frame: int
    following: int = 0
    share: float = 0.0


def evenly_in_log(images_seen: np.ndarray, count: int = 30) -> np.ndarray:
    """At most `count` positions in the ascending `images_seen`, evenly in its logarithm, both ends included.

    Where the steps of `images_seen` are coarser than that, every position is included.
    """
    if len(images_seen) < 3:
        return np.arange(len(images_seen))
    # the first is the untrained model, whose logarithm is not finite: it has no part in the spacing
    seen = np.log(images_seen[1:])
    targets = np.linspace(seen[0], seen[-1], count - 1)
    nearest = np.abs(seen[:, None] - targets).argmin(0)
    return np.unique(np.concatenate([[0], nearest + 1]))


def smooth(frames: Sequence[int], most: int = MOST) -> list[Moment]:
    """At most `most` moments: the frames, or of too many some, and as many moments between any two as there is room."""
    chosen = [int(frames[i]) for i in np.unique(np.linspace(0, len(frames) - 1, most).round().astype(int))]
    steps = min(STEPS, max(1, (most - 1) // max(1, len(chosen) - 1)))
    between = [Moment(frame, following, step / steps) for frame, following in pairwise(chosen) for step in range(steps)]
    return [*between, Moment(chosen[-1])]


def progress(trace: Trace, moment: Moment) -> tuple[int, float]:
    """The epoch of the moment's frame, and the number of epochs at the moment itself."""
    epochs = trace.frames["epoch"]
    return int(epochs[moment.frame]), float(blend(epochs, moment))


def blend(values: np.ndarray, moment: Moment) -> np.ndarray:
    """The values of a moment, of one array for each frame: those of its two frames, cross-faded."""
    if not moment.share:
        return values[moment.frame]
    return (1 - moment.share) * values[moment.frame] + moment.share * values[moment.following]


def fade(images: np.ndarray, moment: Moment) -> np.ndarray:
    """The images of a moment, of one array of bytes for each frame: those of its two frames, cross-faded."""
    return blend(images, moment).round().astype(np.uint8)


def dissolve(images: np.ndarray, moment: Moment) -> np.ndarray:
    """The images of a moment, (N, C, H, W), whose pixels pass from one frame to the other one by one.

    Unlike faded ones, binary images stay binary.
    """
    if not moment.share:
        return images[moment.frame]
    count, _, height, width = images.shape[1:]
    turn = np.random.default_rng(moment.frame).random((count, 1, height, width))
    return np.where(turn < moment.share, images[moment.following], images[moment.frame])
