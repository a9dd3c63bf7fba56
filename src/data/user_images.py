"""A user's own images: a folder of image files, or a file of arrays, as the field keeps them.

What was found and done is in the notes of the result; what can't be told is refused with the remedy.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from annotated_types import MaxLen, MinLen

from src.data import image_cache
from src.data.arrays import Asked
from src.data.folders import existing_path
from src.data.layout import CHANNELS
from src.data.parts import Parts, describe, read_parts
from src.data.raster import MIDDLE, border
from src.data.sources import Images, Split
from src.data.splits import complete_splits, count_duplicates
from src.support.errors import UserError, one_line
from src.support.ranges import Count, Positive

SHOWN = 6  # classes that are named
SLOW = 1.0  # seconds of reading from which on the result is worth a place in the cache
Shape = Annotated[Sequence[Count], MinLen(3), MaxLen(3)]
LIGHT, DARK = 191, 64  # mean levels of the border of an image beyond which its ground is light, or dark
MIXED = 0.95  # share of images with a dark or a light ground, of which a mixture is told


def images(
    path: str,
    white: Positive | Literal["auto"] = 255,
    shape: Shape | Literal["auto"] = "auto",
    images: str | None = None,
    labels: str | None = None,
    invert: bool | Literal["auto"] = False,
    skip_broken: bool = False,
) -> Images:
    """A user's own images, fitted to one shape and split as they are kept, otherwise 80 / 10 / 10 % of each class.

    path: a folder whose sub-folders are classes, or splits of them; an npz, npy, CSV, IDX or Parquet file
    white: the level that is white, which becomes 255; `auto`: by the rule of src/data/levels.py, which is told. The
        default is for runs of versions without this option
    shape: (C, H, W), to which images are fitted, proportions kept; `auto`: that of the images
    images, labels: the names of arrays or columns; null chooses them by the field's habits
    invert: whether black and white change places, `auto` in images with a light border
    skip_broken: leave out files that can't be read

    Raises UserError that says what is wrong.
    """
    top, where = existing_path(path, "data.path"), f"data.path={path}"
    fixed = None if shape == "auto" else list(shape)
    if fixed and fixed[0] not in (1, 3):
        raise UserError(f"data.shape={fixed} is not (C, H, W), C being 1, or 3 of colors: as in data.shape=[3,32,32]")
    if fixed and fixed[0] not in CHANNELS:
        raise UserError(f"data.shape={fixed} is (C, H, W), of which C is 1 for gray and 3 for color images")
    options = {"white": white, "shape": fixed, "images": images, "labels": labels, "skip_broken": skip_broken}
    found = image_cache.load(top, options)
    if found is None:
        started = time.monotonic()
        found = split_parts(read_parts(top, Asked(where, images, labels, fixed, white, skip_broken)), where)
        if time.monotonic() - started > SLOW:
            image_cache.store(top, options, found)
        image_cache.keep(top, options, found)
    classes, train, val, test, notes = found
    name = top.stem if top.is_file() else top.name
    return invert_images(Images(name, str(top), classes, train, val, test, numbered=False, notes=notes), invert)


def split_parts(parts: Parts, where: str) -> tuple[tuple[str, ...], Split, Split, Split, tuple[str, ...]]:
    """The names of the classes, the training, validation and test images, and the notes."""
    numbered, classes = number_labels(parts, where)
    train, val, test, notes = complete_splits(numbered, where)
    notes = [found_note(numbered, classes), *single_note(numbered, classes), *parts.notes, *notes]
    notes += count_duplicates(train, val, test)
    return classes, train, val, test, tuple(notes)


def found_note(parts: Mapping[str, Split], classes: tuple[str, ...]) -> str:
    """How many images of which shape were found, and how many of each class."""
    images = next(iter(parts.values())).images
    count = sum(len(each.images) for each in parts.values())
    sizes = np.bincount(np.concatenate([each.labels for each in parts.values()]), minlength=len(classes))
    shown = ", ".join(f"{name} {size:,}" for name, size in zip(classes[:SHOWN], sizes, strict=False))
    named = f"{len(classes)} classes: {shown}" + ", ..." * (len(classes) > SHOWN) if len(classes) > 1 else "no classes"
    return f"{count:,} images of {describe(images.shape[1:])}, {named}"


def single_note(parts: Mapping[str, Split], classes: tuple[str, ...]) -> list[str]:
    """A note of the classes that have one image, which is in a single split."""
    sizes = np.bincount(np.concatenate([each.labels for each in parts.values()]), minlength=len(classes))
    names = [name for name, size in zip(classes, sizes, strict=True) if size == 1]
    few = ", ".join(names[:SHOWN]) + ", ..." * (len(names) > SHOWN)
    return [f"classes of one image, which is in one split alone: {few}"] if names else []


def number_labels(parts: Parts, where: str) -> tuple[dict[str, Split], tuple[str, ...]]:
    """The images of each split with the numbers of their classes, in the order of the classes' names or values."""
    labels = [
        np.full(len(each.images), "all") if each.labels is None else each.labels for each in parts.stacks.values()
    ]
    together = np.concatenate(labels)
    if parts.classes is None or all(each.labels is None for each in parts.stacks.values()):
        names, numbers = np.unique(together, return_inverse=True)
        classes = tuple(map(str, names))
    else:
        places = {name: i for i, name in enumerate(parts.classes)}
        classes = parts.classes
        numbers = np.array([places[str(label)] for label in together])
    try:
        "".join(classes).encode()
    except ValueError as error:
        raise UserError(f"{where}: a class has a name that can't be written ({one_line(error)})") from error
    edges = np.cumsum([len(each) for each in labels])[:-1]
    split = np.split(numbers.astype(np.int64), edges)
    return {
        part: Split(each.images, own) for (part, each), own in zip(parts.stacks.items(), split, strict=True)
    }, classes


def invert_images(found: Images, invert: bool | Literal["auto"]) -> Images:
    """Invert all images, or with `auto` those with a light border; without, a mixture of both is told."""
    splits = {name: getattr(found, name) for name in ("train", "val", "test")}
    if invert is True:
        inverted = {name: Split(255 - each.images, each.labels) for name, each in splits.items()}
        return found._replace(**inverted, notes=(*found.notes, "inverted"))
    grounds = {name: border(each.images).mean((1, 2)) for name, each in splits.items()}
    every = np.concatenate(list(grounds.values()))
    light = every > MIDDLE
    if invert == "auto":
        for name, each in splits.items():
            turn = (grounds[name] > MIDDLE)[:, None, None, None]
            splits[name] = Split(np.where(turn, 255 - each.images, each.images), each.labels)
        return found._replace(**splits, notes=(*found.notes, f"{int(light.sum()):,} of {len(light):,} inverted"))
    is_clear = ((every > LIGHT) | (every < DARK)).mean() > MIXED
    if is_clear and 0 < light.mean() < 1:
        counts = f"{int(light.sum()):,} of {len(light):,} images are dark on light, the others light on dark"
        note = f"{counts}: data.invert=auto makes them alike"
        return found._replace(notes=(*found.notes, note))
    return found
