"""A user's own image files as a run's images: its channels, size and polarity."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from src.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".npz")  # what is taken from a folder; a file may have any


class Own(NamedTuple):
    """Names, images (N, C, H, W) uint8, and of which of them (N,) the intensities were inverted."""

    names: list[str]
    images: np.ndarray
    inverted: np.ndarray


def read(path: str, shape: tuple[int, int, int], ground: float, invert: bool | str) -> Own:
    """The images of a file (PNG, JPG, npz as of data=npz) or of a folder and those in it, fitted to `shape` (C, H, W).

    ground: the mean intensity, 0 to 255, at the border of the images they are to be like
    invert: `auto` inverts those whose border is nearer to it then, where it is dark (under 64) or light (above 191)

    Raises UserError where there is no image, or where a file is none.
    """
    if isinstance(invert, str) and invert != "auto":
        raise UserError(f"task.invert must be auto, true or false, got {invert}")
    names, images, inverted = [], [], []
    for name, image in tqdm(opened(path), desc="your images", unit="image", disable=None, leave=False, delay=1):
        if round(min(image.size) * min(shape[2] / image.width, shape[1] / image.height)) == 0:
            raise UserError(
                f"{name} is {image.width} x {image.height}: nothing of it is left in {shape[2]} x {shape[1]}"
            )
        grey = levels(image, shape[0])
        turn = negative(grey, ground) if invert == "auto" else invert
        names.append(name)
        images.append(fitted(255 - grey if turn else grey, shape))
        inverted.append(turn)
    return Own(names, np.stack(images), np.array(inverted))


def opened(path: str) -> Iterator[tuple[str, Image.Image]]:
    """The images at a path, each with the name of its file in there, and in an npz file its number."""
    top = Path(path).expanduser()
    if not top.exists():
        raise UserError(f"task.input={path}: no such file or folder")
    files = [top]
    if top.is_dir():
        files = sorted(file for file in top.rglob("*") if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
        if not files:
            raise UserError(f"task.input={path}: no image in it; they are known by {', '.join(SUFFIXES)}")
    for file in files:
        name = str(file.relative_to(top)) if top.is_dir() else file.name
        if file.suffix.lower() == ".npz":
            yield from ((f"{name}[{i}]", image) for i, image in enumerate(stored(file)))
        else:
            yield name, decoded(file)


def decoded(file: Path) -> Image.Image:
    """The image of a file, upright; of an animation the first."""
    try:
        with Image.open(file) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except Exception as error:  # what Pillow makes of damaged bytes: OSError, SyntaxError, DecompressionBombError, ...
        raise UserError(f"{file} can't be read as an image ({line(error)})") from error


def stored(file: Path) -> list[Image.Image]:
    """The `images` of an npz file, (N, H, W) or (N, C, H, W) uint8 with 1 or 3 channels."""
    try:
        with np.load(file) as arrays:
            images = arrays["images"]
    except Exception as error:  # whatever the bytes provoke in np.load
        raise UserError(f"{file} can't be read as an npz file with `images` ({line(error)})") from error
    images = images[:, None] if images.ndim == 3 else images
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        kind = f"{images.dtype} {images.shape}"
        raise UserError(f"{file}: `images` is {kind}, but must be uint8 (N, H, W) or (N, C, H, W), C 1 or 3, N above 0")
    return [Image.fromarray(each[0] if len(each) == 1 else each.transpose(1, 2, 0)) for each in images]


def levels(image: Image.Image, channels: int) -> np.ndarray:
    """The image as (H, W, channels) uint8, channels 1 or 3; what is transparent shows white, or black behind light.

    Greys of 16 bits become 8: Pillow's own conversion would cut them off at 255.
    """
    if image.mode[0] in "IF":
        deep = np.asarray(image, np.float64)
        deep = deep / 257 if image.mode.startswith("I;16") or deep.max() > 255 else deep
        image = Image.fromarray(deep.clip(0, 255).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ink, alpha = np.asarray(image.convert("RGB").convert("L"), float), np.asarray(image.getchannel("A"), float)
        light = (ink * alpha).sum() > 127.5 * alpha.sum()
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black" if light else "white"), image)
    array = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return array.reshape(*array.shape[:2], channels)


def border(images: np.ndarray) -> np.ndarray:
    """The pixels (..., 2 W + 2 (H - 2)) along the border of images (..., H, W)."""
    sides = [images[..., 0, :], images[..., -1, :], images[..., 1:-1, 0], images[..., 1:-1, -1]]
    return np.concatenate(sides, -1)


def negative(image: np.ndarray, ground: float) -> bool:
    """Whether the border of an image (H, W, C) would be nearer to `ground` if dark and light changed places; never
    where `ground` is neither."""
    found = border(image.transpose(2, 0, 1)).mean()
    return not 64 <= ground <= 191 and bool(abs(255 - found - ground) < abs(found - ground))


def fitted(image: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """An image (H', W', C) as (C, H, W): its proportions kept, what is missing filled with its border's median."""
    channels, height, width = shape
    fill = tuple(int(np.median(side)) for side in border(image.transpose(2, 0, 1)))
    picture = Image.fromarray(image[..., 0] if channels == 1 else image)
    picture = ImageOps.pad(picture, (width, height), Image.Resampling.LANCZOS, fill if channels == 3 else fill[0])
    array = np.asarray(picture)
    return array.reshape(height, width, channels).transpose(2, 0, 1)


def line(error: Exception) -> str:
    """What an exception says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
