"""The folders of runs among other folders: those that are there, and those that a sweep has planned."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from src.run.jobs_file import Entry, read_jobs
from src.support.errors import UserError, describe_os_error
from src.support.files import PARTIAL
from src.support.folders import EXAMPLE
from src.support.texts import natural_key

log = logging.getLogger(__name__)

# a folder that holds any of these files is a run's
MARKS = {path.name for path in (EXAMPLE.config, EXAMPLE.status, EXAMPLE.epochs, EXAMPLE.metrics, EXAMPLE.hydra)}


class Places(NamedTuple):
    """What stands beside one another in folders of runs.

    runs: the folders of runs, sorted by name, 10 after 9
    jobs: the jobs that sweeps have planned, by their folders, which may not exist
    partial: folders that a process has renamed to remove them, or has not yet given their names
    """

    runs: list[Path]
    jobs: dict[Path, Entry]
    partial: list[Path]


def find(folders: Iterable[Path]) -> list[Path]:
    """The run folders among `folders` and within them, sorted by name, 10 after 9.

    Jobs of a sweep that have no folder, since they have not started or were deleted, are among them.
    """
    return survey(folders).runs


def survey(folders: Iterable[Path]) -> Places:
    """The runs of `find`, and the partial folders beside them. No links are followed but those among `folders`."""
    places, jobs, partial = {}, {}, []
    for top in folders:
        for path, inner, files in os.walk(top, onerror=warn_unless_missing):
            if any(mark in files or mark in inner for mark in MARKS):
                places[Path(path).resolve()] = Path(path)
                inner.clear()
            for number, job in read_plan(Path(path)).items():
                jobs[Path(path, number)] = job
                places.setdefault(Path(path, number).resolve(), Path(path, number))
            partial += [Path(path, name) for name in inner if PARTIAL.match(name)]
            inner[:] = [name for name in inner if name != "wandb" and not name.startswith(".")]
    return Places(sorted(places.values(), key=lambda path: natural_key(str(path))), jobs, partial)


def warn_unless_missing(error: OSError) -> None:
    """Log that a folder can't be read, unless it is not there, or no longer."""
    if not isinstance(error, FileNotFoundError):
        log.warning("%s", describe_os_error(error))


def read_plan(sweep: Path) -> dict[str, Entry]:
    """A sweep's planned jobs by number; empty where there is no plan, or none that can be read."""
    try:
        return {str(job.number): job for job in read_jobs(sweep).values() if job.wanted}
    except (OSError, UserError) as error:
        log.warning("%s", error)
        return {}
