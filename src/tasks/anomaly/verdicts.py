"""A verdict on each image, normal or anomalous, and the truth about it where the user's images have classes."""

import logging
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from src.data.image_files import UserImages
from src.figures.page import shorten
from src.support.errors import UserError
from src.support.statistics import share

log = logging.getLogger(__name__)
NORMAL = ("good", "normal", "ok", "inlier")  # names of classes that are normal unless the user says otherwise
LISTED = 20  # classes that are printed; all are in classes.csv
NAMED, LONGEST = 10, 40  # classes that a message names, and the letters of a name that are printed


class Verdicts(NamedTuple):
    """Whether each image is called anomalous, (N,): whether its score is above `threshold`, the `quantile` of the
    scores of `count` validation images, or not finite."""

    anomalous: np.ndarray
    threshold: float
    quantile: float
    count: int

    @property
    def fewest(self) -> int:
        """The number of validation images that the quantile needs."""
        return images_for(self.quantile)

    @property
    def are_sound(self) -> bool:
        """Whether there are so many validation images."""
        return self.count >= self.fewest

    @property
    def criterion(self) -> str:
        """What the threshold is, in words."""
        name = f"the {100 * self.quantile:g} % quantile"
        if self.are_sound:
            return f"{name} of validation scores"
        return f"the highest of {self.count} validation scores, too few for {name}"

    def text(self, row: int) -> str:
        """The verdict on an image, as a word; with a question mark where there are too few validation images."""
        return ("anomalous" if self.anomalous[row] else "normal") + "?" * (not self.are_sound)

    def fault(self) -> str:
        """Why the verdicts are not sound, and the remedy; empty where they are."""
        if self.are_sound:
            return ""
        highest = math.floor(100 * (1 - 1 / self.count) + 1e-9) / 100
        lower = f", or task.quantile={highest:g}" if highest > 0 else ""
        return (
            f"unsound: the threshold is the highest score of {self.count} validation images, which about 1 in "
            f"{self.count + 1} normal images exceeds: a {100 * self.quantile:g} % quantile needs {self.fewest} "
            f"validation images{lower}"
        )


def images_for(quantile: float) -> int:
    """The number of images from which on a quantile of their scores is not simply the highest one."""
    return math.ceil(1 / (1 - quantile) - 1e-9)  # 1 - 0.9 is a bit less than 0.1


class Truth(NamedTuple):
    """Which of a user's images are anomalies, (N,), and the classes of the normal and of the other ones."""

    anomalous: np.ndarray
    normal: tuple[str, ...]
    anomalies: tuple[str, ...]

    def kind(self, name: str) -> str:
        """What the images of a class are, as a word."""
        return "normal" if name in self.normal else "anomalous"


def find_truth(own: UserImages, normal: str | int | Sequence[str | int]) -> Truth | None:
    """Which images are anomalies: those of other classes than `normal`, by default than those named as in NORMAL.

    None where the images have no classes, or none is known to be normal. Raises UserError for a class that is missing.
    """
    named = [str(each) for each in normal] if isinstance(normal, list | tuple) else [str(normal)]
    is_auto = named == ["auto"] and "auto" not in own.classes
    if not is_auto and not own.classes:
        raise UserError(
            f"task.normal={','.join(named)}, but your images have no classes: put them into sub-folders of task.input"
        )
    if missing := [name for name in named if name not in own.classes and not is_auto]:
        raise UserError(f"task.normal={missing[0]}: no such class, your images have {listing(own.classes)}")
    if is_auto:
        named = [name for name in own.classes if name.lower() in NORMAL]
    if not named:
        if own.classes:
            log.info(
                "your images have classes (%s), none of them called %s: for an AUROC, say which is normal by "
                "task.normal=NAME",
                *(listing(own.classes), " or ".join(NORMAL)),
            )
        return None
    is_normal = np.isin(own.labels, [own.classes.index(name) for name in named])
    return Truth(~is_normal, tuple(named), tuple(name for name in own.classes if name not in named))


def listing(classes: Sequence[str]) -> str:
    """The names of classes for a message, the first of them where there are many."""
    return ", ".join(shorten(name, LONGEST) for name in classes[:NAMED]) + (", ..." if len(classes) > NAMED else "")


def judge(scores: np.ndarray, validation: np.ndarray, quantile: float) -> Verdicts:
    """The verdicts on images with these scores (N,), given those of validation images (M,).

    The threshold is the lowest validation score that at least the share `quantile` of them does not exceed.
    """
    threshold = float(np.quantile(validation, quantile, method="inverted_cdf"))
    verdicts = Verdicts((scores > threshold) | ~np.isfinite(scores), threshold, quantile, len(validation))
    if not verdicts.are_sound:
        log.warning("the verdicts are %s", verdicts.fault())
    return verdicts


def rates(verdicts: Verdicts, truth: Truth) -> dict[str, Any]:
    """The share of the anomalies, and of the normal images, that are called anomalous."""
    shares = {"true_positive_rate": truth.anomalous, "false_positive_rate": ~truth.anomalous}
    return {name: share(verdicts.anomalous[rows]) for name, rows in shares.items() if rows.any()}
