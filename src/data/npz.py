"""A user's own images in an npz file: nothing in it is trusted, and a refusal is one line that says what to do."""

import io
import math
import zlib
from pathlib import Path
from typing import Literal, NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy

from src.data.formats import detect_format
from src.support.errors import UserError, one_line

White = int | Literal["auto"]
RATIO = {ZIP_STORED: 1, ZIP_DEFLATED: 1100}  # deflate, by which NumPy compresses, does so by 1,032 at most
HEAD = 12 + 10_000  # bytes before an array: NumPy reads no longer description
UNREADABLE = (BadZipFile, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError, zlib.error)


class Header(NamedTuple):
    """Shape and type of an array in an npz file, known before the array is read."""

    shape: tuple[int, ...]
    dtype: np.dtype


def read_arrays(path: Path, option: str, labelled: bool = True) -> tuple[np.ndarray, np.ndarray | None]:
    """Read `images` (N, C, H, W) uint8 with 1 or 3 channels, and `labels` (N,), integers or strings, of an npz file.

    Labels are None where the file has none, or if `labelled` is false. Nothing is unpickled, and no array is allocated
    that the file is too small to hold.

    option: the user's option, `data.path=...`, with which the message of a UserError begins

    Raises UserError for any other file.
    """
    try:
        headers = read_headers(path, option)
        names = [name for name in ("images", "labels")[: 1 + labelled] if name in headers]
        if "images" not in headers:
            held = ", ".join(sorted(headers)) or "no array at all"
            raise UserError(f"{option} holds no `images`, but {held}: {renaming_hint(headers)}")
        fault = images_fault(headers["images"])
        if "labels" in names:
            fault = fault or labels_fault(headers["labels"], headers["images"].shape[0])
        if fault:
            raise UserError(f"{option}: {fault}")
        with ZipFile(path) as file:
            images, labels = (read_array(file, name) if name in names else None for name in ("images", "labels"))
    except MemoryError:
        raise UserError(f"{option}: its arrays do not fit into memory: save fewer images") from None
    except OSError as error:
        raise UserError(f"{option} can't be read ({error.strerror or error})") from error
    except UNREADABLE as error:
        raise UserError(f"{option} is damaged ({one_line(error)}): save it again") from error
    if images.dtype != np.uint8:
        remedy = conversion_to_bytes(images)
        raise UserError(f"{option}: `images` is {images.dtype}, but must be uint8, 0 to 255: {remedy}")
    return images[:, None] if images.ndim == 3 else images, labels


def read_headers(path: Path, option: str) -> dict[str, Header]:
    """Read shapes and types of the arrays in an npz file. Raises UserError, with its format, for another file."""
    if not path.exists():
        raise UserError(f"{option}: no such file")
    if found := detect_format(path):
        raise UserError(f"{option} is {found.name}, but must be an npz file with `images`: {found.remedy}")
    try:
        file = ZipFile(path)
    except BadZipFile:
        raise UserError(f"{option} is no npz file with `images`: np.savez({path.name!r}, images=images)") from None
    size = path.stat().st_size
    with file:
        members = {info.filename[:-4]: info for info in file.infolist() if info.filename.endswith(".npy")}
        return {name: read_header(file, info, size) for name, info in members.items()}


def read_header(archive: ZipFile, info: ZipInfo, size: int) -> Header:
    """Read shape and type of a member of an archive that is `size` bytes long.

    Raises BadZipFile where the archive is too small to hold what is claimed; nothing of that size is allocated.
    """
    name = info.filename[:-4]
    if info.compress_type not in RATIO:
        raise BadZipFile(f"{name} is compressed in a way that NumPy does not use")
    if info.compress_size > size or info.file_size > RATIO[info.compress_type] * info.compress_size:
        raise BadZipFile(f"{name} is said to be {info.file_size:,} bytes in a file of {size:,}")
    with archive.open(info) as member:
        head = io.BytesIO(member.read(HEAD))
    try:
        version = npy.read_magic(head)
        # NumPy does the same: later versions differ from 2.0 only in the encoding of field names
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(head)
    except Exception as error:  # for a damaged description NumPy raises TokenError, SyntaxError, TypeError, ...
        raise BadZipFile(f"the description of {name}: {one_line(error)}") from error
    claimed, present = math.prod(shape) * dtype.itemsize, info.file_size - head.tell()
    if not dtype.hasobject and (claimed != present or min(shape, default=0) < 0):
        raise BadZipFile(f"{name} is said to be {dtype} {shape}, {claimed:,} bytes")
    return Header(shape, dtype)


def read_array(archive: ZipFile, name: str) -> np.ndarray:
    """Read an array whose header was checked. NumPy's own reader would prefer a member without the suffix .npy."""
    with archive.open(f"{name}.npy") as member:
        return npy.read_array(member, allow_pickle=False)


def renaming_hint(headers: dict[str, Header]) -> str:
    """The line of NumPy that saves the array which is probably the images under the name `images`."""
    likely = [name for name, header in headers.items() if len(header.shape) in (3, 4)]
    return f'np.savez("my.npz", images=arrays[{(likely or ["NAME"])[0]!r}])'


def images_fault(header: Header) -> str | None:
    """Why `images` can't be used whatever its values, and the remedy; None if it can."""
    shape, dtype = header
    if dtype.hasobject:
        return "`images` holds Python objects, as images of several sizes are: resize them, np.stack(list(images))"
    if dtype.fields is not None or dtype.kind not in "buif":
        return f"`images` is {dtype}, but must be uint8, 0 to 255"
    if len(shape) == 2 and math.isqrt(shape[1]) ** 2 == shape[1] > 1:
        side = math.isqrt(shape[1])
        return f"`images` has the shape {shape}, but must be (N, H, W): images = images.reshape(-1, {side}, {side})"
    if len(shape) not in (3, 4) or 0 in shape[1:]:
        return f"`images` has the shape {shape}, but must be (N, H, W) or (N, C, H, W): reshape it"
    if len(shape) == 4 and shape[1] not in (1, 3):
        if shape[3] == 4 or (shape[1] in (2, 4) and shape[3] > 4):
            colours = "images[..., :3].transpose(0, 3, 1, 2)" if shape[3] == 4 else "images[:, :3]"
            colours = "images[:, :1]" if shape[1] == 2 else colours
            return f"`images` {shape} has an alpha channel, but must have 1 channel or 3: images = {colours}"
        if shape[3] in (1, 2, 3):
            return f"`images` {shape} has its channels last: save images.transpose(0, 3, 1, 2)"
        return f"`images` has {shape[1]} channels, but must have 1 (grayscale) or 3 (colours), to be drawn"
    return None


def labels_fault(header: Header, count: int) -> str | None:
    """Why `labels` of `count` images can't be used, and the remedy; None if they can."""
    shape, dtype = header
    remedy = None
    if dtype.hasobject:
        remedy = "save labels.astype(str)"
    elif dtype.fields is not None or dtype.kind not in "biufUS":
        remedy = "save strings or whole numbers"
    elif len(shape) == 2 and shape[0] == count and shape[1] > 1:
        remedy = "of one-hot rows, save labels.argmax(1)"
    elif len(shape) == 2 and shape[0] == count:
        remedy = "save labels[:, 0]"
    elif len(shape) != 1 or shape[0] != count:
        remedy = "save one label for each image, in their order"
    elif dtype.kind == "f":
        remedy = "save labels.astype(int) if they are whole, else labels.astype(str)"
    elif dtype.kind == "S":
        remedy = "save labels.astype(str)"
    if remedy is None:
        return None
    kind = "Python objects" if dtype.hasobject else str(dtype)
    return f"`labels` is {kind} {shape}, but must be ({count},) integers or strings: {remedy}"


def conversion_to_bytes(images: np.ndarray) -> str:
    """The line of NumPy that converts images of another type to bytes, as their range suggests."""
    if images.size == 0:
        return "images = images.astype(np.uint8)"
    low, high = images.min(), images.max()
    if not np.isfinite(low + high.astype(float)):
        return "some of its values are no finite numbers"
    if images.dtype == bool:
        return "images = images.astype(np.uint8) * 255"
    if low < 0:
        # signed bytes would overflow when their minimum is subtracted
        spread = f"(images.astype(float) - {low:g}) / {high - float(low):g} * 255"
        scaled = "(images + 1) * 127.5" if low >= -1 and high <= 1 else spread
    elif images.dtype.kind == "f" and high <= 1:
        scaled = "images * 255"
    elif high <= 255:
        return "images = images.round().astype(np.uint8)"
    else:
        white = next((2**bits - 1 for bits in (10, 12, 14, 16) if high <= 2**bits - 1), high)
        scaled = f"images / {white:g} * 255"
    return f"images = np.round({scaled}).astype(np.uint8)"


def check_white(white: White, option: str) -> None:
    """Raise UserError unless `white` is `auto` or a level from 1 to 255."""
    if white != "auto" and (type(white) is not int or not 1 <= white <= 255):
        raise UserError(f"{option} must be auto or a level from 1 to 255, got {white}")


def scale_to_white(images: np.ndarray, white: White, option: str, where: str) -> np.ndarray:
    """Scale images (uint8) so that their level `white` becomes 255; `auto` does not scale them.

    option, where: the option that gives `white`, and the images' file, for messages. Raises UserError for levels above
        `white`, and with `auto` for images that do not span half of 0 to 255 or more
    """
    check_white(white, option)
    low, high = int(images.min()), int(images.max())
    if white == "auto":
        if fault := odd_range(images, low, high):
            if high == low:
                remedy = "an image without contrast teaches nothing"
            elif high - low >= 128:
                remedy = "scale before casting"
            elif low < high / 4:
                remedy = f"{option}={high}, if {high} is white"
            else:
                remedy = f"save np.round((images - {low}.0) / {high - low} * 255).astype(np.uint8)"
            raise UserError(
                f"{where}: {fault} of the range 0 to 255: {remedy}; or {option}=255 if they are meant to be so"
            )
        return images
    if high > white:
        raise UserError(f"{where}: `images` goes up to {high}, above {option}={white}")
    if white == 255:
        return images
    return (np.arange(256) * 255 / white).round().clip(0, 255).astype(np.uint8)[images]


def odd_range(images: np.ndarray, low: int, high: int) -> str | None:
    """Why the levels of images look wrong: less than half of the range, or numbers from -1 to 1 cast to bytes."""
    if high <= 1 and high > low:
        return "`images` holds only 0 and 1"
    if high - low < 128:
        return f"`images` holds only levels from {low} to {high}"
    if any(((part > 3) & (part < 252)).any() for part in images) or not ((images > 0) & (images < 4)).any():
        return None
    return "`images` holds only levels below 4 and above 251, as numbers around 0 cast to bytes do, instead"
