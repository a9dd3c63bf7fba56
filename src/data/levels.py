"""Which numbers of an array are black and white, by a rule that is told to the user or refused with a remedy."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from src.support.errors import UserError

White = float | Literal["auto"]
CHUNK = 10_000  # images that are scaled at once, to save memory
TOLERANCE = 1e-4  # by which floats may exceed their range


class Scaling(NamedTuple):
    """Numbers in an array that become 0 and 255, and what a user is told of that ("" where there is nothing to say)."""

    black: float
    white: float
    note: str


class Range(NamedTuple):
    """The lowest and the highest number of arrays of a type."""

    low: float
    high: float
    dtype: np.dtype


def range_of(arrays: Sequence[np.ndarray], where: str) -> Range:
    """The range of numbers in arrays. Raises UserError where some are no finite numbers, or all are the same."""
    low = min(float(array.min()) for array in arrays)
    high = max(float(array.max()) for array in arrays)
    if not np.isfinite([low, high]).all():
        raise UserError(
            f"{where}: some values of the images are no finite numbers: replace them, np.nan_to_num(images)"
        )
    return Range(low, high, arrays[0].dtype)


def check_white(white: White, option: str) -> None:
    """Raise UserError unless `white` is `auto` or a number above 0."""
    if white != "auto" and (isinstance(white, bool | str) or white is None or not 0 < white < float("inf")):
        raise UserError(f"{option} must be auto or a number above 0, got {white}")


def choose_scaling(arrays: Sequence[np.ndarray], white: White, option: str, where: str) -> Scaling:
    """The scaling of the images of a data set, given all its arrays (of one type).

    Bytes are taken as they are, truth values, 0 and 1, and floats of 0 to 1 times 255, and floats of -1 to 1 likewise;
    16 bits are divided by 257. `white` replaces that rule: it becomes 255, and 0 stays 0.

    option, where: the option that gives `white`, and the images' file, for messages. Raises UserError for levels above
        `white`, and with `auto` where the range does not show what is white
    """
    check_white(white, option)
    low, high, dtype = found = range_of(arrays, where)
    if white != "auto":
        if low < 0:
            raise UserError(f"{where}: the levels are from {low:g} to {high:g}: shift and scale them to 0 to 255")
        if high > white * (1 + TOLERANCE):
            raise UserError(f"{where}: the levels go up to {high:g}, above {option}={white:g}")
        return Scaling(0, white, "" if white == 255 else f"{white:g} is white")
    scaling = scaling_of_bits(found) or scaling_of_range(found)
    check_alike(arrays, scaling, option, where)
    if scaling is None:
        raise UserError(f"{where}: {refusal(found, option)}")
    if scaling.white == 255 and dtype == np.uint8 and is_wrapped(arrays):
        raise UserError(
            f"{where}: the images hold only levels below 4 and above 251, as numbers around 0 cast to bytes do: "
            f"scale before casting; or {option}=255 if they are meant to be so"
        )
    return scaling


def check_alike(arrays: Sequence[np.ndarray], scaling: Scaling | None, option: str, where: str) -> None:
    """Raise UserError where one of a data set's arrays alone would be scaled otherwise than all of them together, as
    where the training images are floats of 0 to 1, and the test images bytes."""
    ranges = [range_of([array], where) for array in arrays] if len(arrays) > 1 else []
    own = [scaling_of_bits(each) or scaling_of_range(each) for each in ranges]
    wanted = {each[:2] for each in [*own, scaling] if each}
    if len(wanted) > 1:
        spans = " and ".join(f"{low:g} to {high:g} ({dtype})" for low, high, dtype in ranges)
        raise UserError(f"{where}: the levels of its splits are {spans}: save them with one range; {option} sets white")


def scaling_of_bits(found: Range) -> Scaling | None:
    """The scaling of truth values and of whole numbers 0 and 1."""
    if found.dtype == bool:
        return Scaling(0, 1, "truth values: true is white")
    if found.dtype.kind in "iu" and (found.low, found.high) == (0, 1):
        return Scaling(0, 1, "levels 0 and 1: 1 is white")
    return None


def scaling_of_range(found: Range) -> Scaling | None:
    """The scaling of numbers that span half of 0 to 255, 0 to 65535, or of floats 0 to 1 or -1 to 1."""
    low, high, dtype = found
    kind = "floats" if dtype.kind == "f" else str(dtype)
    if dtype.kind == "f" and low < 0:
        is_usual = -1 - TOLERANCE <= low < -0.5 and high <= 1 + TOLERANCE and high - low > 1
        return Scaling(-1, 1, "floats of -1 to 1 taken as black to white") if is_usual else None
    if low < 0:
        return None
    if dtype.kind == "f" and high <= 1 + TOLERANCE:
        return Scaling(0, 1, "floats of 0 to 1 taken as black to white") if high >= 0.5 else None
    excess = TOLERANCE if dtype.kind == "f" else 0
    for white in (255, 65535):
        if high <= white * (1 + excess):
            said = "" if dtype == np.uint8 else f"{kind} of 0 to {white} taken as black to white"
            return Scaling(0, white, said) if high - (low if white == 255 else 0) > white / 2 else None
    return None


def refusal(found: Range, option: str) -> str:
    """Why the range of numbers does not show what is white, and the remedy."""
    low, high, dtype = found
    span = f"levels from {low:g} to {high:g}"
    if high == low:
        return f"all levels are {high:g}: images without contrast teach nothing"
    if dtype.kind == "f" and -0.5 <= low < 0 and 0.5 <= high <= 1.5:
        return f"{span} are beyond 0 to 1, as after smoothing: save images.clip(0, 1)"
    if dtype == np.int8:
        return f"{span} are bytes with a sign: save images.view(np.uint8)"
    if low < 0:
        scaled = f"(images.astype(float) + {-low:g}) / {high - low:g}"
        return f"{span}, as standardised images have, do not show what is black and white: save {scaled}"
    if dtype.kind == "f" and high <= 1:
        return f"{span} are dark floats: {option}={high:g}, if that is white, or {option}=1 if they are meant to be so"
    if low >= high / 4:
        scaled = f"np.round((images - {low:g}) / {high - low:g} * 255).astype(np.uint8)"
        return f"{span} of 0 to 255 are low in contrast: save {scaled}; or {option}=255 if they are meant to be so"
    white = next((2**bits - 1 for bits in (10, 12, 14, 16) if 255 < high <= 2**bits - 1), high)
    usual = "" if high > 65535 else f", or {option}={255 if high <= 255 else 65535} if they are meant to be so"
    return f"{span} do not show what is white: {option}={white:g}, if that is white{usual}"


def is_wrapped(arrays: Sequence[np.ndarray]) -> bool:
    """Whether bytes are below 4 or above 251 and not all 0 or 255, as numbers around 0 cast to bytes are."""
    middle = any(((part > 3) & (part < 252)).any() for array in arrays for part in array)
    return not middle and any(((array > 0) & (array < 4)).any() for array in arrays)


def to_bytes(images: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Scale the numbers of images (N, ...) to 0 to 255, uint8."""
    black, white, _ = scaling
    if images.dtype == np.uint8 and (black, white) == (0, 255):
        return images
    if images.dtype == np.uint8:  # a table is faster than arithmetic
        return (np.arange(256) * 255 / white).round().clip(0, 255).astype(np.uint8)[images]
    scaled = np.empty(images.shape, np.uint8)
    for first in range(0, len(images), CHUNK):
        part = (images[first : first + CHUNK].astype(np.float32) - black) * np.float32(255 / (white - black))
        scaled[first : first + CHUNK] = part.round().clip(0, 255)
    return scaled
