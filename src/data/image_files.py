"""A user's own images for a task, with the channels, size, range and polarity of a run's images."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from src.data.arrays import KINDS, Asked, Stack, read_arrays
from src.data.folders import SUFFIXES, existing_path, list_folder
from src.data.formats import detect_format
from src.data.layout import images_of
from src.data.levels import White, check_white, choose_scaling, to_bytes
from src.data.raster import (
    UnreadableError,
    as_levels,
    extremes,
    fit_to_shape,
    has_colors,
    is_clear,
    is_negative,
    iterate_pages,
    kind_of,
    white_level,
)
from src.data.tables import read_parquet
from src.support.errors import UserError
from src.support.texts import natural_key

DARK = 64  # highest level, of 255, below which an image gets a warning
log = logging.getLogger(__name__)


class UserImages(NamedTuple):
    """A user's own images.

    names: of the files, with the number of an image within its file
    images: (N, C, H, W) uint8
    inverted: for each whether its intensities were inverted, (N,)
    shapes: what each was, (C, H, W); C is 3 for colors
    labels, classes: the class of each image, (N,) int64, and the names of the classes; both empty where there are none.
        In a folder they are its sub-folders, in a file its labels
    """

    names: list[str]
    images: np.ndarray
    inverted: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    shapes: Sequence[tuple[int, int, int]] = ()


class Names(NamedTuple):
    """The names of the arrays or columns of images and of labels in the run's own file; None for the usual ones."""

    images: str | None = None
    labels: str | None = None


USUAL = Names()


def read(
    path: str,
    shape: tuple[int, int, int],
    ground: float,
    invert: bool | Literal["auto"],
    white: White = "auto",
    names: Names = USUAL,
    usual: bool = False,
) -> UserImages:
    """Read the images of a file or a folder in any form that data=images reads, as (C, H, W).

    ground: the mean intensity, 0 to 255, at the border of the images of the run
    invert: `auto` inverts all images if that brings the borders of most closer to `ground`, provided this is dark
        (below 64) or light (above 191), and otherwise as `usual` says, which is what the run did with its own
    names: of the arrays in the run's file, which this one may have, too
    white: the level that is white in all images; `auto`: see `white_level`, and for arrays src/data/levels.py

    Raises UserError where there is no image, where a file is not an image, or where its range does not show what is
    white.
    """
    if isinstance(invert, str) and invert != "auto":
        raise UserError(f"task.invert must be auto, true or false, got {invert}")
    check_white(white, "task.white")
    sources = find_sources(path, white, names)
    whites = white_levels(sources, white)
    names, labels, images, negative, shapes = [], [], [], [], []
    for source in tqdm(sources, desc="your images", unit="file", disable=None, leave=False, delay=1):
        for name, image in source.iterate():
            array = as_levels(image, shape[0], 255.0 if source.is_scaled else whites[kind_of(image)])
            names.append(name)
            labels.append(source.label)
            images.append(fit_to_shape(array, shape, name))
            negative.append(is_negative(array, ground))
            shapes.append((3 if has_colors(image) else 1, *array.shape[:2]))
    if invert == "auto":
        invert = decide(negative) if is_clear(ground) else usual
    stacked = np.stack(images)
    classes = () if None in labels else tuple(sorted(set(labels), key=natural_key))
    numbers = np.array([classes.index(label) for label in labels if classes], np.int64)
    inverted = np.full(len(stacked), invert)
    return UserImages(names, 255 - stacked if invert else stacked, inverted, numbers, classes, shapes)


def decide(negative: Sequence[bool]) -> bool:
    """Whether all of a user's images are inverted: where most are negatives. Images that differ from the others are
    not turned, since their polarity may be what is wrong with them; a warning says how many there are."""
    count = sum(negative)
    is_majority = 2 * count > len(negative)
    if others := len(negative) - count if is_majority else count:
        log.warning(
            "%d of your %d images have another polarity than the others, by their borders, and %s "
            "(task.invert is for all of them)",
            *(others, len(negative), "are inverted like them" if is_majority else "stay as they are"),
        )
    return is_majority


class Source(NamedTuple):
    """Some images of a user.

    iterate: iterates over them, each with its name
    label: the name of their class, or None
    is_scaled: whether 255 is white in them, whatever their levels
    """

    iterate: Callable[[], Iterator[tuple[str, Image.Image]]]
    label: str | None = None
    is_scaled: bool = False


def find_sources(path: str, white: White, names: Names) -> list[Source]:
    """The images at a path, in a folder with its subfolders, by files, or where one array holds all by image.

    Raises UserError where there is none. See `read`.
    """
    top = existing_path(path, "task.input")
    if not top.is_dir():
        return sources_of_file(top, top.name, None, white, names)
    listing = list_folder(top, f"task.input={path}", (*SUFFIXES, ".npz", ".parquet"), needs_train=False)
    for note in listing.notes:
        log.warning("task.input: %s", note)
    return [
        source
        for part, files in listing.parts.items()
        for file, label in zip(files, listing.labels[part] or [None] * len(files), strict=True)
        for source in sources_of_file(file, file.relative_to(top).as_posix(), label, white, names)
    ]


def read_stacks(file: Path, names: Names) -> dict[str, Stack]:
    """The arrays of a file: those named as in the run's file or, where it has none of them, the usual ones."""
    if names != USUAL:
        with suppress(UserError):
            return read_arrays(file, Asked(str(file), *names))[0]
    return read_arrays(file, Asked(str(file)))[0]


def sources_of_file(file: Path, name: str, label: str | None, white: White, names: Names) -> list[Source]:
    """The images of a file, of an array with its own labels if its folder gives no `label`."""
    found = detect_format(file)
    if found is None or found.kind in KINDS:
        stacks = read_stacks(file, names)
        return [source for stack in stacks.values() for source in sources_of_array(stack, name, label, white)]
    if found.kind == "parquet":
        rows = read_parquet([file], str(file), None, None)
        if isinstance(rows.images, np.ndarray):
            return sources_of_array(Stack(images_of(rows.images, None, name), rows.labels), name, label, white)
        labels = [label] * len(rows.images) if rows.labels is None or label else rows.label_names()
        return [
            Source(partial(iterate_pages, content or b"", f"{name}[{i}]"), each)
            for i, (content, each) in enumerate(zip(rows.images, labels, strict=True))
        ]
    return [Source(partial(iterate_pages, file, name), label)]


def sources_of_array(stack: Stack, name: str, label: str | None, white: White) -> list[Source]:
    """The images of an array, scaled to bytes unless they are bytes of which white is to be found."""
    images, is_scaled = stack.images, False
    scaling = (
        None if images.dtype == np.uint8 and images.max() > 1 else choose_scaling([images], white, "task.white", name)
    )
    if scaling:
        images, is_scaled = to_bytes(images, scaling), True
        if scaling.note:
            log.warning("%s: %s", name, scaling.note)
    labels = [label] * len(images) if stack.labels is None or label else list(map(str, stack.labels))
    return [
        Source(partial(iterate_array, image, f"{name}[{i}]"), each, is_scaled)
        for i, (image, each) in enumerate(zip(images, labels, strict=True))
    ]


def iterate_array(image: np.ndarray, name: str) -> Iterator[tuple[str, Image.Image]]:
    """The image of an array (C, H, W) uint8."""
    yield name, Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))


def readable_images(sources: Sequence[Source]) -> Iterator[tuple[str, Image.Image]]:
    """Iterate over all images, each with its name. Raises UserError at the end where some can't be read."""
    broken: list[UnreadableError] = []
    for source in sources:
        try:
            yield from source.iterate()
        except UnreadableError as error:
            broken.append(error)
    if len(sources) == 1 and broken:
        raise broken[0]
    if broken:
        few = "; ".join(map(str, broken[:3])) + ("; ..." if len(broken) > 3 else "")
        raise UserError(f"{len(broken)} of {len(sources)} files are no readable images, remove them: {few}")


def white_levels(sources: Sequence[Source], white: White) -> dict[str, float]:
    """The level that is white in the images of each kind: `white`, or for `auto` `white_level` of their highest level.

    Raises UserError where a level is above `white`, negative or not a number, and where white can't be determined.
    """
    highest: dict[str, float] = {}
    where: dict[str, str] = {}
    dark = []
    for name, image in readable_images([source for source in sources if not source.is_scaled]):
        kind = kind_of(image)
        low, high = extremes(image, name)
        if low < 0:
            raise UserError(f"{name} has levels from {low:g} to {high:g}: shift and scale them to 0 to 255")
        if white != "auto" and high > white * (1 + 1e-6) and kind != "bits":
            raise UserError(f"{name} has levels up to {high:g}, above task.white={white:g}")
        if white == "auto" and kind == "bytes" and high == 1:
            raise UserError(f"{name} has no level but 0 and 1 of 0 to 255: task.white=1, or 255 if it is to be so dark")
        dark += [name] if kind == "bytes" and 0 < high < DARK else []
        if high >= highest.get(kind, -1):
            highest[kind], where[kind] = high, name
    if white != "auto":
        return dict.fromkeys(highest, float(white)) | {"bits": 255.0}
    found = {kind: white_level(kind, high, where[kind], "task.white") for kind, high in highest.items()}
    if dark:
        log.warning("no level of %s and %d others is above %d: they are taken as dark", dark[0], len(dark) - 1, DARK)
    return found
