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
    has_colors,
    iterate_headers,
    iterate_pages,
    kind_of,
    open_image,
    white_level,
)
from src.support.errors import UserError, printable

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


class Page(NamedTuple):
    """An image of a file, (C, H, W) uint8, with its highest level before it was fitted, and whether it lost colors."""

    name: str
    image: np.ndarray
    highest: int
    is_grayed: bool


class Raster(NamedTuple):
    """Decoded image files.

    images: (N, C, H, W) uint8
    rows: for each image the number of its file, (N,)
    names: for each image the name of its file, with the number of the page where a file has several
    broken: the reason for each file that can't be read, by its name
    highest: the highest level before images were fitted
    grayed: how many images lost colors
    dark: the files of bytes whose levels are 0 and 1 alone
    """

    images: np.ndarray
    rows: np.ndarray
    names: list[str]
    broken: dict[str, str]
    highest: int
    grayed: int
    dark: list[str]


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
                    if has_colors(image):
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


def choose_whites(files: Sequence[Encoded], kinds: set[str], white: White, option: str, where: str) -> dict[str, float]:
    """The level that is white in the images of each kind; images of more than 8 bits are decoded to find it.

    option: the user's option that gives `white`; where: the one that gives the images, for messages

    Raises UserError where that can't be told.
    """
    check_white(white, option)
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
    return whites | {kind: white_level(kind, *at, option) for kind, at in highest.items()}


def decode(files: Sequence[Encoded], shape: tuple[int, int, int], whites: dict[str, float], option: str) -> Raster:
    """Decode image files, fitted to a shape (C, H, W), with the level that is white in each kind.

    option: the user's option that gives that level, for messages
    """
    pages: list[Page] = []
    rows: list[int] = []
    dark: list[str] = []
    broken: dict[str, str] = {}
    for row, file in enumerate(tqdm(files, desc="reading images", unit="file", disable=None, leave=False, delay=1)):
        try:
            of_file = list(fit_pages(file, shape, whites, option))
        except UnreadableError as error:
            broken[file.name] = error.reason
            continue
        pages += of_file
        dark += [file.name] if max(page.highest for page in of_file) == 1 else []
        rows += [row] * len(of_file)
    stacked = np.stack([page.image for page in pages]) if pages else np.zeros((0, *shape), np.uint8)
    names, highest = [page.name for page in pages], max((page.highest for page in pages), default=0)
    grayed = sum(page.is_grayed for page in pages)
    return Raster(stacked, np.array(rows, np.int64), names, broken, highest, grayed, dark)


def fit_pages(file: Encoded, shape: tuple[int, int, int], whites: dict[str, float], option: str) -> Iterator[Page]:
    """The images of a file, fitted to a shape (C, H, W)."""
    for name, image in iterate_pages(file.content, file.name):
        white = whites.get(kind := kind_of(image), 255.0)
        high = extremes(image, name)[1] if kind not in ("bits", "bytes") or white != 255 else 0
        if kind != "bits" and high > white * (1 + 1e-6):
            raise UserError(f"{name} has levels up to {high:g}, above {option}={white:g}")
        array = as_levels(image, shape[0], white)
        colors = as_levels(image, 3, white) if shape[0] == 1 and has_colors(image) else array
        is_grayed = colors is not array and bool(np.ptp(colors, axis=2).any())
        yield Page(name, fit_to_shape(array, shape, name), int(colors.max()), is_grayed)


def broken_files(broken: Mapping[str, str], count: int) -> str:
    """What is said of files that can't be read."""
    few = ", ".join(f"{name} ({reason})" for name, reason in list(broken.items())[:NAMED])
    return printable(f"{len(broken)} of {count} files are no readable images, {few}{', ...' * (len(broken) > NAMED)}")
