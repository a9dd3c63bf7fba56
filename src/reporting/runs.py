"""Runs as read from their folders: configuration, state, metrics."""

import sys
import zlib
from collections.abc import Callable
from csv import Error as CSVError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import yaml

from src.config.moved import current_paths
from src.run import epochs
from src.run.places import read_plan
from src.run.status import RECORDED, State, divergence, has_ended, warnings
from src.support.arrays import open_arrays
from src.support.folders import EXAMPLE, ResultsFolder, RunFolder
from src.support.texts import read_json, read_yaml

LARGEST = sys.float_info.max
UNREADABLE = (
    *(OSError, EOFError, MemoryError, ValueError, KeyError, TypeError, AttributeError, OverflowError, SyntaxError),
    *(NotImplementedError, RuntimeError, BadZipFile, CSVError, yaml.YAMLError, zlib.error),
)


@dataclass
class Run:
    """A run, read from its folder. Missing or damaged content is empty, and listed in `problems`.

    reason   for its status; or the warnings about a run that has finished
    epochs   the rows of metrics.csv
    metrics  metrics.json: the numbers of the best checkpoint
    terms    by split `index`, `elbo`, `recon` and `kl` (N,) of each image, nats
    data     data.json: the images that it was trained on; empty for runs that are older than this file
    """

    folder: Path
    name: str
    config: dict[str, Any]
    status: State
    reason: str
    epochs: list[dict[str, float]]
    metrics: dict[str, Any]
    terms: dict[str, dict[str, np.ndarray]]
    problems: list[str]
    data: dict[str, Any] = field(default_factory=dict)

    def number(self, name: str) -> float | None:
        """A metric of the best checkpoint or, before there is one, of the last epoch; None if it is not finite."""
        rows = [self.metrics] if self.metrics else self.epochs[-1:]
        value = rows[0].get(name) if rows else None
        return float(value) if isinstance(value, int | float) and -LARGEST < value < LARGEST else None

    @property
    def is_ranked(self) -> bool:
        """Whether it finished, and its best checkpoint has a finite validation ELBO."""
        return self.status == State.FINISHED and bool(self.metrics) and self.number("val/elbo") is not None

    @property
    def explanation(self) -> str:
        """The reason for its status and the problems with its files, in one line."""
        return "; ".join(filter(None, (self.reason, *self.problems)))

    @property
    def explorer(self) -> Path | None:
        """The latest page of task=explore, if there is one."""
        path = ResultsFolder(RunFolder(self.folder).tasks / "explore" / "latest").explorer
        return path if path.is_file() else None

    @property
    def trained_epochs(self) -> int | None:
        """The number of epochs that it was trained for."""
        return int(self.epochs[-1]["epoch"]) if self.epochs else None

    @property
    def planned_epochs(self) -> Any:
        """The number of epochs that its configuration asks for; None where it does not say."""
        trainer = self.config.get("trainer")
        return trainer.get("max_epochs") if isinstance(trainer, dict) else None

    @property
    def seconds(self) -> float | None:
        """The duration of its training so far."""
        total = self.number("training_seconds") or self.number("seconds") if self.metrics else None
        return total or sum(row.get("seconds", 0) for row in self.epochs) or None


def read(folder: Path, name: str) -> Run:
    """Read the run in `folder` as far as it is readable, and give it this name."""
    if not folder.exists():
        job = read_plan(folder.parent).get(folder.name)
        state = State.DELETED if job and job.deleted else State.WAITING
        return Run(folder, name, {}, state, " ".join(job.options if job else []), [], {}, {}, [])
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

    config = attempt(files.config, lambda path: current_paths(as_mapping(read_yaml(path))), {})
    recorded = attempt(files.status, read_mapping, {})
    metrics = attempt(files.metrics, read_mapping, {})
    table = attempt(files.epochs, read_epochs, epochs.Epochs([]))
    problems += [f"{files.epochs.name}: {table.problem}"] if table.problem else []
    terms = {split: attempt(files.terms(split), read_terms, {}) for split in ("val", "test")}
    status, reason = infer_state(recorded, metrics, table.rows)
    if status == State.FINISHED and not (metrics or problems):
        problems.append(f"{files.metrics.name} is missing")
    if not config and not any(problem.startswith(files.config.name) for problem in problems):
        problems.append(f"{files.config.name} is missing")
    data = attempt(files.data, read_mapping, {})
    return Run(folder, name, config, status, reason, table.rows, metrics, terms, problems, data)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file. Raises ValueError where the file holds something else."""
    return as_mapping(read_json(path))


def as_mapping(content: Any) -> dict[str, Any]:
    """`content` as it is. Raises ValueError unless it is a mapping."""
    if not isinstance(content, dict):
        raise ValueError("it holds no options" if content is None else f"it holds a {type(content).__name__}")
    return content


def read_epochs(path: Path) -> epochs.Epochs:
    """The metrics of each epoch, as far as they are readable. Raises ValueError where there are none in the file."""
    table = epochs.read(path.parent)
    if table.problem and not table.rows:
        raise ValueError(table.problem)
    return table


def read_terms(path: Path) -> dict[str, np.ndarray]:
    """`index`, `recon`, `kl`, and in float64 `elbo` = -(recon + kl) of each image."""
    with open_arrays(path) as arrays:
        terms = {name: arrays[name] for name in ("index", "recon", "kl")}
    terms["elbo"] = -(terms["recon"].astype(np.float64) + terms["kl"])
    if terms["index"].ndim != 1 or len({term.shape for term in terms.values()}) > 1:
        raise ValueError("its arrays are not of one length")
    return terms


def infer_state(recorded: dict[str, Any], metrics: dict[str, Any], epochs: list[dict[str, float]]) -> tuple[State, str]:
    """The state of a run, and the reason for it or the warnings about a run that has finished.

    Both follow from the content of status.json and from the metrics. Runs that are older than status.json have finished
    if they were measured.
    """
    status = recorded.get("state", State.FINISHED if metrics else State.UNKNOWN)
    reason = str(recorded.get("reason") or "")
    if status not in RECORDED:
        return State.UNKNOWN, reason or f"it left no {EXAMPLE.metrics.name}: it was stopped, or still runs"
    if status == State.RUNNING and has_ended(recorded):
        return State.KILLED, f"process {recorded['pid']} has ended without recording how"
    if status == State.FINISHED:
        if why := divergence(epochs):
            return State.DIVERGED, why
        reason = "; ".join(warnings(epochs, metrics))
    return State(status), " ".join(reason.split())
