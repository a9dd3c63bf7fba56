"""The state of a run, recorded in its status.json for whoever reads its folder."""

import json
import math
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from src.support.errors import DivergedError, UserError
from src.support.files import atomic_path
from src.support.folders import RunFolder
from src.support.locks import is_alive, start_time
from src.support.signals import defer_signals
from src.support.texts import read_json

MIN_CODE_GAIN = 0.05  # nats by which an image's own code must lower its cost, or the decoder ignores the code
MEAN_IMAGE_LEVEL = 0.99  # share of the mean image's cost, or unexplained variance, above which nothing was learned


class State(StrEnum):
    """The state of a run, in the order in which reports list the states."""

    FINISHED = "finished"
    RUNNING = "running"
    WAITING = "waiting"  # planned by a sweep, not started
    PRUNED = "pruned"  # stopped by a search
    INTERRUPTED = "interrupted"
    KILLED = "killed"  # status.json says running, but the process has ended
    FAILED = "failed"
    DIVERGED = "diverged"
    DELETED = "deleted"  # a job of a sweep whose folder `python -m src.runs delete` has removed
    UNKNOWN = "unknown"


PLANNED = (State.WAITING, State.DELETED)  # states of jobs of which only the plan of their sweep is there
INFERRED = (*PLANNED, State.KILLED, State.UNKNOWN)  # states that the reader of a run's folder infers
RECORDED = tuple(state for state in State if state not in INFERRED)  # states in status.json


def is_time(value: Any) -> bool:
    """Whether a value is a time in ISO 8601, with its zone."""
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


# what the entries of status.json may be, each of which may be absent
ENTRIES: dict[str, Callable[[Any], bool]] = {
    "state": lambda value: isinstance(value, str) and value in RECORDED,
    "reason": lambda value: value is None or isinstance(value, str),
    "warning": lambda value: value is None or isinstance(value, str),
    "started": is_time,
    "ended": lambda value: value is None or is_time(value),
    "host": lambda value: isinstance(value, str),
    "pid": lambda value: isinstance(value, int) and 0 < value < 2**31,
    "overrides": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
}


@contextmanager
def record_status(run: Path, overrides: list[str]) -> Iterator[dict[str, Any]]:
    """Keep status.json up to date while the body trains the run in a folder.

    The file holds the `state` (running, then finished, failed, diverged or interrupted; a search adds pruned), its
    `reason` in one line, `started`, `ended`, `host`, `pid` and `overrides`. The body may change the yielded dictionary
    to set another ending, or a `warning` in one line. A run that finished but learned nothing stays finished, since
    another attempt would give the same result.

    A last status that can't be written is an error, unless another one has ended the training: a full disk may be its
    cause. A signal waits until the file is written.
    """
    status = initial_status(overrides)
    write(run, status)
    ending: dict[str, Any] = {"state": State.FINISHED}
    try:
        yield ending
    except BaseException as error:
        state = state_after(error)
        ending = {"state": state, "reason": None if state == State.INTERRUPTED else one_line(error)}
        with defer_signals(), suppress(OSError):
            write(run, status | ending | {"ended": timestamp()})
        raise
    with defer_signals():
        write(run, status | ending | {"ended": timestamp()})


def state_after(error: BaseException | None) -> State:
    """The state of a run that an error has ended, or none."""
    if error is None:
        return State.FINISHED
    if isinstance(error, KeyboardInterrupt | SystemExit | BrokenPipeError):
        return State.INTERRUPTED
    return State.DIVERGED if isinstance(error, DivergedError) else State.FAILED


def initial_status(overrides: list[str]) -> dict[str, Any]:
    """The status of a run that this process starts now."""
    status = {"state": State.RUNNING, "reason": None, "started": timestamp(), "ended": None}
    return status | {"host": socket.gethostname(), "pid": os.getpid(), "overrides": overrides}


def read(run: Path) -> dict[str, Any]:
    """The content of status.json; empty where the file is missing or damaged, or has an entry of another type.

    The state is `killed` where the file says running but the process on this host has ended.
    """
    try:
        status = read_json(RunFolder(run).status)
    except (OSError, ValueError):
        return {}
    if not isinstance(status, dict) or not all(
        check(status[name]) for name, check in ENTRIES.items() if name in status
    ):
        return {}
    return status | ({"state": State.KILLED} if status.get("state") == State.RUNNING and has_ended(status) else {})


def write(run: Path, status: dict[str, Any]) -> None:
    """Write status.json."""
    with atomic_path(RunFolder(run).status, durable=True) as partial:
        partial.write_text(json.dumps(status, indent=2) + "\n")


def stop(run: Path, overrides: list[str], state: str, error: BaseException) -> None:
    """Record the state of a run that could not start or continue, and the reason."""
    with suppress(OSError):
        ending = {"state": state, "reason": one_line(error), "ended": timestamp()}
        write(run, initial_status(overrides) | ending)


def one_line(error: BaseException) -> str:
    """An error in one line, with its type unless it is a UserError."""
    lines = str(error).strip().splitlines()[:1]
    return " ".join(lines) if isinstance(error, UserError) else ": ".join([type(error).__name__, *lines])


def has_ended(status: dict[str, Any]) -> bool:
    """Whether the process of a run with the state running has ended, as far as this machine can tell."""
    pid = status.get("pid")
    if status.get("host") != socket.gethostname() or pid is None:
        return False
    if not is_alive(pid):
        return True
    try:  # a process that started after the run did has reused the PID
        return start_time(pid) > datetime.fromisoformat(status["started"]).timestamp() + 5
    except (OSError, ValueError, KeyError, TypeError, IndexError):  # not on Linux, or no time recorded
        return False


def divergence(epochs: list[dict[str, float]]) -> str | None:
    """Describe a training that ended with a higher validation loss than it started with, by the rows of metrics.csv.

    None for any other training, among them one whose training loss fell: it has learned its images, if nothing else.
    """
    losses = [row["val/loss"] for row in epochs if "val/loss" in row]
    if losses and not math.isfinite(losses[-1]):
        return f"the last validation loss is {losses[-1]}"
    if len(losses) < 2 or epochs[0].get("epoch") != 0:
        return None
    last = next(row for row in reversed(epochs) if "val/loss" in row)
    has_learned = last.get("train/loss", math.inf) < epochs[0].get("train/loss", -math.inf)
    if losses[-1] > losses[0] and not has_learned:
        return f"the last validation loss, {losses[-1]:.2f}, is above the untrained model's, {losses[0]:.2f}"
    return None


def overfitting(epochs: list[dict[str, float]]) -> str | None:
    """Describe a training whose validation loss rose above the untrained model's while its training loss is below it.

    None for any other training, or one whose validation loss was never lower.
    """
    rows = [row for row in epochs if {"val/loss", "train/loss"} <= row.keys()]
    if len(rows) < 2 or rows[0].get("epoch") != 0:
        return None
    first, last, best = rows[0], rows[-1], min(rows, key=lambda row: row["val/loss"])
    if not (best["val/loss"] < first["val/loss"] < last["val/loss"] and last["train/loss"] < first["train/loss"]):
        return None
    rise = f"{best['val/loss']:.2f} at epoch {best['epoch']:.0f} to {last['val/loss']:.2f}"
    return f"it has overfitted, the validation loss rose from {rise}: fewer epochs, trainer.patience=5, or more images"


def warnings(epochs: list[dict[str, float]], metrics: dict[str, Any]) -> list[str]:
    """Problems of a training that ended without an error, one line each, by metrics.csv and metrics.json.

    They are a collapsed code, a model no better than the mean image, a loss that did not improve, and overfitting.
    """
    metrics = {k: value for k, value in metrics.items() if isinstance(value, int | float) or k == "likelihood"}
    trained = [row for row in epochs if row.get("epoch", 0) > 0 and "val/loss" in row]
    # the code of a single validation image has no variance, so that no unit could be active
    is_single = bool(trained) and "train/elbo_se" in trained[-1] and "val/elbo_se" not in trained[-1]
    collapsed = None if is_single else collapse(trained, metrics)
    problems = [collapsed, no_gain_over_mean_image(metrics), no_improvement(epochs, trained), overfitting(epochs)]
    infinite = [name for name in ("test/loss", "test/recon", "test/kl") if not math.isfinite(metrics.get(name, 0))]
    problems += [f"{', '.join(infinite)}: no finite number"] if infinite else []
    return [line for line in problems if line]


def collapse(trained: list[dict[str, float]], metrics: dict[str, Any]) -> str | None:
    """A warning if the code carries no information about the image, in the tested checkpoint or the last epoch."""
    remedy = "a smaller beta or optimizer.lr, or schedule=linear, may help"
    if metrics.get("likelihood") == "Autoregressive":
        remedy += ", and a smaller likelihood.field"
    if metrics.get("val/active_units") == 0:
        cost = f" (KL {metrics['val/kl']:.2f} nats)" if "val/kl" in metrics else ""
        return f"no latent dimension is active{cost}, the code says nothing of the image: {remedy}"
    if (gain := metrics.get("val/code_gain", math.inf)) < MIN_CODE_GAIN:
        return f"the decoder ignores the code, which is worth {gain:.2f} nats to its image: {remedy}"
    if trained and trained[-1].get("val/active_units") == 0:
        best = min(trained, key=lambda row: row["val/loss"])["epoch"]
        return (
            f"no latent dimension is active after the last epoch (the best checkpoint is of epoch {best:.0f}): {remedy}"
        )
    return None


def no_gain_over_mean_image(metrics: dict[str, Any]) -> str | None:
    """A warning if the model is no better than the mean of the training images, the same for every image."""
    costs, mean = [metrics.get("val/loss", math.nan), -metrics.get("val/elbo", math.nan)], metrics.get("val/mean_image")
    if mean is not None and min(costs) >= MEAN_IMAGE_LEVEL * mean:
        better = "worse" if min(costs) > mean else "hardly better"
        return f"the validation loss, {min(costs):.2f} nats, is {better} than the training images' mean, {mean:.2f}"
    if metrics.get("val/unexplained", 0) >= MEAN_IMAGE_LEVEL:
        return "the reconstructions are no nearer to the images than the training images' mean is"
    return None


def no_improvement(epochs: list[dict[str, float]], trained: list[dict[str, float]]) -> str | None:
    """A warning if the validation loss was never below the untrained model's, or lowest after the first epoch."""
    losses = [row["val/loss"] for row in trained]
    if not losses:
        return None
    before = epochs[0].get("val/loss", math.inf) if epochs[0].get("epoch") == 0 else math.inf
    if min(losses) >= before:
        return f"the validation loss was never below the untrained model's, {before:.2f}"
    if len(losses) > 1 and min(losses[1:]) >= losses[0]:
        return f"the validation loss was best after the first of {len(losses)} epochs"
    return None


def timestamp() -> str:
    """The current time, ISO 8601 with its zone."""
    return datetime.now().astimezone().isoformat()
