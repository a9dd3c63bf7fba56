"""Arrays in npz and npy files: nothing in them is trusted, and no array is made that a file is too small to hold."""

import io
import math
import zlib
from pathlib import Path
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy

from src.data.formats import detect_format
from src.support.errors import UserError, one_line

RATIO = {ZIP_STORED: 1, ZIP_DEFLATED: 1100}  # deflate, by which NumPy compresses, does so by 1,032 at most
HEAD = 12 + 10_000  # bytes before an array: NumPy reads no longer description
UNREADABLE = (BadZipFile, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError, zlib.error)


class Header(NamedTuple):
    """Shape and type of an array in an npz file, known before the array is read."""

    shape: tuple[int, ...]
    dtype: np.dtype


def read_headers(path: Path, option: str) -> dict[str, Header]:
    """Read shapes and types of the arrays in an npz file. Raises UserError, with its format, for another file."""
    if not path.exists():
        raise UserError(f"{option}: no such file")
    if found := detect_format(path):
        raise UserError(f"{option} is {found.name}, but must be an npz file: {found.remedy}")
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
    return parse_header(head, name, info.file_size)


def parse_header(head: io.BytesIO, name: str, size: int) -> Header:
    """Parse the beginning of an array that takes `size` bytes with its header.

    Raises BadZipFile where it claims another size; nothing of that size is allocated.
    """
    try:
        version = npy.read_magic(head)
        # NumPy does the same: later versions differ from 2.0 only in the encoding of field names
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(head)
    except Exception as error:  # for a damaged description NumPy raises TokenError, SyntaxError, TypeError, ...
        raise BadZipFile(f"the description of {name}: {one_line(error)}") from error
    claimed, present = math.prod(shape) * dtype.itemsize, size - head.tell()
    if not dtype.hasobject and (claimed != present or min(shape, default=0) < 0):
        raise BadZipFile(f"{name} is said to be {dtype} {shape}, {claimed:,} bytes")
    return Header(shape, dtype)


def read_array(archive: ZipFile, name: str) -> np.ndarray:
    """Read an array whose header was checked. NumPy's own reader would prefer a member without the suffix .npy."""
    with archive.open(f"{name}.npy") as member:
        return npy.read_array(member, allow_pickle=False)


def read_npy(path: Path, option: str) -> np.ndarray:
    """Read the array of an npy file. Raises BadZipFile where the file is too small to hold what is claimed."""
    with path.open("rb") as file:
        header = parse_header(io.BytesIO(file.read(HEAD)), path.name, path.stat().st_size)
        if header.dtype.hasobject:
            raise UserError(
                f"{option} holds Python objects, as images of several sizes are: resize them, np.stack(images)"
            )
        file.seek(0)
        return npy.read_array(file, allow_pickle=False)
