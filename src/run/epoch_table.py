"""The logger that writes metrics.csv."""

import csv
import io
from argparse import Namespace
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

    def __init__(self, path: Path, rows: list[dict[str, float]]):
        super().__init__()
        self.path, self.rows, self.is_saved = path, [row | {"step": int(row["step"])} for row in rows], False
        self.save()

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add a row, which `save` writes."""
        numbers = {name: float(value) for name, value in metrics.items()}
        self.rows.append(numbers | {"step": len(self.rows) if step is None else step})
        self.is_saved = False

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml has the options."""

    @rank_zero_only
    def save(self) -> None:
        """Write all rows, unless they have been written or there are none."""
        if self.is_saved or not self.rows:
            return
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, sorted({"epoch", "step"}.union(*self.rows)))
        writer.writeheader()
        writer.writerows(self.rows)
        write(self.path, text.getvalue())
        self.is_saved = True

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the rows after the last epoch of a run that succeeded; another is not resumed from them."""
        if status == "success":
            self.save()
