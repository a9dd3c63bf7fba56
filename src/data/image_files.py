"""A user's own images for a task, with the channels, size, range and polarity of a run's images."""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from src.data.arrays import KINDS, Asked, Stack, read_arrays
from src.data.folders import SPLIT_NAMES, SUFFIXES, find_images
from src.data.formats import detect_format
from src.data.layout import images_of
from src.data.levels import White, check_white, choose_scaling, to_bytes
from src.data.parquet_files import read_parquet
from src.data.raster import (
    UnreadableError,
    as_levels,
    extremes,
    fit_to_shape,
    is_negative,
    iterate_pages,
    kind_of,
    white_level,
)
from src.support.errors import UserError, one_line
from src.support.texts import natural_key

DARK = 64  # highest level, of 255, below which an image gets a warning
log = logging.getLogger(__name__)


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
    path: str, shape: tuple[int, int, int], ground: float, invert: bool | Literal["auto"], white: White = "auto"
) -> UserImages:
    """Read the images of a file or a folder in any form that data=images reads, as (C, H, W).

    ground: the mean intensity, 0 to 255, at the border of the images of the run
    invert: `auto` inverts an image if that brings its border closer to `ground`, provided this is dark (below 64) or
        light (above 191)
    white: the level that is white in all images; `auto`: see `white_level`, and for arrays src/data/levels.py

    Raises UserError where there is no image, where a file is not an image, or where its range does not show what is
    white.
    """
    if isinstance(invert, str) and invert != "auto":
        raise UserError(f"task.invert must be auto, true or false, got {invert}")
    check_white(white, "task.white")
    sources = find_sources(path, white)
    whites = white_levels(sources, white)
    names, labels, images, inverted = [], [], [], []
    for source in tqdm(sources, desc="your images", unit="file", disable=None, leave=False, delay=1):
        for name, image in source.iterate():
            array = as_levels(image, shape[0], 255.0 if source.is_scaled else whites[kind_of(image)])
            turn = is_negative(array, ground) if invert == "auto" else invert
            names.append(name)
            labels.append(source.label)
            images.append(fit_to_shape(255 - array if turn else array, shape, name))
            inverted.append(turn)
    classes = () if None in labels else tuple(sorted(set(labels), key=natural_key))
    numbers = np.array([classes.index(label) for label in labels if classes], np.int64)
    return UserImages(names, np.stack(images), np.array(inverted), numbers, classes)


class Source(NamedTuple):
    """Some images of a user.

    iterate: iterates over them, each with its name
    label: the name of their class, or None
    is_scaled: whether 255 is white in them, whatever their levels
    """

    iterate: Callable[[], Iterator[tuple[str, Image.Image]]]
    label: str | None = None
    is_scaled: bool = False


def find_sources(path: str, white: White) -> list[Source]:
    """The images at a path, in a folder with its subfolders, by files, or where one array holds all by image.

    Raises UserError where there is none. See `read`.
    """
    try:
        top = Path(path).expanduser()
        exists = top.exists()
    except (OSError, RuntimeError) as error:  # a name that is too long, or `~` of nobody
        raise UserError(f"task.input={path}: {one_line(error)}") from error
    if not exists:
        raise UserError(f"task.input={path}: no such file or folder")
    if not top.is_dir():
        return sources_of_file(top, top.name, None, white)
    files = list(find_images(top, (*SUFFIXES, ".npz")))
    if not files:
        raise UserError(f"task.input={path}: no image in it; their suffixes are {', '.join(SUFFIXES)}")
    labels = {file: label_of(file.relative_to(top).parts) for file in files}
    loose = [file for file in files if labels[file] is None]
    if 0 < len(loose) < len(files):
        log.warning("images outside the class folders are left out: %s", some(loose))
        files = [file for file in files if labels[file] is not None]
    return [
        source
        for file in files
        for source in sources_of_file(file, file.relative_to(top).as_posix(), labels[file], white)
    ]


def label_of(inside: tuple[str, ...]) -> str | None:
    """The class of a file by the names of its folders, the first of which may be that of a split; None without one."""
    is_split = inside[0].lower() in SPLIT_NAMES
    return inside[is_split] if len(inside) > 1 + is_split else None


def some(files: Sequence[Path]) -> str:
    """The number of some files, and the names of the first."""
    return f"{len(files)} ({', '.join(file.name for file in files[:3])}{', ...' * (len(files) > 3)})"


def sources_of_file(file: Path, name: str, label: str | None, white: White) -> list[Source]:
    """The images of a file, of an array with its own labels if its folder gives no `label`."""
    found = detect_format(file)
    if found is None or found.kind in KINDS:
        stacks, _ = read_arrays(file, Asked(str(file)))
        return [source for stack in stacks.values() for source in sources_of_array(stack, name, label, white)]
    if found.kind == "parquet":
        rows = read_parquet([file], str(file), None, None)
        if isinstance(rows.images, np.ndarray):
            return sources_of_array(Stack(images_of(rows.images, None, name), rows.labels), name, label, white)
        labels = [label] * len(rows.images) if rows.labels is None or label else rows.labels.tolist()
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
    if len(broken) == 1:
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
