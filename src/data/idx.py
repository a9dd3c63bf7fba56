"""Arrays of numbers in IDX files, the format of MNIST, raw or compressed by gzip."""

import gzip
import math
from pathlib import Path

import numpy as np

from src.data.formats import IDX_TYPES
from src.support.errors import UserError

EXPANSION = 1100  # gzip compresses by 1,032 at most


def read(path: Path, option: str) -> np.ndarray:
    """Read the array of an IDX file. Raises UserError where the file does not have the size that its header says.

    option: the user's option, `data.path=...`, with which the message begins
    """
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as file:
        magic = file.read(4)
        sizes = np.frombuffer(file.read(4 * magic[3]), ">u4").astype(int).tolist()
        dtype = np.dtype(IDX_TYPES[magic[2]])
        nbytes = math.prod(sizes) * dtype.itemsize
        if nbytes > path.stat().st_size * (EXPANSION if zipped else 1):
            raise UserError(f"{option} is damaged: it is said to hold {nbytes:,} bytes, and is too small for them")
        data = file.read(nbytes + 1)  # one byte more, to detect a file that is too long
    if len(data) != nbytes:
        problem = "cut short" if len(data) < nbytes else "too long"
        raise UserError(f"{option} is {problem}: its header says {nbytes:,} bytes: copy or save it again")
    array = np.frombuffer(data, dtype).reshape(sizes)
    return array.astype(dtype.newbyteorder("="), copy=False)
