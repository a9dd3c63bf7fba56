"""A user's own image files, with the channels, size, range and polarity of a run's images."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from src.data.formats import IMAGE_SUFFIXES, detect_format
from src.data.npz import read_arrays
from src.support.errors import UserError, one_line

SUFFIXES = {*IMAGE_SUFFIXES, ".npz"}  # suffixes of the files that are read in a folder; a single file may have any
DARK = 64  # highest level, of 255, below which an image gets a warning
White = float | Literal["auto"]
log = logging.getLogger(__name__)


class UserImages(NamedTuple):
    """Names, images (N, C, H, W) uint8, and for each whether its intensities were inverted, (N,).

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
    """Read the images of a file (PNG, JPG, npz as for data=npz) or of a folder with its subfolders, as (C, H, W).

    ground: the mean intensity, 0 to 255, at the border of the images of the run
    invert: `auto` inverts an image if that brings its border closer to `ground`, provided this is dark (below 64) or
        light (above 191)
    white: the level that is white in all images; `auto`: see `white_level`

    Raises UserError where there is no image, where a file is not an image, or where its range does not show what is
    white.
    """
    if isinstance(invert, str) and invert != "auto":
        raise UserError(f"task.invert must be auto, true or false, got {invert}")
    if white != "auto" and (isinstance(white, bool | str) or white is None or not 0 < white < float("inf")):
        raise UserError(f"task.white must be auto or a number above 0, got {white}")
    whites = white_levels(path, white)
    names, images, inverted = [], [], []
    for name, image in tqdm(iterate_images(path), desc="your images", unit="image", disable=None, leave=False, delay=1):
        if round(min(image.size) * min(shape[2] / image.width, shape[1] / image.height)) == 0:
            raise UserError(
                f"{name} is {image.width} x {image.height}: nothing of it is left in {shape[2]} x {shape[1]}"
            )
        array = as_levels(image, shape[0], whites[kind_of(image)])
        turn = is_negative(array, ground) if invert == "auto" else invert
        names.append(name)
        images.append(fit_to_shape(255 - array if turn else array, shape))
        inverted.append(turn)
    return UserImages(names, np.stack(images), np.array(inverted), *read_classes(Path(path).expanduser(), names))


def read_classes(path: Path, names: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels (N,) and classes of the images at a path, given their names; both empty where there are none."""
    given: list[str] = []
    if path.is_dir() and all(len(Path(name).parts) > 1 for name in names):
        given = [Path(name).parts[0] for name in names]
    elif path.suffix.lower() == ".npz":
        labels = read_arrays(path, str(path))[1]
        given = [] if labels is None else [str(label) for label in labels]
    parts = {name: re.split(r"(\d+)", name) for name in set(given)}
    keys = {name: [(int(each), "") if each.isdecimal() else (-1, each) for each in parts[name]] for name in parts}
    classes = sorted(keys, key=keys.__getitem__)
    return np.array([classes.index(name) for name in given], np.int64), tuple(classes)


def iterate_images(path: str) -> Iterator[tuple[str, Image.Image]]:
    """Iterate over the images at a path, each with its file's name within the path, in an npz file with its number."""
    try:
        top = Path(path).expanduser()
        exists = top.exists()
    except (OSError, RuntimeError) as error:  # a name that is too long, or `~` of nobody
        raise UserError(f"task.input={path}: {one_line(error)}") from error
    if not exists:
        raise UserError(f"task.input={path}: no such file or folder")
    files = [top]
    if top.is_dir():
        found = (file for file in top.rglob("*") if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
        files = sorted(file for file in found if file.is_file())
        if not files:
            raise UserError(f"task.input={path}: no image in it; their suffixes are {', '.join(sorted(SUFFIXES))}")
    for file in files:
        name = str(file.relative_to(top)) if top.is_dir() else file.name
        if file.suffix.lower() == ".npz":
            yield from ((f"{name}[{i}]", image) for i, image in enumerate(read_npz(file)))
        else:
            yield name, decode(file)


def decode(file: Path) -> Image.Image:
    """Decode the image of a file, rotated as its EXIF data says; the first image of an animation."""
    try:
        with Image.open(file) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except Exception as error:  # for damaged bytes Pillow raises OSError, SyntaxError, DecompressionBombError, ...
        found = detect_format(file)
        if found and not found.name.startswith("a single image"):
            raise UserError(f"{file} is {found.name}, but must be an image or an npz file: {found.remedy}") from error
        raise UserError(f"{file} can't be read as an image ({one_line(error)})") from error


def read_npz(file: Path) -> list[Image.Image]:
    """Read the `images` of an npz file, (N, H, W) or (N, C, H, W) uint8 with 1 or 3 channels."""
    images, _ = read_arrays(file, str(file), labelled=False)
    if not len(images):
        raise UserError(f"{file}: `images` holds none")
    return [Image.fromarray(each[0] if len(each) == 1 else each.transpose(1, 2, 0)) for each in images]


def kind_of(image: Image.Image) -> str:
    """`bits`, `bytes`, `16 bits`, `32 bits` or `floats`: the type of an image's levels, which limits their range."""
    if image.mode.startswith("I;"):
        return "16 bits"
    return {"1": "bits", "I": "32 bits", "F": "floats"}.get(image.mode, "bytes")


def white_levels(path: str, white: White) -> dict[str, float]:
    """The level that is white in the images of each kind: `white`, or for `auto` `white_level` of their highest level.

    Raises UserError where a level is above `white`, negative or not a number, and where white can't be determined.
    """
    highest: dict[str, float] = {}
    where: dict[str, str] = {}
    dark = []
    for name, image in iterate_images(path):
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
    found = {kind: white_level(kind, high, where[kind]) for kind, high in highest.items()}
    if dark:
        log.warning("no level of %s and %d others is above %d: they are taken as dark", dark[0], len(dark) - 1, DARK)
    return found


def white_level(kind: str, high: float, name: str) -> float:
    """The level that is white in images of a kind, given their highest level `high`, which the image `name` has.

    It is 255 for bytes and 65535 for 16 bits; for 32 bits and floats the next above `high` of 1 (floats only), 255 and
    65535. Except for bytes it is logged. Raises UserError where `high` is below half of it.
    """
    if kind == "bits" or high == 0:
        return 255.0
    possible = {"bytes": [255.0], "16 bits": [65535.0], "floats": [1.0, 255.0, 65535.0]}.get(kind, [255.0, 65535.0])
    white = next((level for level in possible if high <= level), None)
    if white is None or high < white / 2:
        bits = [2.0**count - 1 for count in (8, 10, 12, 14, 16)]
        likely = next((level for level in bits if high <= level and kind in ("16 bits", "32 bits")), high)
        meant = f", or {white:g} if they are to be so dark" if white else ""
        raise UserError(
            f"the highest level of your images ({kind}) is {high:g}, in {name}, which does not say what is white: "
            f"task.white={likely:.8g}{meant}"
        )
    if kind != "bytes":
        log.warning("your images (%s) have levels up to %g: %g is taken as white (task.white)", kind, high, white)
    return white


def extremes(image: Image.Image, name: str) -> tuple[float, float]:
    """The lowest and the highest level of an image over all channels. Raises UserError for one that is not a number."""
    if kind_of(image) in ("bits", "bytes"):
        bands = convert(image, "RGB", name).getextrema()
        return min(low for low, _ in bands), max(high for _, high in bands)
    array = np.asarray(image)
    if not np.isfinite(array).all():
        raise UserError(f"{name} has levels that are no finite numbers")
    return float(array.min()), float(array.max())


def convert(image: Image.Image, mode: str, name: str = "an image") -> Image.Image:
    """Convert an image to another of Pillow's modes of bytes. Raises UserError where Pillow can't."""
    try:
        return image.convert(mode) if image.mode not in ("LAB", "HSV") else image.convert("RGB").convert(mode)
    except (ValueError, OSError, ImportError) as error:
        raise UserError(f"{name} has colours of the kind {image.mode} ({one_line(error)}): save it as RGB") from error


def as_levels(image: Image.Image, channels: int, white: float = 255.0) -> np.ndarray:
    """The levels (H, W, channels) uint8 of an image, channels 1 or 3.

    Transparent pixels become white, or black if the opaque ones are light.

    white: the level of the image that becomes 255. Levels of more than 8 bits are scaled here, because Pillow would
        clip them at 255
    """
    if image.mode[0] in "IF":
        deep = np.asarray(image, np.float64) * (255 / white)
        image = Image.fromarray(deep.clip(0, 255).round().astype(np.uint8))
    elif white != 255 and image.mode != "1":
        clear = image.has_transparency_data
        bands = convert(image, "RGBA" if clear else "RGB").split()
        table = [min(255, round(level * 255 / white)) for level in range(256)]
        image = Image.merge("RGBA" if clear else "RGB", [*(band.point(table) for band in bands[:3]), *bands[3:]])
    if image.has_transparency_data:
        image = convert(image, "RGBA")
        ink, alpha = np.asarray(image.convert("RGB").convert("L"), float), np.asarray(image.getchannel("A"), float)
        light = (ink * alpha).sum() > 127.5 * alpha.sum()
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black" if light else "white"), image)
    array = np.asarray(convert(image, "RGB" if channels == 3 else "L"))
    return array.reshape(*array.shape[:2], channels)


def border(images: np.ndarray) -> np.ndarray:
    """The pixels (..., 2 W + 2 (H - 2)) along the border of images (..., H, W)."""
    sides = [images[..., 0, :], images[..., -1, :], images[..., 1:-1, 0], images[..., 1:-1, -1]]
    return np.concatenate(sides, -1)


def is_negative(image: np.ndarray, ground: float) -> bool:
    """Whether inverting an image (H, W, C) brings its border closer to `ground`, which must be dark or light."""
    own = border(image.transpose(2, 0, 1)).mean()
    return not 64 <= ground <= 191 and bool(abs(255 - own - ground) < abs(own - ground))


def fit_to_shape(image: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Resize an image (H', W', C) to (C, H, W): proportions are kept, the rest is the median of its border."""
    channels, height, width = shape
    fill = tuple(int(np.median(side)) for side in border(image.transpose(2, 0, 1)))
    resized = Image.fromarray(image[..., 0] if channels == 1 else image)
    resized = ImageOps.pad(resized, (width, height), Image.Resampling.LANCZOS, fill if channels == 3 else fill[0])
    array = np.asarray(resized)
    return array.reshape(height, width, channels).transpose(2, 0, 1)
