"""Parquet tables with an image in each row, as Hugging Face's."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from src.data.csv_columns import some
from src.data.folders import SPLIT_NAMES, WHOLE
from src.data.layouts import LABELS, NONE
from src.support.errors import UserError, one_line

IMAGES = ("image", "images", "img")  # names of the column of images


class ParquetRows(NamedTuple):
    """The images of Parquet files, as bytes of image files or as arrays, and their labels, or None.

    classes: the names of the labels' numbers, where the files have them
    """

    images: list[bytes | None] | np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]


def files_of_splits(top: Path, tables: Sequence[Path], option: str, notes: list[str]) -> dict[str, list[Path]]:
    """The Parquet files of each split, or of WHOLE, by the name of their folder or by how their own names begin."""
    parts: dict[str, list[Path]] = {}
    for table in tables:
        relative = table.relative_to(top)
        words = [part.lower() for part in relative.parts[:-1]] + [re.split(r"[-_.]", relative.name.lower())[0]]
        part = next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), WHOLE)
        parts.setdefault(part, []).append(table)
    others = parts.get(WHOLE, [])
    if set(parts) <= {WHOLE} or len(parts) == 1:
        return {WHOLE: list(tables)}
    if "train" in parts:
        if others:
            notes.append(f"files outside the splits left out: {some([path.name for path in others])}")
        return {part: parts[part] for part in ("train", "val", "test") if part in parts}
    if not others:
        raise UserError(
            f"{option} holds the splits {', '.join(parts)}, but no train: call the others train-....parquet"
        )
    return {"train": others} | {part: parts[part] for part in ("val", "test") if part in parts}


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
    if not table.num_rows:
        raise UserError(f"{option} holds no row: save the images again")
    classes = class_names(table.schema.metadata, label_column) if label_column else ()
    found = labels_of_cells(table[label_column].to_pylist(), classes, option, label_column) if label_column else None
    return ParquetRows(images_of_cells(table[image_column].to_pylist(), option, image_column), found, classes)


def images_of_cells(cells: list[Any], option: str, column: str) -> list[bytes | None] | np.ndarray:
    """The bytes of image files in the cells of a column, None where there is none; or an array of numbers."""
    first = next((cell for cell in cells if cell is not None), None)
    if isinstance(first, dict):
        paths = [cell.get("path") for cell in cells if cell and cell.get("bytes") is None]
        cells = [cell and cell.get("bytes") for cell in cells]
        if not any(cells):
            raise UserError(
                f"{option}: the column {column} holds paths such as {paths[0]}, not the images: give the folder of "
                "these files, or save the data set with its images (datasets.table.embed_table_storage)"
            )
        return cells
    if isinstance(first, bytes):
        return cells
    if isinstance(first, str):
        raise UserError(f"{option}: the column {column} holds text such as {first[:60]!r}, and must hold images")
    if None in cells:
        raise UserError(f"{option}: row {cells.index(None) + 1} has no image in the column {column}: remove it")
    try:
        return np.array(cells)
    except ValueError as error:
        raise UserError(f"{option}: the column {column} holds no images of one size") from error


def labels_of_cells(cells: list[Any], classes: tuple[str, ...], option: str, column: str) -> np.ndarray | None:
    """Labels (N,), by name where they have names, of the cells of a column; None where all are missing.

    Missing are null and, as in Hugging Face's unlabelled splits, -1 among whole numbers without other negative ones.
    """
    if any(isinstance(cell, list | dict) for cell in cells):
        raise UserError(
            f"{option}: the column {column} holds several labels for an image, and one is needed: data.labels=NAME "
            f"names another column, data.labels={NONE} reads none"
        )
    numbers = [cell for cell in cells if isinstance(cell, int)]
    absent = (None, -1) if min(numbers, default=0) == -1 else (None,)
    missing = [cell in absent for cell in cells]
    if all(missing):
        return None
    if any(missing):
        row = missing.index(True)
        raise UserError(
            f"{option}: row {row + 1} has the label {cells[row]}, which means none: remove such rows, or "
            f"data.labels={NONE}"
        )
    if classes:
        return np.array([classes[cell] if cell in range(len(classes)) else str(cell) for cell in cells])
    if {isinstance(cell, str) for cell in cells} == {True, False}:
        cells = [str(cell) for cell in cells]
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
