"""SWEEP/jobs.json: the jobs of a sweep, and the number of each, which is the name of its folder.

The file is read and checked here alone: a sweep removes what is in the folders that it names.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ValidationError

from src.support.errors import UserError, one_line
from src.support.files import atomic_path
from src.support.folders import SweepFolder
from src.support.ranges import Whole, adapter
from src.support.texts import read_text

REMEDY = "delete it and start the sweep again, which finds its jobs by the configurations in their folders"


@dataclass(frozen=True)
class Entry:
    """A job in jobs.json.

    number: the name of its folder
    options: the overrides in which it differs from the others
    wanted: whether it is one of the jobs that the sweep was last started with
    deleted: whether the user has deleted its folder, so that it is not to be trained again; this holds as long as
        there is no folder
    """

    number: Whole
    options: list[str]
    wanted: bool
    deleted: bool = False


def read_jobs(folder: Path) -> dict[str, Entry]:
    """The jobs of a sweep by fingerprint, as SWEEP/jobs.json has them; empty where there is no such file.

    Raises UserError where the file holds anything else.
    """
    path = SweepFolder(folder).jobs
    if not path.is_file():
        return {}
    try:
        entries = adapter(dict[str, Entry]).validate_json(read_text(path), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{name}: " for name in first["loc"][1:2])  # the first name is the file's, and may be anything
        raise UserError(f"{path} is damaged ({where}{first['msg']}): {REMEDY}") from None
    except ValueError as error:  # beyond all size, or no text
        raise UserError(f"{path} is damaged ({one_line(error)}): {REMEDY}") from None
    counts = Counter(entry.number for entry in entries.values())
    if twice := [number for number, count in counts.items() if count > 1]:
        raise UserError(f"{path} is damaged (several jobs have the number {min(twice)}): {REMEDY}")
    return entries


def write_jobs(folder: Path, entries: dict[str, Entry]) -> None:
    """Write SWEEP/jobs.json, for which the sweep is locked, and remove what a killed process has left of it."""
    for leftover in folder.glob(f".*.{SweepFolder(folder).jobs.name}"):
        leftover.unlink(missing_ok=True)
    with atomic_path(SweepFolder(folder).jobs, durable=True) as partial_file:
        content = {name: asdict(entry) for name, entry in entries.items()}
        partial_file.write_text(json.dumps(content, indent=1) + "\n")
