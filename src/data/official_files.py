"""The files of official data sets: found or downloaded, verified, and read. src/data/official.py says which they are.

A checksum is verified where one was published for what is there: the plain file, the .gz file or the archive. Of files
without one, which somebody else has unpacked, the header, the number of bytes and the range of the labels are verified.
"""

import gzip
import hashlib
import os
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zipfile import ZipFile

import numpy as np

from src.data.downloads import UNREADABLE, download
from src.support.errors import UserError, one_line

CODES = {"u1": 0x0800, ">i4": 0x0C00}  # of the types of numbers in IDX files
CHUNK = 2**24  # bytes that are read at once


class File(NamedTuple):
    """An IDX file, as it was published.

    name: without .gz
    shape: of its array
    labels: the lowest and the highest label, which are the first column of an array of two dimensions; None for images
    kind: of its numbers, as NumPy calls it
    md5: of the file
    packed_md5: of the .gz file
    """

    name: str
    shape: tuple[int, ...]
    labels: tuple[int, int] | None = None
    kind: str = "u1"
    md5: str | None = None
    packed_md5: str | None = None

    @property
    def forms(self) -> tuple[str, str]:
        """Its names on disk, plain and .gz; the first is that of which a checksum was published."""
        names = self.name, f"{self.name}.gz"
        return names[::-1] if self.packed_md5 and not self.md5 else names


class Archive(NamedTuple):
    """A zip file that holds other files, as .gz, in one of its folders, and its MD5."""

    name: str
    folder: str
    md5: str


class Published(NamedTuple):
    """A data set, as it was published.

    name: torchvision's, which is also that of the folder
    files: the training images, their labels, the test images, and their labels
    classes: the name of each label
    held_out: the number of images for validation, the last of the training images
    archive: the zip file that the files were published in
    transposed: whether the rows of the images are their columns
    elsewhere: folders that may hold the files, too
    package: the command that installs the files there
    """

    name: str
    files: tuple[File, File, File, File]
    classes: tuple[str, ...]
    held_out: int
    archive: Archive | None = None
    transposed: bool = False
    elsewhere: tuple[Path, ...] = ()
    package: str | None = None


def read(published: Published, root: Path) -> tuple[list[np.ndarray], str]:
    """The arrays of a data set's four files, and where they come from: a path, paths, or "download".

    They are in torchvision's folder below `root`, or elsewhere; what is missing is downloaded to that folder. Raises
    UserError, and leaves all files as they are, where one is not the official one or can't be downloaded.
    """
    raw = root / published.name / "raw"
    try:
        if uses_archive(published, raw):
            return read_archive(published, raw)
        return read_single_files(published, raw)
    except UNREADABLE as error:
        raise UserError(f"{one_line(error)}: {remedies(published, raw)}") from error


def remedies(published: Published, raw: Path) -> str:
    """What a user can do where files are missing or damaged."""
    found = zip(published.files, find_all(published, raw), strict=True)
    missing = [file.name for file, path in found if path is None]
    some = 0 < len(missing) < len(published.files)  # the others are there
    files = ", ".join(missing) if some else "the four files"
    if published.archive:
        prefix = published.files[0].name.partition("-train")[0]
        files = f"{published.archive.name}, or {files} of it{'' if some else f' that begin with {prefix}'},"
    package = f"{published.package}, " if published.package else ""
    return f"copy {files} to {raw}, {package}or use data=mnist5k, which needs no download"


def are_on_disk(published: Published, root: Path) -> bool:
    """Whether the images can be read without a download."""
    raw = root / published.name / "raw"
    if published.archive and (raw / published.archive.name).exists():
        return True
    return all(path and path.exists() for path in find_all(published, raw))


def uses_archive(published: Published, raw: Path) -> bool:
    """Whether the archive is read, or downloaded, rather than single files, whose checksums were not published."""
    if published.archive is None:
        return False
    return os.path.lexists(raw / published.archive.name) or None in find_all(published, raw)


def find_all(published: Published, raw: Path) -> list[Path | None]:
    """The path of each file, in the first form in the first folder that has it; a dangling link counts."""
    folders = [raw, *published.elsewhere]
    candidates = [[folder / name for folder in folders for name in file.forms] for file in published.files]
    return [next((path for path in paths if os.path.lexists(path)), None) for paths in candidates]


def read_single_files(published: Published, raw: Path) -> tuple[list[np.ndarray], str]:
    """The arrays of the files, of which those that are missing are downloaded, and where they come from."""
    paths = find_all(published, raw)
    found = zip(published.files, paths, strict=True)
    arrays = {file.forms[0]: read_file(published, file, path) for file, path in found if path}
    missing = {file.forms[0]: file for file in published.files if file.forms[0] not in arrays}
    if missing:
        download(published.name, list(missing), raw, lambda name, path: read_file(published, missing[name], path))
        arrays |= {name: read_file(published, file, raw / name) for name, file in missing.items()}
    origin = "download" if missing else ", ".join(dict.fromkeys(str(path.parent) for path in paths if path))
    return [arrays[file.forms[0]] for file in published.files], origin


def read_archive(published: Published, raw: Path) -> tuple[list[np.ndarray], str]:
    """The arrays of the files in the archive, which is downloaded where it is missing, and where it comes from."""
    assert published.archive
    archive = published.archive
    path = raw / archive.name
    is_missing = not os.path.lexists(path)
    if is_missing:
        download(
            published.name, [archive.name], raw, lambda _, path: open_archive(published.name, archive, path).close()
        )
    with open_archive(published.name, archive, path) as members:
        arrays = [read_member(members, f"{archive.folder}/{file.name}.gz", file) for file in published.files]
    return arrays, "download" if is_missing else str(path)


def open_archive(dataset: str, archive: Archive, path: Path) -> ZipFile:
    """Open an archive. Raises ValueError where it is not the official one."""
    try:
        check_regular(path)
        with path.open("rb") as stream:
            check_md5(stream, archive.md5)
        return ZipFile(path)
    except UNREADABLE as error:
        raise ValueError(f"{path} is not the {archive.name} of {dataset} ({one_line(error)})") from error


def read_member(archive: ZipFile, name: str, file: File) -> np.ndarray:
    """Read a .gz file in an archive."""
    with archive.open(name) as packed, gzip.open(packed) as unpacked:
        return read_idx(unpacked, file)


def read_file(published: Published, file: File, path: Path) -> np.ndarray:
    """Read a plain file or a .gz file. Raises ValueError where it is not the official one."""
    try:
        check_regular(path)
        with path.open("rb") as stream:
            if path.suffix != ".gz":
                return read_idx(stream, file)
            if file.packed_md5:
                check_md5(stream, file.packed_md5)
            with gzip.open(stream) as unpacked:
                return read_idx(unpacked, file)
    except UNREADABLE as error:
        raise ValueError(f"{path} is not the {file.name} of {published.name} ({one_line(error)})") from error


def check_regular(path: Path) -> None:
    """Raise ValueError for what is there but is no file: a pipe would be waited for."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")


def check_md5(stream: BinaryIO, md5: str) -> None:
    """Raise ValueError unless an opened file has this MD5; it is at its beginning afterwards."""
    if hashlib.file_digest(stream, partial(hashlib.md5, usedforsecurity=False)).hexdigest() != md5:
        raise ValueError("its MD5 differs from the published one")
    stream.seek(0)


def read_idx(stream: BinaryIO | gzip.GzipFile, file: File) -> np.ndarray:
    """Read the array in an IDX file. Raises one of UNREADABLE where it differs from the published one."""
    header = np.array([CODES[file.kind] + len(file.shape), *file.shape], ">u4").tobytes()
    size = len(header) + int(np.prod(file.shape)) * np.dtype(file.kind).itemsize
    data = np.empty(size + 1, np.uint8)  # one byte more, to detect a file that is too long
    count = fill(data, stream)
    if count < len(header) or bytes(data[: len(header)]) != header:
        numbers = "bytes" if file.kind == "u1" else "whole numbers of 4 bytes"
        raise ValueError(f"it does not begin like an IDX file of {' x '.join(map(str, file.shape))} {numbers}")
    if count != size:
        raise ValueError(f"it is {'cut short' if count < size else 'too long'}: {size:,} bytes are due")
    array = data[len(header) : size].view(file.kind).reshape(file.shape)
    if file.labels:
        check_labels(first_column(array), *file.labels)
    if file.md5 and hashlib.md5(data[:size], usedforsecurity=False).hexdigest() != file.md5:
        raise ValueError("its MD5 differs: some bytes were changed")
    return array


def fill(data: np.ndarray, stream: BinaryIO | gzip.GzipFile) -> int:
    """Read into an array of bytes until it is full or the file ends; the number of bytes that were read."""
    view, count = memoryview(data), 0
    while read := stream.readinto(view[count : count + CHUNK]):  # a gzip file unpacks all that is asked for at once
        count += read
    return count


def check_labels(labels: np.ndarray, lowest: int, highest: int) -> None:
    """Raise ValueError for labels out of their range."""
    for label in (labels.min(), labels.max()):
        if not lowest <= label <= highest:
            raise ValueError(f"it has the label {label}, beyond {lowest} to {highest}")


def first_column(labels: np.ndarray) -> np.ndarray:
    """The labels (N,) in an array of one or two dimensions; other columns say who wrote a digit, and where."""
    return labels if labels.ndim == 1 else labels[:, 0]
