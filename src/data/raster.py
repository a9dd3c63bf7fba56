"""The levels, size and polarity of decoded images: what becomes of them in the images of a data set or a task."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from src.data.formats import detect_format
from src.support.errors import UserError, one_line

MIDDLE = 127.5  # mean level above which the border of an image is light
GRAY = ("1", "L", "LA", "La", "I", "F")  # modes without colours, and those that begin with "I;"
MULTIPAGE = ("GIF", "TIFF", "WEBP")  # formats with several images; a second one of others is a preview of the first


class UnreadableError(UserError):
    """A file is no image that can be read; `reason` says why, without its name."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def open_image(content: Path | bytes) -> Image.Image:
    """Open an image by the path of its file or by its bytes, without decoding it."""
    return Image.open(io.BytesIO(content) if isinstance(content, bytes) else content)


def iterate_headers(image: Image.Image) -> Iterator[tuple[int, int]]:
    """Let an open file show each of its images in turn, before it is decoded: its number, and how many there are."""
    pages = image.n_frames if image.format in MULTIPAGE else 1
    for page in range(pages):
        if pages > 1:
            image.seek(page)
        yield page, pages


def iterate_pages(content: Path | bytes, name: str) -> Iterator[tuple[str, Image.Image]]:
    """Iterate over the images of a file or of its bytes, rotated as their EXIF data says: most files have one; an
    animation and a TIFF have several, which get numbers.

    Raises UnreadableError, which begins with `name`, for what is no image.
    """
    try:
        with open_image(content) as image:
            for page, pages in iterate_headers(image):
                image.load()
                whole = ImageOps.exif_transpose(image)
                yield (f"{name}[{page}]" if pages > 1 else name), whole
    except UserError:  # of who looks at the image
        raise
    except Exception as error:  # for damaged bytes Pillow raises OSError, SyntaxError, DecompressionBombError, ...
        found = detect_format(content) if isinstance(content, Path) else None
        if found and found.kind != "image":
            message = f"{name} is {found.name}, but must be an image: {found.remedy}"
            raise UnreadableError(message, found.name) from error
        reason = "no image of a known format" if isinstance(error, UnidentifiedImageError) else one_line(error)
        reason = reason if content else "no image there"
        raise UnreadableError(f"{name} can't be read as an image ({reason})", reason[:80]) from error


def kind_of(image: Image.Image) -> str:
    """`bits`, `bytes`, `16 bits`, `32 bits` or `floats`: the type of an image's levels, which limits their range."""
    if image.mode.startswith("I;"):
        return "16 bits"
    return {"1": "bits", "I": "32 bits", "F": "floats"}.get(image.mode, "bytes")


def has_colors(image: Image.Image) -> bool:
    """Whether an image is of a kind that can have colors."""
    return not image.mode.startswith(("I;", *GRAY)) or image.mode == "LAB"


def white_level(kind: str, high: float, name: str, option: str) -> float:
    """The level that is white in images of a kind, given their highest level `high`, which the image `name` has.

    It is 255 for bytes and 65535 for 16 bits; for 32 bits and floats the next above `high` of 1 (floats only), 255 and
    65535. Raises UserError where `high` is below half of it.
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
            f"{option}={likely:.8g}{meant}"
        )
    return white


def extremes(image: Image.Image, name: str) -> tuple[float, float]:
    """The lowest and the highest level of an image over all channels. Raises UserError for one that is not a number."""
    if kind_of(image) in ("bits", "bytes"):
        bands = convert(image, "RGB", name).getextrema()
        return min(low for low, _ in bands), max(high for _, high in bands)
    array = np.asarray(image)
    if not np.isfinite(array).all():
        reason = "levels that are no finite numbers"
        raise UnreadableError(f"{name} has {reason}", reason)
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
    """Whether inverting an image (C, H, W) brings its border closer to `ground`, which must be dark or light."""
    own = border(image).mean()
    return is_clear(ground) and bool(abs(255 - own - ground) < abs(own - ground))


def is_clear(ground: float) -> bool:
    """Whether the mean level at the border of images is dark or light."""
    return not 64 <= ground <= 191


def fit_to_shape(image: np.ndarray, shape: tuple[int, int, int], name: str = "an image") -> np.ndarray:
    """Resize an image (H', W', C) to (C, H, W): proportions are kept, the rest is the median of its border.

    Raises UnreadableError, which begins with `name`, for one so thin that nothing of it would be left.
    """
    (channels, height, width), (rows, columns) = shape, image.shape[:2]
    if (rows, columns) == (height, width):
        return image.transpose(2, 0, 1)
    if round(min(rows, columns) * min(width / columns, height / rows)) == 0:
        reason = f"{columns} x {rows}, of which nothing is left in {width} x {height}"
        raise UnreadableError(f"{name} is {reason}: leave it out, or give a larger shape", reason)
    fill = tuple(int(np.median(side)) for side in border(image.transpose(2, 0, 1)))
    resized = Image.fromarray(image[..., 0] if channels == 1 else image)
    resized = ImageOps.pad(resized, (width, height), Image.Resampling.LANCZOS, fill if channels == 3 else fill[0])
    array = np.asarray(resized)
    return array.reshape(height, width, channels).transpose(2, 0, 1)
