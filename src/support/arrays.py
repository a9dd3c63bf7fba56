"""Archives of arrays (npz) in the folders of runs: opened only where they hold what they claim."""

import math
from pathlib import Path
from zipfile import ZipFile, is_zipfile

import numpy as np
from numpy.lib import format as npy

SMALL = 64_000_000  # bytes that an archive may claim, whatever its size; this program compresses none
LARGEST = 4_000_000_000  # bytes that any archive of a run may claim


def open_arrays(path: Path) -> np.lib.npyio.NpzFile:
    """The arrays of an npz file, each read when it is asked for, none of them pickled.

    Raises ValueError where the file is of another format, or claims more than it holds.
    """
    if path.exists() and not (path.is_file() and is_zipfile(path)):
        raise ValueError("it is no npz file")
    with path.open("rb") as file, ZipFile(file) as archive:
        size, claim = path.stat().st_size, sum(member.file_size for member in archive.infolist())
        if claim > min(LARGEST, max(SMALL, size)):
            raise ValueError(f"it claims {claim:,} bytes in a file of {size:,}")
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                with archive.open(member) as array:
                    version = npy.read_magic(array)
                    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                    shape, _, dtype = read_header(array)
                    rest = member.file_size - array.tell()
                if dtype.hasobject or dtype.itemsize == 0 or math.prod(shape) * dtype.itemsize != rest:
                    raise ValueError(f"{member.filename[:-4]} is said to be {dtype} {shape}, and has {rest:,} bytes")
    return np.load(path, allow_pickle=False)
