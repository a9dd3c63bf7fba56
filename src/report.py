"""Compare runs: outputs/** -> one HTML page that works from a file, offline. Reads files only.

python -m src.report outputs/sweeps/SWEEP
"""

import argparse
import csv
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.reporting.conclude import collect, write_page
from src.run.status import State
from src.support.files import atomic_path
from src.support.folders import SweepFolder
from src.support.signals import stop_on_signals

SWEEPS, SWEEP_NAME = Path("outputs/sweeps"), "sweep_name="


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status.

    It is 0, or 2 with one line of explanation where there is nothing to report or the page can't be written.
    """
    options = parser().parse_args(arguments)
    with stop_on_signals():
        return report(options)


def report(options: argparse.Namespace) -> int:
    """Write the page, and the table if it is asked for; the exit status, as for `main`."""
    folders = [sweep_folder(folder) for folder in options.folder]
    try:
        out, comparison = options.out or SweepFolder(folders[0]).report, collect(folders)
        write_page(out, folders, comparison)
        if options.csv:
            write_table(options.csv, comparison.rows)
    except OSError as error:
        print(f"{error.strerror}: {error.filename}" if error.filename else error, file=sys.stderr)
        return 2
    states = Counter(run.status for run in comparison.runs)
    counts = ", ".join(f"{states[state]} {state}" for state in State if states[state])
    print(f"{counts}: {os.path.relpath(out)}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = argparse.ArgumentParser("python -m src.report", description=__doc__.splitlines()[0])
    made.add_argument("folder", nargs="+", type=Path, help="a run, a sweep (or sweep_name=NAME), or outputs")
    default = SweepFolder(Path("FOLDER")).report
    made.add_argument("--out", type=Path, metavar="FILE", help=f"the page; {default} if not given")
    made.add_argument("--csv", type=Path, metavar="FILE", help="writes the table, too")
    return made


def sweep_folder(folder: Path) -> Path:
    """The folder of a sweep given as sweep_name=NAME; any other folder as it is."""
    name = str(folder)
    return SWEEPS / name.removeprefix(SWEEP_NAME) if name.startswith(SWEEP_NAME) else folder


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the table as CSV, with a column for each name in any row."""
    columns = dict.fromkeys(name for row in rows for name in row)
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
