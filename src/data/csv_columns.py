"""Which columns of a CSV table hold pixels, labels and the names of splits, told by their names or by some rows."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from src.data.formats import is_number
from src.data.layouts import LABELS
from src.support.errors import UserError, printable

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("usage", "split", "subset", "partition")  # names of the column of splits
SAMPLE = 1000  # rows by which columns are told
COMMON = 0.95  # share of one value in a column, from which on it is the border of images rather than labels


class Columns(NamedTuple):
    """Which columns of a table hold what.

    pixels: those of a pixel each
    lists: the one that holds all pixels of an image, in place of these
    labels, splits: those of the labels, and of the names of the splits
    names: of all columns, if they have any
    """

    pixels: list[int]
    lists: int | None
    labels: int | None
    splits: int | None
    names: list[str] | None

    def name(self, column: int) -> str:
        """The name of a column, or its number from 0."""
        return self.names[column] if self.names else str(column)


def is_header(cells: Sequence[str]) -> bool:
    """Whether a file's first row has names: most cells are no numbers, or all are 0, 1, 2, ... as pandas names them."""
    numbers = [cell for cell in cells if is_number(cell)]
    counted = [[str(i) for i in range(start, start + len(numbers))] for start in (0, 1)]
    return len(numbers) < len(cells) / 2 or (len(numbers) > 3 and numbers in counted)


def columns_of(
    names: list[str] | None,
    rows: "pd.DataFrame",
    labels: str | None,
    shape: Sequence[int] | None,
    option: str,
    notes: list[str],
) -> Columns:
    """The columns of pixels, labels and splits among the columns of some rows, and notes about the others."""
    count = rows.shape[1]
    heads = [name.lower() for name in names] if names else [str(i) for i in range(count)]
    place = None if labels is None else column_place(labels, heads, option)
    if names and place is None:
        place = next((i for i, name in enumerate(heads) if name in LABELS), None)
    splits = next((i for i, name in enumerate(heads) if names and name in SPLITS and i != place), None)
    others = [i for i in range(count) if i not in (place, splits)]
    wanted = None if shape is None else math.prod(shape)
    pixels = [i for i in others if is_number(rows[i].iloc[0])]
    lists = next((i for i in others if is_list(rows[i].iloc[0])), None)
    if lists is not None:
        pixels = []
    elif names:
        pixels = series(heads, others)
        if place is None and len(others) == len(pixels) + 1:
            place = next((i for i in others if i not in pixels and is_repeated(rows[i])), None)
    elif place is None and len(others) == len(pixels) + 1:
        place = next(i for i in others if i not in pixels)
    elif place is None and not fits_images(len(pixels), wanted) and fits_images(len(pixels) - 1, wanted):
        place = first_or_last(rows, pixels, option)
        pixels.remove(place)
        notes.append(f"labels are in the {'last' if place else 'first'} column")
    if lists is None and not fits_images(len(pixels), wanted):
        raise UserError(
            f"{option} has {len(pixels)} columns of pixels, which are no square: give their shape, as "
            f"data.shape=[3,32,32], or the column of labels, data.labels=NAME; the columns are {some(heads)}"
        )
    columns = Columns(pixels, lists, place, splits, names)
    if left := [columns.name(i) for i in range(count) if i not in (*pixels, lists, place, splits)]:
        notes.append(f"columns left out: {some(left)}")
    return columns


def column_place(wanted: str, heads: Sequence[str], option: str) -> int:
    """The column with a name, or with a number from 0."""
    if wanted.lower() in heads:
        return heads.index(wanted.lower())
    if wanted.isdecimal() and int(wanted) < len(heads):
        return int(wanted)
    raise UserError(f"data.labels={wanted}: {option} has the columns {some(heads)}")


def series(heads: Sequence[str], places: Sequence[int]) -> list[int]:
    """Of some columns those with numbered names of the commonest kind, such as pixel0, pixel1, ..., or 1x1, 1x2, ..."""
    kinds = {i: re.sub(r"\d+", "#", heads[i]) for i in places}
    numbered_kinds = Counter(kind for kind in kinds.values() if "#" in kind)
    if not numbered_kinds:
        return list(places)
    return [i for i in places if kinds[i] == numbered_kinds.most_common(1)[0][0]]


def is_list(cell: str) -> bool:
    """Whether a cell holds the pixels of a whole image, as numbers between spaces."""
    numbers = cell.split()
    return len(numbers) > 3 and all(map(is_number, numbers[:8]))


def is_repeated(cells: "pd.Series") -> bool:
    """Whether a column has the same value in several rows, as labels have, and names of files have not."""
    return 1 < cells.nunique() <= len(cells) / 2


def fits_images(count: int, wanted: int | None) -> bool:
    """Whether images may have so many pixels: those that are wanted, or a square."""
    return count == wanted or (count > 1 and math.isqrt(count) ** 2 == count)


def first_or_last(rows: "pd.DataFrame", places: Sequence[int], option: str) -> int:
    """The column of labels, the first or the last: the one whose values repeat, and are not nearly always the same.

    Raises UserError where both columns or none could be labels.
    """
    first, last = places[0], places[-1]
    distinct = {i: rows[i].nunique() for i in (first, last)}
    fitting = [i for i in (first, last) if is_repeated(rows[i]) and rows[i].value_counts().iloc[0] < COMMON * len(rows)]
    if len(fitting) == 1:
        return fitting[0]
    few, many = sorted((first, last), key=distinct.__getitem__)
    if fitting and 2 < distinct[few] <= distinct[many] / 2:
        return few
    if distinct[many] == 1:
        return first
    if not fitting and distinct[few] == 1 and len(rows) < SAMPLE - 1:  # of the whole file, not of its first class
        return many
    raise UserError(
        f"{option}: labels may be in the first or in the last column: data.labels={first} or data.labels={last}"
    )


def some(names: Sequence[str]) -> str:
    """The first and the last of some names, for a message."""
    return printable(", ".join(names) if len(names) < 8 else f"{', '.join(names[:4])}, ..., {', '.join(names[-2:])}")
