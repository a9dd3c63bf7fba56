"""Compare runs: outputs/** -> one HTML page that works from a file, offline. Reads files only.

python -m src.report outputs/sweeps/SWEEP
python -m src.report outputs/sweeps/SWEEP --table md
"""

import argparse
import csv
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.reporting.conclude import Comparison, collect, write_page
from src.reporting.typeset import LANGUAGES, typeset, warnings
from src.run.status import State
from src.support.console import shorter_path
from src.support.errors import UserError, describe_os_error, printable
from src.support.files import atomic_path
from src.support.folders import SweepFolder
from src.support.signals import run_program, stop_on_signals

OUTPUTS, SWEEP_NAME = "outputs", "sweep_name="
SWEEPS = Path(OUTPUTS, "sweeps")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status.

    It is 0, or 2 with one line of explanation where there is nothing to report or the page can't be written.
    """
    options = parser().parse_args(arguments)
    with stop_on_signals():
        return report(options)


def report(options: argparse.Namespace) -> int:
    """Write the page, or print the table, as the options ask for; the exit status, as for `main`."""
    folders = [sweep_folder(folder) for folder in options.folder]
    try:
        check_files({"--out": options.out, "--csv": options.csv})
        out = options.out or (None if options.table else SweepFolder(common_folder(folders)).report)
        comparison = collect(folders, with_thumbnails=out is not None)
        if out:
            write_page(out, folders, comparison)
        if options.csv:
            write_table(options.csv, comparison.rows)
        print(typeset(comparison.groups, options.table) if options.table else summary(comparison, out))
        for line in warnings(comparison.groups) if options.table else []:
            print(printable(line), file=sys.stderr)
    except (OSError, UserError) as error:
        print(describe_os_error(error), file=sys.stderr)
        return 2
    return 0


def summary(comparison: Comparison, out: Path) -> str:
    """A line that says how many runs are in which state, and where the page is."""
    states = Counter(run.status for run in comparison.runs)
    counts = ", ".join(f"{states[state]} {state}" for state in State if states[state])
    return printable(f"{counts}: {shorter_path(out)}")


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = argparse.ArgumentParser("python -m src.report", description=__doc__.splitlines()[0], allow_abbrev=False)
    made.error = lambda message: made.exit(2, printable(f"{message}; --help lists the arguments") + "\n")
    made.add_argument("folder", nargs="+", type=Path, help="a run, a sweep (or sweep_name=NAME), or outputs")
    default = SweepFolder(Path("FOLDER")).report
    page = "prints the numbers as a table in Markdown or LaTeX (booktabs); the page is written only with --out"
    made.add_argument("--table", choices=list(LANGUAGES), help=page)
    where = f"the page; {default} if not given, of several folders in the one within {OUTPUTS} that holds them all"
    made.add_argument("--out", type=Path, metavar="FILE", help=where)
    made.add_argument("--csv", type=Path, metavar="FILE", help="writes the table, too")
    return made


def check_files(files: dict[str, Path | None]) -> None:
    """Raise UserError for a file that can't be written, before any run is read.

    files: by the option that names each; None for one that is not given
    """
    for option, path in files.items():
        if path is None:
            continue
        if not path.name or path.is_dir():
            raise UserError(f"{option}={path} is a folder: give a file in it")
        if path.exists() and not path.is_file():
            raise UserError(f"{option}={path} is no ordinary file: give another")
        if not os.access(path.parent, os.W_OK):
            problem = "can't be written to" if path.parent.is_dir() else "does not exist"
            raise UserError(f"{option}={path}: the folder {path.parent} {problem}")
    if None not in files.values() and len({path.resolve() for path in files.values()}) < len(files):
        raise UserError(f"{' and '.join(files)} are the same file: give two")


def sweep_folder(folder: Path) -> Path:
    """The folder of a sweep given as sweep_name=NAME; any other folder as it is."""
    name = str(folder)
    return SWEEPS / name.removeprefix(SWEEP_NAME) if name.startswith(SWEEP_NAME) else folder


def common_folder(folders: list[Path]) -> Path:
    """The folder that holds several, or the one that is given.

    Raises UserError where several have none in common within a folder called outputs, where a page would not be
    looked for.
    """
    if len(folders) == 1:
        return folders[0]
    common = Path(os.path.commonpath([os.path.normpath(folder.absolute()) for folder in folders]))
    if OUTPUTS not in common.parts:
        raise UserError(f"no folder within {OUTPUTS} holds all of these: say where the page goes, --out FILE")
    return common


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the table as CSV, with a column for each name in any row."""
    columns = dict.fromkeys(name for row in rows for name in row)
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(run_program(main))
