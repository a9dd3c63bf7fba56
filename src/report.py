"""Compare runs: outputs/** -> one HTML page that works from a file, offline. Reads files only.

python -m src.report outputs/sweeps/SWEEP
"""

import argparse
import csv
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from src.files import whole
from src.reporting import page, pictures
from src.reporting.groups import Group, grouped, rows
from src.reporting.runs import Run, find, natural, read

SWEEPS, NAMED = Path("outputs/sweeps"), "sweep_name="


def main(words: Sequence[str] | None = None) -> int:
    """The command line: 0, or 2 and a line about it where there is nothing to report or no place for it."""
    options = arguments().parse_args(words)
    folders = [SWEEPS / str(name)[len(NAMED) :] if str(name).startswith(NAMED) else name for name in options.folder]
    try:
        runs, out = report(folders, options.out or folders[0] / "report.html", options.csv)
    except OSError as error:
        print(f"{error.strerror}: {error.filename}" if error.filename else error, file=sys.stderr)
        return 2
    found = Counter(run.status for run in runs)
    counts = ", ".join(f"{found[status]} {status}" for status in page.ORDER if found[status])
    print(f"{counts}: {os.path.relpath(out)}")
    return 0


def report(folders: list[Path], out: Path, table: Path | None = None) -> tuple[list[Run], Path]:
    """Writes the page on the runs in `folders` and, where one is named, their table; the runs and the page's path.

    Raises FileNotFoundError where there is no run.
    """
    places = find(folders)
    if not places:
        raise FileNotFoundError(f"no run in {', '.join(map(str, folders))}: give a run, a sweep, or outputs")
    runs = named(places)
    groups, lost = grouped(runs)
    limit = min(pictures.ONE, pictures.ALL // (3 * len(runs)))
    with ThreadPoolExecutor() as pool:  # Python waits for nobody who reads or writes a picture
        made = progress(pool.map(lambda run: pictures.thumbnails(run, limit), runs), "pictures", len(runs))
        thumbnails = {run.folder: images for run, images in zip(runs, made, strict=True)}
    title = folders[0].resolve().name if len(folders) == 1 else ", ".join(folder.name for folder in folders)
    with whole(out) as partial:
        partial.write_text(page.page(title, groups, lost, thumbnails, out.parent), encoding="utf-8")
    if table:
        write_table(table, groups, lost)
    return runs, out


def arguments() -> argparse.ArgumentParser:
    """What the command line may say."""
    parser = argparse.ArgumentParser("python -m src.report", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="+", type=Path, help="a run, a sweep (or sweep_name=NAME), or outputs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page; FOLDER/report.html if not given")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="writes the table, too")
    return parser


def named(folders: list[Path]) -> list[Run]:
    """The runs in `folders`, each named by its way from the folder that holds them all."""
    base = os.path.commonpath([folder.resolve().parent for folder in folders])
    runs = [read(folder, os.path.relpath(folder.resolve(), base)) for folder in progress(folders, "runs", len(folders))]
    return sorted(runs, key=lambda run: natural(run.name))


def progress(items: Iterable, words: str, count: int) -> tqdm:
    """`items`, with a bar where it takes its time."""
    return tqdm(items, desc=words, total=count, unit="run", disable=None, leave=False, delay=1)


def write_table(path: Path, groups: list[Group], lost: list[Run]) -> None:
    """The tables of all groups as CSV, a row for each run."""
    table = [
        {"data": group.data, "pixels": group.pixels, "likelihood": group.likelihood} | row
        for group in groups
        for row in rows(group)
    ]
    table += [{"run": run.name, "status": run.status, "reason": run.why} for run in lost]
    columns = dict.fromkeys(name for row in table for name in row)
    with whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    sys.exit(main())
