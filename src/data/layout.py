"""The layout of an array of images: where its channels are, or that its rows are whole images."""

import math
from collections.abc import Sequence

import numpy as np

from src.support.errors import UserError

CHANNELS = (1, 3)
LOOKED_AT = 200  # rows that decide the order of their numbers
CLEARLY = 0.9  # of the difference between numbers, below which others are more alike


def images_of(array: np.ndarray, shape: Sequence[int] | None, where: str) -> np.ndarray:
    """A view (N, C, H, W) of images (N, H, W), (N, C, H, W), (N, H, W, C) or (N, pixels); C is 1 or 3.

    shape: (C, H, W), if the user has given it, which tells rows of pixels apart. Where both ends of (N, A, H, B) could
        be channels, it is (N, C, H, W)

    Raises UserError, which begins with `where`, for any other array.
    """
    if fault := type_fault(array.dtype):
        raise UserError(f"{where}: {fault}")
    if array.ndim and 0 in array.shape:
        raise UserError(f"{where}: there is no image in an array of the shape {array.shape}")
    if array.ndim == 2:
        channels, height, width = shape_of_rows(array.shape[1], shape, where)
        if channels == 3 and is_interleaved(array, width):
            return array.reshape(len(array), height, width, channels).transpose(0, 3, 1, 2)
        return array.reshape(len(array), channels, height, width)
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4 and array.shape[1] in CHANNELS:
        return array
    if array.ndim == 4 and array.shape[3] in CHANNELS:
        return array.transpose(0, 3, 1, 2)
    raise UserError(f"{where}: {shape_fault(array.shape)}")


def is_interleaved(rows: np.ndarray, width: int) -> bool:
    """Whether rows of color images are (H, W, 3), as Keras' and Pillow's are, rather than (3, H, W).

    The pixel below is 3 W numbers away in the former, W in the latter, and is more alike than what is there otherwise.
    """
    some = rows[:: max(1, len(rows) // LOOKED_AT)].astype(np.float32)
    below = [np.abs(some[:, step:] - some[:, :-step]).mean() for step in (width, 3 * width) if step < some.shape[1]]
    return len(below) == 2 and below[1] < CLEARLY * below[0]


def type_fault(dtype: np.dtype) -> str | None:
    """Why an array of a type can't hold images, and the remedy."""
    if dtype.hasobject:
        return "the images are Python objects, as images of several sizes are: resize them, np.stack(list(images))"
    return None if dtype.fields is None and dtype.kind in "buif" else f"the images are {dtype}, but must be numbers"


def shape_of_rows(pixels: int, shape: Sequence[int] | None, where: str) -> tuple[int, int, int]:
    """The shape (C, H, W) of an image that is a row of `pixels` numbers: `shape` if it has so many, or a square."""
    if shape is not None and math.prod(shape) == pixels:
        channels, height, width = shape
        return channels, height, width
    side = math.isqrt(pixels)
    if side * side == pixels:
        return 1, side, side
    raise UserError(f"{where}: rows of {pixels} pixels are no squares: give their shape, as data.shape=[3,32,32]")


def shape_fault(shape: tuple[int, ...]) -> str:
    """Why an array of this shape is not taken as images, and the remedy."""
    if (len(shape) == 4 and 4 in (shape[1], shape[3])) or (len(shape) == 4 and 2 in (shape[1], shape[3])):
        last = shape[3] in (2, 4)
        keep = 1 if 2 in (shape[1], shape[3]) else 3
        remedy = f"images[..., :{keep}]" if last else f"images[:, :{keep}]"
        return f"images of the shape {shape} have an alpha channel, but 1 channel or 3 are drawn: save {remedy}"
    if len(shape) == 4:
        return f"images of the shape {shape} have neither 1 channel (grayscale) nor 3 (colours)"
    return f"an array of the shape {shape} holds no images, which are (N, H, W), (N, C, H, W) or (N, H, W, C)"
