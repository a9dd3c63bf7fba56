"""Tables with an image in each row: CSV as Kaggle's, and Parquet as Hugging Face's."""

import gzip
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from src.data.formats import is_number
from src.support.errors import UserError, one_line, printable

LABELS = ("label", "labels", "class", "target", "y", "fine_label")  # names of the column of labels
NUMBERS = ("id", "index", "", "unnamed: 0")  # names of a column that counts the rows
IMAGES = ("image", "images", "img")  # names of the column of images
LONGEST_LINE = 50_000_000  # characters
LARGEST = 4_000_000_000  # characters of a table; gzip could make more of a small file


class Columns(NamedTuple):
    """Which columns of a CSV table hold pixels, and which one the labels; None where there are none."""

    pixels: list[int]
    labels: int | None


def read_csv(
    path: Path, option: str, labels: str | None, shape: Sequence[int] | None, notes: list[str]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read images (N, pixels) and labels (N,) of a CSV file, raw or gzipped, with a header or without.

    labels: the name or the number of the column of labels; None for `label` or the like, and without a header the
        first column, or the last one where only that varies

    Raises UserError where the columns can't be told, ValueError for a row of another kind.
    """
    with open_text(path) as file:
        first = file.readline(LONGEST_LINE)
        second = file.readline(LONGEST_LINE) or first
    delimiter = next((mark for mark in (",", ";", "\t") if mark in second), None)
    cells = [cell.strip().strip('"') for cell in first.strip("\r\n").split(delimiter)]
    heads = None if is_number(cells[0]) and is_number(cells[-1]) else [cell.lower() for cell in cells]
    samples = [cell.strip().strip('"') for cell in second.strip("\r\n").split(delimiter)]
    columns = columns_of(heads, len(cells), labels, shape, option)
    if columns.labels is None or is_number(samples[columns.labels] if columns.labels < len(samples) else ""):
        table = load(path, delimiter, bool(heads), None, np.float32)
        if heads is None and labels is None and columns.labels == 0 and is_constant(table, 0) > is_constant(table, -1):
            columns = Columns(list(range(len(cells) - 1)), len(cells) - 1)
            notes.append("labels are in the last column")
        found = None if columns.labels is None else table[:, columns.labels].astype(np.int64)
        images = table[:, columns.pixels]
    else:
        images = load(path, delimiter, bool(heads), columns.pixels, np.float32)
        found = load(path, delimiter, bool(heads), [columns.labels], np.str_)[:, 0]
    if (images == images.astype(np.uint8)).all():
        images = images.astype(np.uint8)
    return images, found


def is_constant(table: np.ndarray, column: int) -> bool:
    """Whether a column of a table has the same number in all rows, as the corner of most digits has."""
    return bool((table[:, column] == table[0, column]).all())


def columns_of(
    heads: list[str] | None, count: int, labels: str | None, shape: Sequence[int] | None, option: str
) -> Columns:
    """The columns of pixels and of labels among `count` columns, given their names in lower case if there are any."""
    names = heads or [str(i) for i in range(count)]
    if labels is not None:
        if labels.lower() not in names:
            raise UserError(f"data.labels={labels}: {option} has the columns {some(names)}")
        place = names.index(labels.lower())
    else:
        place = next((i for i, name in enumerate(names) if heads and name in LABELS), None)
    pixels = [i for i, name in enumerate(names) if i != place and not (heads and name in NUMBERS)]
    wanted = None if shape is None else math.prod(shape)
    if place is None and not heads and len(pixels) != wanted and not is_square(len(pixels)):
        place, pixels = pixels[0], pixels[1:]
    if len(pixels) != wanted and not is_square(len(pixels)):
        raise UserError(
            f"{option} has {len(pixels)} columns of pixels, which are no square: give their shape, as "
            f"data.shape=[3,32,32], or the column of labels, data.labels=NAME; the columns are {some(names)}"
        )
    return Columns(pixels, place)


def is_square(count: int) -> bool:
    """Whether a number is the square of a whole number above 1."""
    return count > 1 and math.isqrt(count) ** 2 == count


def some(names: Sequence[str]) -> str:
    """The first and the last of some names, for a message."""
    return printable(", ".join(names) if len(names) < 8 else f"{', '.join(names[:4])}, ..., {', '.join(names[-2:])}")


def open_text(path: Path) -> IO[str]:
    """Open a text file, raw or gzipped."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8-sig") if zipped else path.open(encoding="utf-8-sig")


def load(path: Path, delimiter: str | None, headed: bool, columns: list[int] | None, kind: type) -> np.ndarray:
    """The rows (N, columns) of a CSV file as numbers or text."""

    def lines(file: IO[str]) -> Iterator[str]:
        total = 0
        while line := file.readline(LONGEST_LINE):
            total += len(line)
            if total > LARGEST:
                raise UserError(f"{path} holds more than {LARGEST:,} characters: split it")
            yield line

    with open_text(path) as file:
        return np.loadtxt(
            lines(file),
            kind,
            comments=None,
            delimiter=delimiter,
            skiprows=int(headed),
            usecols=columns,
            ndmin=2,
            quotechar='"',
        )


class ParquetRows(NamedTuple):
    """The images of Parquet files, as bytes of image files or as arrays, and their labels, or None.

    classes: the names of the labels' numbers, where the files have them
    """

    images: list[bytes | None] | np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]

    def label_names(self) -> list[str]:
        """The name of each label, where there are labels; a number that has no name is its own."""
        known = range(len(self.classes))
        return [self.classes[each] if self.classes and each in known else str(each) for each in self.labels.tolist()]


def read_parquet(paths: Sequence[Path], option: str, images: str | None, labels: str | None) -> ParquetRows:
    """Read images and labels of the rows of Parquet files, which have the same columns.

    images, labels: the columns; None for `image` and `label` or the like

    Raises UserError where pyarrow is missing, a file is damaged, or its columns can't be told.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(f"{option} is a Parquet file, which pyarrow reads: pip install 'vae-lab[parquet]'") from error
    try:
        table = pa.concat_tables([parquet.read_table(path) for path in paths])
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{option} is damaged ({one_line(error)[:120]}): copy or save it again") from error
    names = table.column_names
    image_column = find_column(names, images, IMAGES, "images", option)
    label_column = find_column(names, labels, LABELS, "labels", option)
    if image_column is None:
        raise UserError(f"{option} has the columns {some(names)}: name that of the images, data.images=NAME")
    found = None if label_column is None else np.array(table[label_column].to_pylist())
    classes = class_names(table.schema.metadata, label_column) if label_column else ()
    cells = table[image_column].to_pylist()
    if isinstance(cells[0] if cells else None, dict):
        return ParquetRows([cell and cell.get("bytes") for cell in cells], found, classes)
    if isinstance(cells[0] if cells else None, bytes):
        return ParquetRows(cells, found, classes)
    try:
        return ParquetRows(np.array(cells), found, classes)
    except ValueError as error:
        raise UserError(f"{option}: the column {image_column} holds no images of one size") from error


def find_column(
    names: Sequence[str], wanted: str | None, usual: Sequence[str], option_name: str, option: str
) -> str | None:
    """The column that the user names, or the first of the usual names that the table has."""
    if wanted is not None and wanted not in names:
        raise UserError(f"data.{option_name}={wanted}: {option} has the columns {some(names)}")
    return wanted or next((name for name in usual if name in names), None)


def class_names(metadata: dict[bytes, bytes] | None, column: str) -> tuple[str, ...]:
    """The names of a column's labels in what Hugging Face's datasets writes of it; none where that is damaged."""
    try:
        described: Any = json.loads((metadata or {})[b"huggingface"])
        return tuple(str(name) for name in described["info"]["features"][column]["names"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
