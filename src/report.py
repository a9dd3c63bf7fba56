"""Compare runs: outputs/** -> one HTML page that works from a file, offline. Reads files only.

python -m src.report outputs/sweeps/SWEEP
"""

import argparse
import csv
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from src.reporting import page, pictures
from src.reporting.groups import Group, grouped, options, rows
from src.reporting.runs import Run, find, natural, read
from src.support.files import atomic_path

log = logging.getLogger(__name__)
SWEEPS, NAMED = Path("outputs/sweeps"), "sweep_name="


class Found(NamedTuple):
    """The groups of runs, the runs that belong to none, and their pictures by run folder."""

    groups: list[Group]
    lost: list[Run]
    thumbnails: page.Pictures

    @property
    def runs(self) -> list[Run]:
        """All of them."""
        return [run for group in self.groups for run in group.runs] + self.lost


def main(words: Sequence[str] | None = None) -> int:
    """The command line: 0, or 2 and a line about it where there is nothing to report or no place for it."""
    options = arguments().parse_args(words)
    folders = [SWEEPS / str(name)[len(NAMED) :] if str(name).startswith(NAMED) else name for name in options.folder]
    try:
        out, found = options.out or folders[0] / "report.html", gathered(folders)
        write_page(out, folders, found)
        if options.csv:
            write_table(options.csv, found)
    except OSError as error:
        print(f"{error.strerror}: {error.filename}" if error.filename else error, file=sys.stderr)
        return 2
    states = Counter(run.status for run in found.runs)
    counts = ", ".join(f"{states[status]} {status}" for status in page.ORDER if states[status])
    print(f"{counts}: {os.path.relpath(out)}")
    return 0


def conclude(folder: Path, loggers: Mapping[str, Any] | None) -> None:
    """What a sweep or search ends with: its page and, where its runs go to W&B, their table there.

    What goes wrong costs these alone.
    """
    try:
        found, out = gathered([folder]), folder / "report.html"
        write_page(out, [folder], found)
        log.info("compared on one page: %s", os.path.relpath(out))
    except Exception as error:
        log.warning("not compared (%s: %s): python -m src.report %s", type(error).__name__, error, folder)
        return
    if node := (loggers or {}).get("wandb"):
        from src.run import tracking

        images = {run.name: found.thumbnails[run.folder] for run in found.runs}
        try:
            tracking.add_runs(node, folder, [row | pictures.decoded(images[row["run"]]) for row in table(found)])
        except Exception as error:  # whatever W&B meets
            log.warning("W&B: the table of runs was not added (%s: %s)", type(error).__name__, error)


def gathered(folders: list[Path]) -> Found:
    """All that a report on `folders` shows. Raises FileNotFoundError where there is no run."""
    places = find(folders)
    if not places:
        raise FileNotFoundError(f"no run in {', '.join(map(str, folders))}: give a run, a sweep, or outputs")
    runs = named(places)
    groups, lost = grouped(runs)
    limit = min(pictures.ONE, pictures.ALL // (3 * len(runs)))
    with ThreadPoolExecutor() as pool:  # Python waits for nobody who reads or writes a picture
        made = progress(pool.map(lambda run: pictures.thumbnails(run, limit), runs), "pictures", len(runs))
        return Found(groups, lost, {run.folder: images for run, images in zip(runs, made, strict=True)})


def write_page(out: Path, folders: list[Path], found: Found) -> None:
    """Writes the page on `folders`."""
    title = folders[0].resolve().name if len(folders) == 1 else ", ".join(folder.name for folder in folders)
    with atomic_path(out) as partial:
        partial.write_text(page.page(title, *found, out.parent), encoding="utf-8")


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


def table(found: Found) -> list[dict[str, Any]]:
    """The tables of all groups, a row for each run, with the options that vary on the page: not in its group alone."""
    kinds = [{"data": each.data, "pixels": each.pixels, "likelihood": each.likelihood} for each in found.groups]
    measured = [kind | row for kind, group in zip(kinds, found.groups, strict=True) for row in rows(group)]
    measured += [{"run": run.name, "status": run.status, "reason": run.why} for run in found.lost]
    first = dict.fromkeys(("data", "pixels", "likelihood", "rank", "run"))
    return [first | chosen | row for chosen, row in zip(options(found.runs), measured, strict=True)]


def write_table(path: Path, found: Found) -> None:
    """The table as CSV."""
    lines = table(found)
    columns = dict.fromkeys(name for row in lines for name in row)
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    sys.exit(main())
