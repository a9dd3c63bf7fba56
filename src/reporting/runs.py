"""Runs as their folders tell them: what each was told, how far it came, what it measured."""

import json
import math
import os
import re
from collections.abc import Callable, Iterable
from csv import Error as CSVError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np
import yaml

from src.config.moved import current_paths
from src.run import record
from src.run.status import divergence, gone, warnings
from src.support.folders import RunFolder, SweepFolder

ANY = RunFolder(Path())
MARKS = {
    path.name for path in (ANY.config, ANY.status, ANY.epochs, ANY.metrics, ANY.hydra)
}  # each marks a run's folder
STATES = ("running", "finished", "failed", "diverged", "interrupted", "pruned")  # that status.json may tell
UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, BadZipFile, CSVError, yaml.YAMLError)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # five times as fast, where PyYAML has it


@dataclass
class Run:
    """A run's folder. What is missing or damaged is empty here, and `problems` says so.

    status   finished, running, waiting, interrupted, pruned, failed, diverged, killed or unknown
    reason   of that status; or what is wrong with a run that has finished
    epochs   the rows of metrics.csv
    metrics  metrics.json: the numbers of the best checkpoint
    terms    by split `index` and `elbo` (N,) of each image, nats
    data     data.json: which images it was trained on; runs made before there was one have none
    """

    folder: Path
    name: str
    config: dict[str, Any]
    status: str
    reason: str
    epochs: list[dict[str, float]]
    metrics: dict[str, Any]
    terms: dict[str, dict[str, np.ndarray]]
    problems: list[str]
    data: dict[str, Any] = field(default_factory=dict)

    def number(self, name: str) -> float | None:
        """That number of the best checkpoint; before there is one, of the last epoch. None if it isn't finite."""
        rows = [self.metrics] if self.metrics else self.epochs[-1:]
        value = rows[0].get(name) if rows else None
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

    @property
    def ranks(self) -> bool:
        """Whether it ended well, with a finite validation ELBO of its best checkpoint."""
        return self.status == "finished" and bool(self.metrics) and self.number("val/elbo") is not None

    @property
    def why(self) -> str:
        """What there is to say of its status and its files, in a line."""
        return "; ".join(filter(None, (self.reason, *self.problems)))

    @property
    def done(self) -> int | None:
        """The epochs that it has trained."""
        return int(self.epochs[-1]["epoch"]) if self.epochs else None

    @property
    def seconds(self) -> float | None:
        """What its training took, so far."""
        whole = self.number("training_seconds") or self.number("seconds") if self.metrics else None
        return whole or sum(row.get("seconds", 0) for row in self.epochs) or None


def find(folders: Iterable[Path]) -> list[Path]:
    """The run folders in `folders`, or that these are, by name; 10 comes after 9. Those of a sweep's jobs that have not
    begun are among them, and are not there yet."""
    found = {}
    for top in folders:
        for path, inner, files in os.walk(top):
            if any(mark in files or mark in inner for mark in MARKS):
                found[Path(path).resolve()] = Path(path)
                inner.clear()
            for number in planned(Path(path)):
                found.setdefault(Path(path, number).resolve(), Path(path, number))
            inner[:] = [name for name in inner if name != "wandb" and not name.startswith(".")]
    return sorted(found.values(), key=lambda path: natural(str(path)))


def planned(sweep: Path) -> dict[str, list[str]]:
    """The options of a sweep's jobs by number, as its jobs.json plans them; none where it can't be read."""
    try:
        jobs = json.loads(SweepFolder(sweep).jobs.read_text()).values()
        return {str(job["number"]): job["options"] for job in jobs if job["wanted"]}
    except UNREADABLE:
        return {}


def natural(words: str) -> list[tuple[int, str]]:
    """A key that sorts digits by their number."""
    return [(int(part or 0), "") if i % 2 else (0, part) for i, part in enumerate(re.split(r"(\d+)", words))]


def read(folder: Path, name: str) -> Run:
    """The run in `folder`, under that name, with what can be read of it."""
    if not folder.exists():
        return Run(folder, name, {}, "waiting", " ".join(planned(folder.parent).get(folder.name, [])), [], {}, {}, [])
    problems: list[str] = []
    files = RunFolder(folder)

    def attempt(path: Path, reader: Callable[[Path], Any], otherwise: Any) -> Any:
        try:
            return reader(path)
        except FileNotFoundError:
            return otherwise
        except UNREADABLE as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            problems.append(f"{path.name} can't be read: {reason}")
            return otherwise

    config = attempt(files.config, lambda path: current_paths(mapping(yaml.load(path.read_text(), LOADER))), {})
    told = attempt(files.status, lambda path: mapping(json.loads(path.read_text())), {})
    metrics = attempt(files.metrics, lambda path: mapping(json.loads(path.read_text())), {})
    epochs = attempt(files.epochs, read_epochs, [])
    terms = {split: attempt(files.terms(split), read_terms, {}) for split in ("val", "test")}
    status, reason = state(told, metrics, epochs)
    if status == "finished" and not (metrics or problems):
        problems.append(f"{files.metrics.name} is missing")
    if not config and not any(problem.startswith(files.config.name) for problem in problems):
        problems.append(f"{files.config.name} is missing")
    data = attempt(files.data, lambda path: mapping(json.loads(path.read_text())), {})
    return Run(folder, name, config, status, reason, epochs, metrics, terms, problems, data)


def mapping(content: Any) -> dict[str, Any]:
    """`content`, which must be one."""
    if not isinstance(content, dict):
        raise ValueError("it holds no options" if content is None else f"it holds a {type(content).__name__}")
    return content


def read_epochs(path: Path) -> list[dict[str, float]]:
    """The rows of a metrics.csv that belong to an epoch."""
    rows = record.epochs(path.parent)
    if not path.is_file():
        return []
    if not rows or not all(math.isfinite(row["epoch"]) for row in rows):
        raise ValueError("it holds no epochs")
    return rows


def read_terms(path: Path) -> dict[str, np.ndarray]:
    """`index` and `elbo` = -(recon + kl) of each image, in float64."""
    with arrays_in(path) as arrays:
        terms = {"index": arrays["index"], "elbo": -(arrays["recon"].astype(np.float64) + arrays["kl"])}
    if terms["index"].ndim != 1 or terms["index"].shape != terms["elbo"].shape:
        raise ValueError("its arrays are not of one length")
    return terms


def arrays_in(path: Path) -> np.lib.npyio.NpzFile:
    """The arrays of an npz file. Raises ValueError where it is none."""
    if path.is_file() and not is_zipfile(path):
        raise ValueError("it is no npz file")
    return np.load(path)


def state(told: dict[str, Any], metrics: dict[str, Any], epochs: list[dict[str, float]]) -> tuple[str, str]:
    """A run's status, and the reason where there is one, or what is wrong with a run that has finished, from
    status.json and what the numbers say.

    Runs older than status.json have finished if they were measured.
    """
    status, reason = told.get("state", "finished" if metrics else "unknown"), str(told.get("reason") or "")
    if status not in STATES:
        return "unknown", reason or f"it left no {ANY.metrics.name}: it was stopped, or still runs"
    if status == "running" and gone(told):
        return "killed", f"process {told['pid']} is gone and has left no word"
    if status == "finished":
        if why := divergence(epochs):
            return "diverged", why
        reason = "; ".join(warnings(epochs, metrics))
    return status, " ".join(reason.split())
