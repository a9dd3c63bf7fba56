"""Image files of a data set, in a folder or in Parquet files: surveyed, then decoded into one array."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from src.data.levels import White, check_white
from src.data.raster import (
    UnreadableError,
    as_levels,
    extremes,
    fit_to_shape,
    iterate_headers,
    iterate_pages,
    kind_of,
    open_image,
    white_level,
)
from src.support.errors import UserError, printable

GRAY = ("1", "L", "LA", "La", "I", "F")  # modes without colours, and those that begin with "I;"
ROTATED = (5, 6, 7, 8)  # EXIF orientations in which height and width change places
ORIENTATION = 0x0112
LONGEST_SIDE = 64  # of images of several sizes, unless the user gives a shape
NAMED = 3  # broken files in a message


class Encoded(NamedTuple):
    """An image file, by its path or its bytes, and its name for messages."""

    name: str
    content: Path | bytes


class Survey(NamedTuple):
    """What the headers of image files say.

    sizes: how many images have each size (height, width)
    examples: the first file of each size
    kinds: of their levels
    colored: the files with colors
    """

    sizes: Counter[tuple[int, int]]
    examples: dict[tuple[int, int], str]
    kinds: set[str]
    colored: list[str]

    def size_note(self) -> str:
        """How many sizes there are, or which, and a file of the rarest."""
        rarest = min(self.sizes, key=lambda size: self.sizes[size])
        text = f"{rarest[0]} x {rarest[1]}"
        return text if len(self.sizes) == 1 else f"{len(self.sizes)} sizes, such as {text} of {self.examples[rarest]}"


class Raster(NamedTuple):
    """Decoded image files.

    images: (N, C, H, W) uint8
    rows: for each image the number of its file, (N,)
    broken: the reason for each file that can't be read, by its name
    highest: the highest level before images were fitted
    """

    images: np.ndarray
    rows: np.ndarray
    broken: dict[str, str]
    highest: int


def survey(files: Sequence[Encoded]) -> Survey:
    """Read the headers of image files. Files that can't be read are left to `decode`, which names them."""
    sizes: Counter[tuple[int, int]] = Counter()
    examples, kinds, colored = dict[tuple[int, int], str](), set[str](), dict[str, None]()
    for file in tqdm(files, desc="image sizes", unit="file", disable=None, leave=False, delay=1):
        try:
            with open_image(file.content) as image:
                for _ in iterate_headers(image):
                    # of a PNG without EXIF data, getexif() would decode the image
                    has_exif = image.format != "PNG" or "exif" in image.info
                    is_turned = has_exif and image.getexif().get(ORIENTATION) in ROTATED
                    height, width = image.size if is_turned else image.size[::-1]
                    sizes[height, width] += 1
                    examples.setdefault((height, width), file.name)
                    kinds.add(kind_of(image))
                    if not image.mode.startswith(("I;", *GRAY)) or image.mode == "LAB":
                        colored[file.name] = None
        except Exception:
            continue
    return Survey(sizes, examples, kinds, list(colored))


def choose_shape(found: Survey, shape: Sequence[int] | None) -> tuple[int, int, int]:
    """The shape (C, H, W) of a data set: the user's, that of all images, or one that suits images of several sizes.

    The latter has the median height and width, scaled down to sides of 64 at most.
    """
    if shape is not None:
        channels, height, width = shape
        return channels, height, width
    channels = 3 if found.colored else 1
    if len(found.sizes) <= 1:
        height, width = next(iter(found.sizes), (1, 1))
    else:
        height, width = (float(np.median(list(Counter.elements(side)))) for side in side_counts(found.sizes))
        scale = min(1, LONGEST_SIDE / max(height, width))
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
    return channels, int(height), int(width)


def side_counts(sizes: Counter[tuple[int, int]]) -> tuple[Counter[int], Counter[int]]:
    """How many images have each height, and each width."""
    heights, widths = Counter(), Counter()
    for (height, width), count in sizes.items():
        heights[height] += count
        widths[width] += count
    return heights, widths


def choose_whites(files: Sequence[Encoded], kinds: set[str], white: White, where: str) -> dict[str, float]:
    """The level that is white in the images of each kind; images of more than 8 bits are decoded to find it.

    Raises UserError where that can't be told.
    """
    check_white(white, "data.white")
    if white != "auto":
        return dict.fromkeys(("bytes", "16 bits", "32 bits", "floats"), float(white)) | {"bits": 255.0}
    whites = {"bits": 255.0, "bytes": 255.0}
    deep = kinds - whites.keys()
    highest = dict.fromkeys(deep, (0.0, where))
    for file in files if deep else ():
        try:
            for name, image in iterate_pages(file.content, file.name):
                if (kind := kind_of(image)) in deep:
                    low, high = extremes(image, name)
                    if low < 0:
                        raise UserError(f"{name} has levels from {low:g} to {high:g}: shift and scale them to 0 to 255")
                    highest[kind] = max(highest[kind], (high, name))
        except UnreadableError:  # `decode` names it
            continue
    return whites | {kind: white_level(kind, *at, "data.white") for kind, at in highest.items()}


def decode(files: Sequence[Encoded], shape: tuple[int, int, int], whites: dict[str, float]) -> Raster:
    """Decode image files, fitted to a shape (C, H, W), with the level that is white in each kind."""
    images, rows, highest = [], [], 0
    broken: dict[str, str] = {}
    for row, file in enumerate(tqdm(files, desc="reading images", unit="file", disable=None, leave=False, delay=1)):
        try:
            pages = list(fit_pages(file, shape, whites))
        except UnreadableError as error:
            broken[file.name] = error.reason
            continue
        images += [page for page, _ in pages]
        highest = max(highest, *(level for _, level in pages))
        rows += [row] * len(pages)
    stacked = np.stack(images) if images else np.zeros((0, *shape), np.uint8)
    return Raster(stacked, np.array(rows, np.int64), broken, highest)


def fit_pages(file: Encoded, shape: tuple[int, int, int], whites: dict[str, float]) -> Iterator[tuple[np.ndarray, int]]:
    """The images of a file, as (C, H, W), each with its highest level before it was fitted."""
    for name, image in iterate_pages(file.content, file.name):
        white = whites.get(kind := kind_of(image), 255.0)
        if white != 255 and kind != "bits" and (high := extremes(image, name)[1]) > white * (1 + 1e-6):
            raise UserError(f"{name} has levels up to {high:g}, above data.white={white:g}")
        array = as_levels(image, shape[0], white)
        yield fit_to_shape(array, shape, name), int(array.max())


def broken_files(broken: Mapping[str, str], count: int) -> str:
    """What is said of files that can't be read."""
    few = ", ".join(f"{name} ({reason})" for name, reason in list(broken.items())[:NAMED])
    return printable(f"{len(broken)} of {count} files are no readable images, {few}{', ...' * (len(broken) > NAMED)}")
