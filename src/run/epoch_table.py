"""The logger that writes metrics.csv."""

import csv
import io
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from src.run.record import write


class EpochTable(Logger):
    """Writes what is logged as the rows of a CSV file, which is replaced as a whole whenever the table is saved.

    A failure to write it ends the training, unlike that of other loggers: without its rows a run has no results.

    path: the file
    rows: the first rows, each with its `step`
    """

    name, version = "", ""

    def __init__(self, path: Path, rows: Sequence[dict[str, float]]) -> None:
        super().__init__()
        self.path, self.is_saved = path, True
        self.columns: list[str] = ["epoch", "step"]
        self.lines: list[str] = []  # as text, since formatting all rows at each epoch would soon take longer than it
        for row in rows:
            self.log_metrics(row, int(row["step"]))
        self.save()

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add a row, which `save` writes."""
        row = {name: float(value) for name, value in metrics.items()} | {"step": step}
        if new := row.keys() - set(self.columns):
            rows = [dict(zip(self.columns, cells, strict=True)) for cells in csv.reader(self.lines)]
            self.columns = sorted([*self.columns, *new])
            self.lines = [line_of(each, self.columns) for each in rows]
        self.lines.append(line_of(row, self.columns))
        self.is_saved = False

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml has the options."""

    @rank_zero_only
    def save(self) -> None:
        """Write all rows, unless they have been written."""
        if not self.is_saved:
            header = line_of({name: name for name in self.columns}, self.columns)
            write(self.path, "".join([header, *self.lines]))
            self.is_saved = True

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the rows after the last epoch of a run that succeeded; another is not resumed from them."""
        if status == "success":
            self.save()


def line_of(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """A row as a line of the file, empty in the columns that it lacks."""
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns).writerow(row)
    return text.getvalue()
