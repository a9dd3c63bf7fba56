"""Tables with an image in each row: CSV as Kaggle's, and Parquet as Hugging Face's."""

import csv
import gzip
import json
import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from src.data.formats import is_number
from src.data.layouts import LABELS, NONE
from src.support.errors import UserError, one_line, printable

# names of a column that counts the rows, or names their files
NUMBERS = ("id", "index", "", "unnamed: 0", "imageid", "image_id", "rowid", "row_id", "file", "filename", "file_name")
IMAGES = ("image", "images", "img")  # names of the column of images
EXACT = 2**24  # whole numbers below it are exact in float32
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

    labels: the name or the number of the column of labels; None for `label` or the like, and without a header that of
        text, or the first or the last one, whichever has fewer values

    Raises UserError where the columns can't be told, and for a row of another kind.
    """
    with open_text(path) as file:
        first = file.readline(LONGEST_LINE)
        second = file.readline(LONGEST_LINE) or first
    delimiter = next((mark for mark in (",", ";", "\t") if mark in second), None)
    cells = [cell.strip().strip('"') for cell in first.strip("\r\n").split(delimiter)]
    heads = [cell.lower() for cell in cells] if sum(map(is_number, cells)) < len(cells) / 2 else None
    samples = [cell.strip().strip('"') for cell in second.strip("\r\n").split(delimiter)]
    texts = [i for i, cell in enumerate(samples[: len(cells)]) if not is_number(cell)]
    columns = columns_of(heads, len(cells), labels, shape, option, texts[0] if len(texts) == 1 else None)
    read = partial(load, path, option, delimiter, bool(heads))
    numeric = [] if columns.labels in (None, *texts) else [columns.labels]
    table = read([*columns.pixels, *numeric], np.float32)
    images, found = table[:, : len(columns.pixels)], table[:, -1] if numeric else None
    if numeric and (np.abs(found) >= EXACT).any():
        found = read(numeric, np.float64)[:, 0]
    elif columns.labels in texts:
        found = read([columns.labels], np.str_)[:, 0]
    if not heads and labels is None and columns == Columns(list(range(1, len(cells))), 0) and not texts:
        is_last = count_values(images[:, -1]) < count_values(found)
        if is_last:
            images, found = np.column_stack([found, images[:, :-1]]).astype(np.float32), images[:, -1]
        notes.append(f"labels are in the {'last' if is_last else 'first'} column")
    if (images == images.astype(np.uint8)).all():
        images = images.astype(np.uint8)
    return images, found


def count_values(column: np.ndarray) -> float:
    """How many values a column of a table has; infinite for one, as the corner of digits has, and for fractions."""
    values = np.unique(column)
    return len(values) if len(values) > 1 and (values == values.round()).all() else math.inf


def read_labels(path: Path, where: str) -> np.ndarray:
    """Read labels (N,) of a text file with one in each line, or of the column `label` or the like of a CSV file."""
    with open_text(path) as file:
        lines = [line.strip("\r\n") for line in file if line.strip()]
    delimiter = next((mark for mark in (",", ";", "\t") if mark in lines[0]), ",")
    rows = list(csv.reader(lines, delimiter=delimiter))
    names = [name.strip().lower() for name in rows[0]]
    column = next((i for i, name in enumerate(names) if name in LABELS), 0)
    if len(names) > 1 and names[column] not in LABELS:
        raise UserError(f"{where} have the columns {some(names)}: call one of them label")
    cells = [row[column].strip() if column < len(row) else "" for row in rows[names[column] in LABELS :]]
    return np.array(cells, float) if all(map(is_number, cells)) else np.array(cells)


def columns_of(
    heads: list[str] | None,
    count: int,
    labels: str | None,
    shape: Sequence[int] | None,
    option: str,
    text: int | None = None,
) -> Columns:
    """The columns of pixels and of labels among `count` columns, given their names in lower case if there are any.

    text: the only column that holds text
    """
    names = heads or [str(i) for i in range(count)]
    if labels is not None:
        if labels.lower() not in names:
            raise UserError(f"data.labels={labels}: {option} has the columns {some(names)}")
        place = names.index(labels.lower())
    elif heads:
        place = next((i for i, name in enumerate(names) if name in LABELS), None)
    else:
        place = text
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


def load(path: Path, option: str, delimiter: str | None, headed: bool, columns: list[int], kind: type) -> np.ndarray:
    """Some columns of all rows (N, columns) of a CSV file as numbers or text."""

    def lines(file: IO[str]) -> Iterator[str]:
        total = 0
        while line := file.readline(LONGEST_LINE):
            total += len(line)
            if total > LARGEST:
                raise UserError(f"{path} holds more than {LARGEST:,} characters: split it")
            yield line

    with open_text(path) as file:
        try:
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
        except ValueError as error:
            raise UserError(f"{option}: {one_line(error).partition(';')[0]}: fill in or remove that row") from error


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
    label_column = None if labels == NONE else find_column(names, labels, LABELS, "labels", option)
    if image_column is None:
        raise UserError(f"{option} has the columns {some(names)}: name that of the images, data.images=NAME")
    classes = class_names(table.schema.metadata, label_column) if label_column else ()
    found = None if label_column is None else labels_of_column(table[label_column].to_pylist(), classes, option)
    cells = table[image_column].to_pylist()
    first = next((cell for cell in cells if cell is not None), None)
    if isinstance(first, dict):
        if first.get("bytes") is None and first.get("path"):
            raise UserError(f"{option} names its images, as {first['path']}, and does not hold them: give their folder")
        return ParquetRows([cell and cell.get("bytes") for cell in cells], found, classes)
    if isinstance(first, bytes):
        return ParquetRows(cells, found, classes)
    try:
        return ParquetRows(np.array(cells), found, classes)
    except ValueError as error:
        raise UserError(f"{option}: the column {image_column} holds no images of one size") from error


def labels_of_column(cells: Sequence[Any], classes: Sequence[str], option: str) -> np.ndarray | None:
    """The labels (N,) in a column; None where no row has one, but null, or -1 where the classes have names.

    Raises UserError where some rows have a label and others have none, or several.
    """
    missing = sum(cell is None or (bool(classes) and cell == -1) for cell in cells)
    if missing == len(cells):
        return None
    if missing:
        raise UserError(
            f"{option}: {missing:,} of {len(cells):,} rows have no label: remove them, or data.labels={NONE}"
        )
    if any(isinstance(cell, list | dict) for cell in cells):
        raise UserError(f"{option}: a row has several labels: data.labels={NONE} reads none")
    return np.array(cells)


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
