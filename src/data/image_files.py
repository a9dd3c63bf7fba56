"""A user's own images for a task, with the channels, size, range and polarity of a run's images."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from src.data.arrays import Asked
from src.data.folders import existing_path
from src.data.levels import White, check_white
from src.data.parts import Parts, read_parts
from src.data.raster import MIDDLE, border, is_clear, is_negative
from src.data.user_images import found_note, number_labels
from src.support.errors import UserError, printable

DARK = 64  # highest level, of 255, below which an image gets a warning
log = logging.getLogger(__name__)


class Reading(NamedTuple):
    """How a run's own images were read.

    images, labels: the names of the arrays or columns
    white: the level that is white
    invert: whether all were inverted, or those with a `light` border
    """

    images: str | None = None
    labels: str | None = None
    white: White = "auto"
    invert: bool | Literal["light"] = False


USUAL = Reading()


class UserImages(NamedTuple):
    """A user's own images.

    names: of the files, with the number of an image within its file
    images: (N, C, H, W) uint8
    inverted: for each whether its intensities were inverted, (N,)
    labels, classes: the class of each image, (N,) int64, and the names of the classes; both empty where there are none.
        In a folder they are its sub-folders, in a file its labels
    """

    names: list[str]
    images: np.ndarray
    inverted: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]


def read(
    path: str,
    shape: tuple[int, int, int],
    ground: float,
    invert: bool | Literal["auto"],
    white: White = "auto",
    skip_broken: bool = False,
    known: Reading = USUAL,
) -> UserImages:
    """Read the images of a file or a folder as data=images does, of all its splits, as (C, H, W); or a single image.

    ground: the mean intensity, 0 to 255, at the border of the images of the run
    invert: `auto` inverts an image if that brings its border closer to `ground`, provided this is dark (below 64) or
        light (above 191); otherwise the border tells nothing, and images are inverted as the run's were
    white: the level that is white in all images; `auto`: that of the run's, or else by the rules of data=images
    skip_broken: leave out files that can't be read
    known: how the run's own images were read

    What was found and done is logged. Raises UserError where that can't be told.
    """
    if isinstance(invert, str) and invert != "auto":
        raise UserError(f"task.invert must be auto, true or false, got {invert}")
    check_white(white, "task.white")
    where = f"task.input={path}"
    top = existing_path(path, "task.input")
    asked = Asked(where, shape=shape, white=white, skip_broken=skip_broken, group="task")
    parts = read_as_known(top, asked, known)
    splits, classes = number_labels(parts, where)
    for note in (found_note(splits, classes), *parts.notes):
        log.info("your images: %s", printable(note))
    images = np.concatenate([each.images for each in splits.values()])
    names = image_names(parts, top.name)
    if white == "auto":
        warn_of_dark_images(images, names)
    turned = find_negatives(images, ground, invert, known.invert)
    images = np.where(turned[:, None, None, None], 255 - images, images)
    if all(each.labels is None for each in parts.stacks.values()):
        return UserImages(names, images, turned, np.zeros(0, np.int64), ())
    used, labels = np.unique(np.concatenate([each.labels for each in splits.values()]), return_inverse=True)
    return UserImages(names, images, turned, labels, tuple(classes[i] for i in used))


def read_as_known(top: Path, asked: Asked, known: Reading) -> Parts:
    """Read images as the run's were, as far as they allow it, or else by the field's habits.

    Raises UserError where these do not tell what the images are.
    """
    whites = [known.white, "auto"] if asked.white == "auto" else [asked.white]
    keys = [(known.images, known.labels), (known.images, None), (None, None)]
    *first, last = dict.fromkeys(
        asked._replace(white=white, images=images, labels=labels) for white in whites for images, labels in keys
    )
    for each in first:
        with suppress(UserError):
            return read_parts(top, each)
    return read_parts(top, last)


def find_negatives(
    images: np.ndarray, ground: float, invert: bool | Literal["auto"], known: bool | Literal["light"]
) -> np.ndarray:
    """Which images (N, C, H, W) are inverted, (N,); see `read`. `known`: which of the run's images were."""
    if invert == "auto" and is_clear(ground):
        return np.array([is_negative(each, ground) for each in images])
    if invert == "auto" and known == "light":
        return border(images).mean((1, 2)) > MIDDLE
    return np.full(len(images), known is True if invert == "auto" else invert)


def image_names(parts: Parts, file: str) -> list[str]:
    """The name of each image: that of its file, or its number in an array of the file."""
    if parts.names:
        return [name for part in parts.stacks for name in parts.names[part]]
    return [
        f"{file}[{i}]" if len(parts.stacks) == 1 else f"{file} {part}[{i}]"
        for part, each in parts.stacks.items()
        for i in range(len(each.images))
    ]


def warn_of_dark_images(images: np.ndarray, names: Sequence[str]) -> None:
    """Warn of images (N, C, H, W) among lighter ones without a light pixel: perhaps their white is another level."""
    highest = images.max((1, 2, 3))
    if dark := np.flatnonzero((highest > 0) & (highest < DARK)).tolist():
        others = f" and {len(dark) - 1} others" if len(dark) > 1 else ""
        log.warning("no level of %s%s is above %d: they are taken as dark", printable(names[dark[0]]), others, DARK)
