"""The numbers of each epoch in metrics.csv, read as far as the file is undamaged and completed from the trace."""

import csv
import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from src.support.folders import RunFolder

log = logging.getLogger(__name__)

Row = dict[str, float]
MEASURED = "val/loss"  # in every row of VAEModule's
END = 100_000  # bytes of a long table that are read for its last row


class Position(NamedTuple):
    """Where a checkpoint was written: the number of epochs and of steps that were trained."""

    epoch: int
    step: int


class Epochs(NamedTuple):
    """The rows of metrics.csv that belong to an epoch, in ascending order and without empty cells.

    problem: what is wrong with the file, in one line
    others: rows that a callback of the user's own has logged for an epoch
    """

    rows: list[Row]
    problem: str | None = None
    others: Sequence[Row] = ()


def read(run: Path) -> Epochs:
    """Read the metrics of each epoch of a run; those that a damaged file has lost are taken from the trace.

    A missing file is a problem too, but not where the run has left no trace of its epochs.
    """
    table = read_table(RunFolder(run).epochs)
    if table.problem is None:
        return table
    rows, restored = complete(table.rows, rows_in_trace(run))
    if not rows and not RunFolder(run).epochs.exists():
        return Epochs([])
    return Epochs(rows, table.problem + note_on_trace(restored))


def rows_in_trace(run: Path) -> list[Row]:
    """The numbers of each epoch that the run's trace has; none where it is missing or damaged."""
    from src.run.trace import read_epochs  # imports NumPy, which a command that is refused should not wait for

    return read_epochs(RunFolder(run).trace)


def read_with_warning(run: Path) -> list[Row]:
    """The rows of `read`; a problem is logged."""
    rows, problem, _ = read(run)
    if problem:
        log.warning("%s: %s", RunFolder(run).epochs, problem)
    return rows


def warn_of_other_images(run: Path, rows: list[Row]) -> None:
    """Warn where an earlier version, which measured fewer training images and no standard error, began the run."""
    have_error = ["train/elbo_se" in row for row in rows if "seconds" in row]  # others are restored, or untrained
    if any(have_error) and not all(have_error):
        count, file = sum("train/elbo_se" not in row for row in rows), RunFolder(run).epochs.name
        log.warning("train/... of the first %d rows of %s is of other training images", count, file)


def read_until(run: Path, position: Position) -> list[Row]:
    """The rows up to the epoch of a checkpoint, from which a run is resumed, each with its `step`.

    Lost rows are taken from the trace. One warning says what was damaged, restored, and can't be restored.
    """
    table, expected = read_table(RunFolder(run).epochs), range(position.epoch + 1)
    rows, restored = complete(table.rows, rows_in_trace(run))
    rows, restored = [row for row in rows if row["epoch"] in expected], [each for each in restored if each in expected]
    lost = sorted(set(expected) - {int(row["epoch"]) for row in rows})
    if table.problem or restored or lost:
        without = f"; the numbers of {listing(lost)} are lost" if lost else ""
        problem = table.problem or "rows are missing"
        log.warning("%s: %s%s%s", RunFolder(run).epochs, problem, note_on_trace(restored), without)
    for row in rows:
        row.setdefault("step", round(position.step * row["epoch"] / position.epoch))
    others = [row for row in table.others if row.get("step", math.inf) <= position.step]
    return sorted([*rows, *others], key=lambda row: row["step"])


def complete(rows: list[Row], known: Iterable[Row]) -> tuple[list[Row], list[int]]:
    """`rows` and those `known` rows whose epoch they lack, in ascending order; and the epochs that were added."""
    epochs = {int(row["epoch"]) for row in rows}
    restored = {int(row["epoch"]): row for row in known if int(row["epoch"]) not in epochs}
    return sorted([*rows, *restored.values()], key=lambda row: row["epoch"]), list(restored)


def note_on_trace(epochs: Iterable[int]) -> str:
    """The end of a message about epochs that were restored; empty where there are none."""
    return f"; what the trace holds of {listing(epochs)} is used instead" if epochs else ""


def listing(epochs: Iterable[int]) -> str:
    """`epoch 3`, or `epochs 3, 4, 7`; of more than four, their number, the first and the last."""
    numbers = sorted(epochs)
    if len(numbers) > 4:
        return f"{len(numbers)} epochs from {numbers[0]} to {numbers[-1]}"
    return f"epoch{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def read_table(path: Path) -> Epochs:
    """Read the undamaged rows of a metrics.csv that belong to an epoch; of two rows of one epoch the later counts."""
    try:
        header, *lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return Epochs([], "the file is missing")
    if not header and not lines:
        return Epochs([], "the file is empty")
    names = parse_header(header)
    if not names or not lines:
        return Epochs([], "the file has no header")
    parsed = [parse_row(line, names) for line in lines[:-1] if line.strip()]
    damaged = parsed.count(None) + bool(lines[-1].strip())  # a whole row ends its line
    rows = [row for row in parsed if row and "epoch" in row]
    measured = [row for row in rows if MEASURED in row]
    others = [row for row in rows if MEASURED not in row]
    problem = f"{damaged} damaged row{'s' * (damaged > 1)} left out" if damaged else None
    by_epoch = {row["epoch"]: row for row in measured}
    if [row["epoch"] for row in measured] != sorted(by_epoch):
        problem = "; ".join(filter(None, (problem, "rows are repeated or out of order")))
    return Epochs([by_epoch[epoch] for epoch in sorted(by_epoch)], problem, others)


def read_last(path: Path) -> Row:
    """The last measured row of a metrics.csv, of which little is read however long it is; empty where there is none.

    Raises OSError or ValueError for what is no file, or can't be read.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    with path.open("rb") as file:
        names = parse_header(file.readline(END).rstrip(b"\n"))
        file.seek(max(file.tell(), path.stat().st_size - END))
        lines = file.read(END).split(b"\n")
    rows = (parse_row(line, names) for line in reversed(lines[:-1]) if line.strip())
    return next((row for row in rows if row and "epoch" in row and MEASURED in row), {}) if names else {}


def parse_header(line: bytes) -> list[str]:
    """The names of the columns; none where the line is no header."""
    try:
        (names,) = csv.reader([line.decode()])
    except (ValueError, csv.Error):
        return []
    return names if "epoch" in names and len(set(names)) == len(names) and "\0" not in "".join(names) else []


def parse_row(line: bytes, names: list[str]) -> Row | None:
    """The numbers of a row by column, without empty cells; None where it is damaged."""
    try:
        (cells,) = csv.reader([line.decode()])
        row = {name: float(cell) for name, cell in zip(names, cells, strict=True) if cell}
    except (ValueError, csv.Error):
        return None
    epoch = row.get("epoch", 0)
    return row if epoch >= 0 and float(epoch).is_integer() else None
