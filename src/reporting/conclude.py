"""The comparison of runs: collected from their folders, written as one page, and added to Weights & Biases."""

import logging
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from src.reporting import page, pictures
from src.reporting.groups import Group, group_runs
from src.reporting.runs import Run, read
from src.reporting.tables import option_rows, run_rows
from src.run.places import find
from src.support.files import atomic_path
from src.support.folders import SweepFolder
from src.support.texts import natural_key

log = logging.getLogger(__name__)


class Comparison(NamedTuple):
    """The groups of runs, the runs that belong to none, and their thumbnails by run folder."""

    groups: list[Group]
    ungrouped: list[Run]
    thumbnails: page.Pictures

    @property
    def runs(self) -> list[Run]:
        """All runs."""
        return [run for group in self.groups for run in group.runs] + self.ungrouped

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The tables of all groups as one, with the options that vary among all runs."""
        kinds = [{"data": each.data, "pixels": each.pixels, "likelihood": each.likelihood} for each in self.groups]
        rows = [kind | row for kind, group in zip(kinds, self.groups, strict=True) for row in run_rows(group)]
        rows += [{"run": run.name, "status": run.status, "reason": run.explanation} for run in self.ungrouped]
        first = dict.fromkeys(("data", "pixels", "likelihood", "rank", "run"))
        return [first | options | row for options, row in zip(option_rows(self.runs), rows, strict=True)]


def conclude(folder: Path, loggers: Mapping[str, Any] | None) -> None:
    """Write the page of a sweep or search and, where its runs go to W&B, add their table there.

    Errors are logged: they must not cost the runs.
    """
    try:
        comparison, out = collect([folder]), SweepFolder(folder).report
        write_page(out, [folder], comparison)
        log.info("compared on one page: %s", os.path.relpath(out))
    except Exception as error:
        log.warning("not compared (%s: %s): python -m src.report %s", type(error).__name__, error, folder)
        return
    if node := (loggers or {}).get("wandb"):
        from src.run import tracking  # imports Lightning, which a report without W&B does not need

        thumbnails = {run.name: comparison.thumbnails[run.folder] for run in comparison.runs}
        try:
            rows = [row | pictures.decode(thumbnails[row["run"]]) for row in comparison.rows]
            tracking.add_runs(node, folder, rows)
        except Exception as error:  # W&B raises errors of many types
            log.warning("W&B: the table of runs was not added (%s: %s)", type(error).__name__, error)


def collect(folders: list[Path], with_thumbnails: bool = True) -> Comparison:
    """The comparison of all runs in `folders`. Raises FileNotFoundError where there is none."""
    places = find(folders)
    if not places:
        raise FileNotFoundError(f"no run in {', '.join(map(str, folders))}: give a run, a sweep, or outputs")
    runs = read_runs(places)
    groups, ungrouped = group_runs(runs)
    return Comparison(groups, ungrouped, read_thumbnails(runs) if with_thumbnails else {})


def read_thumbnails(runs: list[Run]) -> page.Pictures:
    """The thumbnails of the runs, small enough for one page."""
    limit = min(pictures.MAX_BYTES, pictures.MAX_TOTAL_BYTES // (3 * len(runs)))
    with ThreadPoolExecutor() as pool:  # reading files and encoding images release Python's lock
        made = progress(pool.map(lambda run: pictures.thumbnails(run, limit), runs), "pictures", len(runs))
        return {run.folder: images for run, images in zip(runs, made, strict=True)}


def read_runs(folders: list[Path]) -> list[Run]:
    """The runs in `folders`, each named by its path from the folder that holds them all."""
    base = os.path.commonpath([folder.resolve().parent for folder in folders])
    runs = [read(folder, os.path.relpath(folder.resolve(), base)) for folder in progress(folders, "runs", len(folders))]
    return sorted(runs, key=lambda run: natural_key(run.name))


def progress(items: Iterable, title: str, count: int) -> tqdm:
    """`items`, with a progress bar if they take longer than a second."""
    return tqdm(items, desc=title, total=count, unit="run", disable=None, leave=False, delay=1)


def write_page(out: Path, folders: list[Path], comparison: Comparison) -> None:
    """Write the page that compares the runs in `folders`."""
    title = folders[0].resolve().name if len(folders) == 1 else ", ".join(folder.name for folder in folders)
    with atomic_path(out) as partial:
        partial.write_text(page.page(title, *comparison, out.parent), encoding="utf-8")
