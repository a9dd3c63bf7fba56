"""CSV tables with an image in each row, as Kaggle's: a column for each pixel, or one column that holds them all."""

import gzip
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from src.data.csv_columns import SAMPLE, Columns, columns_of, is_header, some
from src.data.folders import SPLIT_NAMES
from src.data.formats import is_number
from src.data.layouts import LABELS
from src.support.errors import UserError, printable

if TYPE_CHECKING:
    import pandas as pd

SPLIT_WORDS = SPLIT_NAMES | {"training": "train", "publictest": "val", "privatetest": "test", "testing": "test"}
MISSING = ("", "nan", "NaN")  # cells without a value
LONGEST_LINE = 50_000_000  # characters
LARGEST = 4_000_000_000  # characters of a table; gzip could make more of a small file


class Table(NamedTuple):
    """Images (N, pixels), their labels (N,), and the rows of each split, or None."""

    images: np.ndarray
    labels: np.ndarray | None
    splits: dict[str, np.ndarray] | None


class Bounded(io.TextIOBase):
    """A text file that may not hold more than LARGEST characters."""

    def __init__(self, file: IO[str], option: str) -> None:
        self.file, self.option, self.left = file, option, LARGEST

    def read(self, size: int | None = -1, /) -> str:
        text = self.file.read(-1 if size is None else size)
        self.left -= len(text)
        if self.left < 0:
            raise UserError(f"{self.option} holds more than {LARGEST:,} characters: split it")
        return text


class Source(NamedTuple):
    """A CSV file, how messages name it, the character between its cells, and whether its first row has names."""

    path: Path
    option: str
    delimiter: str
    headed: bool = False

    @property
    def first_line(self) -> int:
        """The line of the first image, counted from 1."""
        return 1 + self.headed


def read_csv(path: Path, option: str, labels: str | None, shape: Sequence[int] | None, notes: list[str]) -> Table:
    """Read the images of a CSV file, raw or gzipped, with a header or without.

    Pixels are the columns with numbered names of the commonest kind, pixel0 or 1x1, or of a file without names all but
    the labels'; or one column of numbers that are separated by spaces. Columns that are none of these are left out.

    labels: the name or the number of the column of labels; None for `label` or the like, and without names the first
        or the last column

    Raises UserError where the columns can't be told, or for the first cell that does not hold what it must.
    """
    source = Source(path, option, delimiter_of(path, option))
    rows = load(source, dtype=str, nrows=SAMPLE)
    first = rows.iloc[0].str.strip().tolist() if len(rows) else []
    if is_header(first):
        source, rows = source._replace(headed=True), rows.iloc[1:]
    if rows.empty:
        raise UserError(f"{option} holds no row of pixels: save the images again")
    names = first if source.headed and not all(map(is_number, first)) else None
    columns = columns_of(names, rows, labels, shape, option, notes)
    texts = [i for i in (columns.labels, columns.splits, columns.lists) if i is not None]
    kinds: dict[int, type] = dict.fromkeys(columns.pixels, np.float32) | dict.fromkeys(texts, str)
    try:
        table = load(source, dtype=kinds, usecols=sorted(kinds))
    except ValueError:
        refuse_cell(source, columns)
    images = table[columns.pixels].to_numpy() if columns.lists is None else pixels_of(table[columns.lists], source)
    if np.isnan(images).any():
        refuse_cell(source, columns)
    if (images == images.astype(np.uint8)).all():
        images = images.astype(np.uint8)
    cells = {i: table[i].str.strip().to_numpy(str) for i in texts}
    found = None if columns.labels is None else labels_of_cells(cells[columns.labels], columns, source, notes)
    splits = None if columns.splits is None else rows_of_splits(cells[columns.splits], columns, notes)
    return Table(images, found, splits)


def delimiter_of(path: Path, option: str) -> str:
    """The character between the cells: of comma, semicolon and tab the one that the second line has most often."""
    with open_text(path) as file:
        first, second = file.readline(LONGEST_LINE), file.readline(LONGEST_LINE)
    if max(len(first), len(second)) == LONGEST_LINE:
        raise UserError(f"{option} has a line of more than {LONGEST_LINE:,} characters, which is no table of images")
    return max(",;\t", key=(second or first).count)


def open_text(path: Path) -> IO[str]:
    """Open a text file, raw or gzipped."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8-sig") if zipped else path.open(encoding="utf-8-sig")


def load(source: Source, **options: Any) -> "pd.DataFrame":
    """The rows of a table as pandas reads them with these options; its columns are numbers from 0.

    Raises UserError where rows have different numbers of cells, ValueError for text in a column of numbers.
    """
    import pandas as pd

    with open_text(source.path) as file:
        try:
            return pd.read_csv(
                Bounded(file, source.option),  # type: ignore[arg-type]
                sep=source.delimiter,
                header=None,
                skiprows=int(source.headed),
                skipinitialspace=True,
                na_filter=False,
                **options,
            )
        except pd.errors.EmptyDataError:
            return pd.DataFrame()
        except pd.errors.ParserError as error:
            reason = str(error).strip().rpartition("C error: ")[2]
            raise UserError(f"{source.option}: {reason}: all rows need as many cells; correct that line") from None


def refuse_cell(source: Source, columns: Columns) -> NoReturn:
    """Raise UserError for the first cell of the pixels' columns that holds no number."""
    import pandas as pd

    table = load(source, dtype=str, usecols=sorted(columns.pixels))
    for column in columns.pixels:
        if (faults := pd.to_numeric(table[column], errors="coerce").isna().to_numpy()).any():
            row = int(faults.argmax())
            cell = table[column].iloc[row].strip()
            fault = "is empty" if cell in MISSING else f"holds {cell[:20]!r}, which is no number"
            where = f"{source.option}: line {source.first_line + row}, column {columns.name(column)}"
            raise UserError(printable(f"{where} {fault}: correct or remove that line"))
    raise UserError(f"{source.option} is damaged: save it again")


def pixels_of(cells: "pd.Series", source: Source) -> np.ndarray:
    """Images (N, pixels) float32 of cells that hold all pixels of an image, as numbers between spaces."""
    lists = [cell.split() for cell in cells]
    usual = Counter(map(len, lists)).most_common(1)[0][0]
    images = np.empty((len(lists), usual), np.float32)
    for row, pixels in enumerate(lists):
        try:
            images[row] = pixels
        except ValueError:
            fault = f"{len(pixels)} pixels, other rows {usual}" if len(pixels) != usual else "a pixel that is no number"
            raise UserError(
                f"{source.option}: line {source.first_line + row} has {fault}: correct or remove that line"
            ) from None
    return images


def labels_of_cells(cells: np.ndarray, columns: Columns, source: Source, notes: list[str]) -> np.ndarray | None:
    """Labels (N,), whole numbers or names, of the cells of a column; None, with a note, where all are empty."""
    name, missing = columns.name(columns.labels or 0), np.isin(cells, MISSING)
    if missing.all():
        notes.append(f"the column {name} is empty: no labels")
        return None
    if missing.any():
        line = source.first_line + int(missing.argmax())
        raise UserError(f"{source.option}: line {line} has no label in column {name}: correct or remove that line")
    if not all(map(is_number, cells.tolist())):
        return cells
    whole = [re.fullmatch(r"[+-]?\d{1,18}(\.0*)?", cell) is not None for cell in cells.tolist()]
    if not all(whole):
        line = source.first_line + whole.index(False)
        raise UserError(
            f"{source.option}: line {line} has the label {cells[whole.index(False)]}, and labels are whole numbers or "
            f"names: if column {name} holds none, data.labels=NAME names the one that does"
        )
    return np.array([int(cell.partition(".")[0]) for cell in cells.tolist()], np.int64)


def read_label_file(path: Path, where: str) -> np.ndarray:
    """Read labels (N,) of a text file with one in each line, or of the column `label` or the like of a CSV file."""
    table = load(Source(path, where, delimiter_of(path, where)), dtype=str)
    if table.empty:
        raise UserError(f"{where} holds no label: save the labels again")
    heads = table.iloc[0].str.strip().str.lower().tolist()
    place = next((i for i, name in enumerate(heads) if name in LABELS), None)
    if len(heads) > 1 and place is None:
        raise UserError(f"{where} have the columns {some(heads)}: call one of them label")
    cells = table[place or 0].str.strip().to_numpy(str)[int(place is not None) :]
    return cells.astype(float) if all(map(is_number, cells.tolist())) else cells


def rows_of_splits(cells: np.ndarray, columns: Columns, notes: list[str]) -> dict[str, np.ndarray] | None:
    """The rows of each split by the words of a column; None, with a note, where these name no splits."""
    words = {word: SPLIT_WORDS.get(word.lower()) for word in np.unique(cells).tolist()}
    if None in words.values() or "train" not in words.values():
        notes.append(
            printable(f"column {columns.name(columns.splits or 0)} names no known splits: {some(list(words))}")
        )
        return None
    if len(set(words.values())) == 1:
        return None
    parts = np.array([words[word] for word in cells.tolist()])
    return {part: np.flatnonzero(parts == part) for part in ("train", "val", "test") if part in parts}
