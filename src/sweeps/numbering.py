"""Which folder of a sweep belongs to which job.

A job is identified by the fingerprint of its configuration. SWEEP/jobs.json gives it a number, which is the name of its
folder, but what was trained in a folder is decided by the configuration in the folder alone: jobs.json may be lost,
damaged, or copied from another sweep.
"""

import hashlib
import itertools
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from omegaconf import DictConfig, OmegaConf

from src.config.moved import current_paths
from src.run.jobs_file import Entry, read_jobs, write_jobs
from src.run.options import REQUEST, without_added_options
from src.support.errors import UserError
from src.support.files import PARTIAL
from src.support.folders import RunFolder
from src.support.texts import read_yaml

# options that change no number
WITHOUT_EFFECT = ("hydra", "logger", "callbacks", *REQUEST)
# options of data that were added later, with the value that keeps the old behaviour
NEW_OPTIONS = {"white": "auto", "images": None, "labels": None, "invert": False, "skip_broken": False}


class Training(NamedTuple):
    """What a configuration trains.

    fingerprint: a hash of all that the numbers depend on
    without_epochs: the same hash without the number of epochs
    epochs: the number of epochs
    """

    fingerprint: str
    without_epochs: str
    epochs: Any

    def goes_beyond(self, other: "Training") -> bool:
        """Whether this is what the other becomes by training it for more epochs."""
        numbers = (self.epochs, other.epochs)
        return (
            self.without_epochs == other.without_epochs
            and all(type(number) is int for number in numbers)
            and self.epochs > other.epochs
        )


def training_of(config: dict[str, Any]) -> Training:
    """What a resolved configuration trains, wherever its files are.

    A configuration of an earlier version has the fingerprint that it would have today: its classes are named by today's
    paths, and options that were added later are left out at the values that keep the old behaviour.
    """
    relevant = without_added_options(current_paths(config))
    relevant = {name: value for name, value in relevant.items() if name not in WITHOUT_EFFECT}
    relevant["data"]["source"].pop("shape", None)  # that of data itself
    for node in (relevant["data"], relevant["data"]["source"]):
        node.pop("root", None)
        for option, value in NEW_OPTIONS.items():
            if node.get(option, value) == value:
                node.pop(option, None)
    shorter = relevant | {"trainer": {k: v for k, v in relevant["trainer"].items() if k != "max_epochs"}}
    return Training(hash_of(relevant), hash_of(shorter), relevant["trainer"].get("max_epochs"))


def hash_of(config: dict[str, Any]) -> str:
    """A hash of a plain configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def training_of_job(cfg: DictConfig) -> Training:
    """What the configuration of a job trains."""
    relevant = OmegaConf.masked_copy(cfg, [name for name in cfg if name not in WITHOUT_EFFECT])
    return training_of(OmegaConf.to_container(relevant, resolve=True))


def fingerprint(cfg: DictConfig) -> str:
    """The fingerprint of a job's configuration."""
    return training_of_job(cfg).fingerprint


def training_of_folder(folder: Path) -> Training | None:
    """What was trained in a run's folder, by its configuration; None where there is none that can be read.

    The file is read as it is: nothing that it refers to is looked up.
    """
    try:
        return training_of(read_yaml(RunFolder(folder).config))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
        return None


def belongs(folder: Path, wanted: Training) -> bool:
    """Whether a folder that jobs.json gives to a job is really that job's, or nothing was trained there.

    It is still that job's if the job was later trained for more epochs, by itself.
    """
    if is_blank(folder):
        return True
    trained = None if folder.is_symlink() else training_of_folder(folder)
    return trained is not None and (trained.fingerprint == wanted.fingerprint or trained.goes_beyond(wanted))


def is_blank(folder: Path) -> bool:
    """Whether a folder does not exist, or holds only what is written before the training of a job begins."""
    if folder.is_symlink() or not folder.is_dir():
        return not os.path.lexists(folder)
    run = RunFolder(folder)
    early = {path.name for path in (run.hydra, run.lock, run.status)}
    names = [path.name for path in folder.iterdir()]
    return all(name in early or name.endswith(".log") or PARTIAL.match(name) for name in names)


def is_deleted(folder: Path, job: Entry) -> bool:
    """Whether the user has deleted the folder of a sweep's job, so that it is not to be trained again."""
    return job.deleted and is_blank(folder / str(job.number))


def numbered_folders(sweep: Path) -> dict[int, Path]:
    """What a sweep's folder holds under a number for a name, whatever it is, except for folders of jobs not begun."""
    numbers = (path for path in sweep.glob("[0-9]*") if path.name.isascii() and path.name.isdecimal())
    return {int(path.name): path for path in sorted(numbers) if path.name == str(int(path.name)) and not is_blank(path)}


def assign_numbers(folder: Path, jobs: list[list[str]], configs: list[DictConfig]) -> list[int]:
    """Write SWEEP/jobs.json and return the number of each job: known jobs keep theirs, new ones get free ones.

    A number is free if no other job has it and nothing in the sweep's folder has it for a name. A job whose folder the
    user has deleted stays known as such, unless there is a folder again.

    Args:
        folder: the folder of the sweep
        jobs: the overrides of each job
        configs: the configuration of each job

    Raises UserError where two jobs are the same, or jobs.json is damaged.
    """
    wanted = [training_of_job(cfg) for cfg in configs]
    check_differ(jobs, wanted)
    entries, taken = read_jobs(folder), numbered_folders(folder)
    numbers = match_unbegun(entries, taken, jobs, wanted) | match_folders(folder, entries, taken, wanted)
    others = {name: each for name, each in entries.items() if each.number not in numbers.values()}
    in_use = {*taken, *(each.number for each in entries.values())}
    free = (number for number in itertools.count() if number not in in_use)
    shared = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    plans = {name: replace(each, wanted=False) for name, each in others.items()}
    for job, overrides in zip(wanted, jobs, strict=True):
        number = numbers[job.fingerprint] if job.fingerprint in numbers else next(free)
        own = [each for each in overrides if each not in shared]
        deleted = job.fingerprint in entries and is_deleted(folder, replace(entries[job.fingerprint], number=number))
        plans[job.fingerprint] = Entry(number, own, True, deleted)
    write_jobs(folder, plans)
    return [plans[job.fingerprint].number for job in wanted]


def check_differ(jobs: list[list[str]], wanted: list[Training]) -> None:
    """Raise UserError where two jobs are the same."""
    last = {job.fingerprint: i for i, job in enumerate(wanted)}
    for i, job in enumerate(wanted):
        if last[job.fingerprint] != i:
            raise UserError(f"two jobs are the same: {' '.join(jobs[i])} and {' '.join(jobs[last[job.fingerprint]])}")


def match_folders(
    folder: Path, entries: dict[str, Entry], taken: dict[int, Path], wanted: list[Training]
) -> dict[str, int]:
    """The numbers of wanted jobs that have a folder, or a place in jobs.json for one, by fingerprint.

    Raises UserError where jobs.json names a link, which may lead anywhere.
    """
    trained: dict[str, list[int]] = {}
    for number, path in taken.items():
        if not path.is_symlink() and (training := training_of_folder(path)):
            trained.setdefault(training.fingerprint, []).append(number)
    planned = {job.fingerprint: entries[job.fingerprint].number for job in wanted if job.fingerprint in entries}
    numbers = {}
    for job in wanted:
        if folders := trained.get(job.fingerprint):
            number = planned.get(job.fingerprint)
            numbers[job.fingerprint] = number if number in folders else min(folders)
    for job in wanted:
        number = planned.get(job.fingerprint)
        if job.fingerprint in numbers or number is None or number in numbers.values():
            continue
        if (path := folder / str(number)).is_symlink():
            raise UserError(f"{path} is a link, and a job's folder must be in its sweep: move it there, or remove it")
        if belongs(path, job):
            numbers[job.fingerprint] = number
    return numbers


def match_unbegun(
    entries: dict[str, Entry], taken: dict[int, Path], jobs: list[list[str]], wanted: list[Training]
) -> dict[str, int]:
    """The numbers of jobs that an earlier version planned, under another fingerprint, and never began.

    They are matched by their options: a wrong match is harmless, since nothing was trained.
    """
    names = {job.fingerprint for job in wanted}
    waiting = [
        each for name, each in entries.items() if name not in names and each.number not in taken and not each.deleted
    ]
    matches = {}
    for job, overrides in zip(wanted, jobs, strict=True):
        similar = (entry for entry in waiting if set(entry.options) <= set(overrides))
        if job.fingerprint not in entries and (entry := next(similar, None)):
            matches[job.fingerprint] = entry.number
            waiting.remove(entry)
    return matches
