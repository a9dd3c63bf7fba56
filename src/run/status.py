"""How a run stands: RUN/status.json, for whoever reads its folder."""

import json
import math
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from src.support.errors import DivergedError, UserError
from src.support.files import atomic_path

LEAST_GAIN = 0.05  # nats that an image's own code is worth, below which the decoder is said to ignore it
LEVEL = 0.99  # of what the mean image costs, or leaves unexplained: a model that is no better knows no more


@contextmanager
def kept(run: Path, overrides: list[str]) -> Iterator[dict[str, Any]]:
    """Keeps RUN/status.json while a run is trained: `state` running, then finished, failed, diverged or interrupted (or
    pruned, in a search), with its `reason` in one line, `started` and `ended`, `host`, `pid` and `overrides`. What is
    yielded may get another ending, or a `warning` in one line: a run that has finished and learned nothing stays
    finished, since another attempt would only repeat it."""
    status = begun(overrides)
    write(run, status)
    ending: dict[str, Any] = {"state": "finished"}
    try:
        yield ending
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | SystemExit)
        state = "interrupted" if stopped else "diverged" if isinstance(error, DivergedError) else "failed"
        ending = {"state": state, "reason": None if stopped else in_a_line(error)}
        raise
    finally:
        with suppress(OSError):  # of a full disk, which is the reason already
            write(run, status | ending | {"ended": now()})


def begun(overrides: list[str]) -> dict[str, Any]:
    """The status of a run that this process has just begun."""
    status = {"state": "running", "reason": None, "started": now(), "ended": None}
    return status | {"host": socket.gethostname(), "pid": os.getpid(), "overrides": overrides}


def read(run: Path) -> dict[str, Any]:
    """What status.json says, with the state `killed` where it says running but its process on this host is gone; empty
    where there is none, or it is damaged."""
    try:
        status = json.loads((run / "status.json").read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(status, dict):
        return {}
    return status | ({"state": "killed"} if status.get("state") == "running" and gone(status) else {})


def write(run: Path, status: dict[str, Any]) -> None:
    """Writes RUN/status.json."""
    with atomic_path(run / "status.json") as partial:
        partial.write_text(json.dumps(status, indent=2) + "\n")


def stop(run: Path, overrides: list[str], state: str, error: BaseException) -> None:
    """Writes how a run stands that could not begin, or not go on, and why."""
    with suppress(OSError):
        write(run, begun(overrides) | {"state": state, "reason": in_a_line(error), "ended": now()})


def in_a_line(error: BaseException) -> str:
    """An error in one line, with its type where it is not one of ours."""
    words = str(error).strip().splitlines()[:1]
    return " ".join(words) if isinstance(error, UserError) else ": ".join([type(error).__name__, *words])


def alive(pid: int) -> bool:
    """Whether there is such a process on this host, and no zombie: one that has ended, and nobody asked how."""
    with suppress(OSError, IndexError):  # no Linux, or no such process
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def gone(status: dict[str, Any]) -> bool:
    """Whether the process of a run that says it runs has ended, as far as can be told on this machine."""
    pid = status.get("pid")
    if status.get("host") != socket.gethostname() or not isinstance(pid, int) or not 0 < pid < 2**31:
        return False
    if not alive(pid):
        return True
    try:
        return began(pid) > datetime.fromisoformat(status["started"]).timestamp() + 5  # its number is another one's now
    except (OSError, ValueError, KeyError, TypeError, IndexError):  # no Linux, or no time given
        return False


def began(pid: int) -> float:
    """When a process began, seconds since 1970, from Linux's /proc."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    boot = re.search(r"btime (\d+)", Path("/proc/stat").read_text())
    return int(boot[1]) + ticks / os.sysconf("SC_CLK_TCK")


def divergence(epochs: list[dict[str, float]]) -> str | None:
    """How a training ended worse than it began, by the validation loss in metrics.csv's rows; None if it didn't."""
    losses = [row["val/loss"] for row in epochs if "val/loss" in row]
    if losses and not math.isfinite(losses[-1]):
        return f"the last validation loss is {losses[-1]}"
    if len(losses) > 1 and epochs[0].get("epoch") == 0 and losses[-1] > losses[0]:
        return f"the last validation loss, {losses[-1]:.2f}, is above the untrained model's, {losses[0]:.2f}"
    return None


def warnings(epochs: list[dict[str, float]], metrics: dict[str, Any]) -> list[str]:
    """What is wrong with a training that came to its end without an error, a line each, by the rows of metrics.csv and
    metrics.json: a collapsed code, a model no better than the mean image, a loss that did not improve."""
    metrics = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    trained = [row for row in epochs if row.get("epoch", 0) > 0 and "val/loss" in row]
    # over a single validation image no code varies
    is_single = bool(trained) and "train/elbo_se" in trained[-1] and "val/elbo_se" not in trained[-1]
    collapsed = None if is_single else collapse(trained, metrics)
    found = [collapsed, no_better(metrics), no_improvement(epochs, trained)]
    infinite = [name for name in ("test/loss", "test/recon", "test/kl") if not math.isfinite(metrics.get(name, 0))]
    found += [f"{', '.join(infinite)}: no finite number"] if infinite else []
    return [line for line in found if line]


def collapse(trained: list[dict[str, float]], metrics: dict[str, Any]) -> str | None:
    """That the code says nothing of the image, in the checkpoint that was tested or after the last epoch."""
    remedy = "a smaller beta or optimizer.lr, or schedule=linear, may help"
    if metrics.get("val/active_units") == 0:
        cost = f" (KL {metrics['val/kl']:.2f} nats)" if "val/kl" in metrics else ""
        return f"no latent dimension is active{cost}, the code says nothing of the image: {remedy}"
    if (gain := metrics.get("val/code_gain", math.inf)) < LEAST_GAIN:
        return f"the decoder ignores the code, which is worth {gain:.2f} nats to its image: {remedy}"
    if trained and trained[-1].get("val/active_units") == 0:
        best = min(trained, key=lambda row: row["val/loss"])["epoch"]
        return (
            f"no latent dimension is active after the last epoch (the best checkpoint is of epoch {best:.0f}): {remedy}"
        )
    return None


def no_better(metrics: dict[str, Any]) -> str | None:
    """That the model is no better than the mean of the training images, the same for every image."""
    costs, mean = [metrics.get("val/loss", math.nan), -metrics.get("val/elbo", math.nan)], metrics.get("val/mean_image")
    if mean is not None and min(costs) >= LEVEL * mean:
        return f"the validation loss, {min(costs):.2f} nats, is no better than the training images' mean, {mean:.2f}"
    if metrics.get("val/unexplained", 0) >= LEVEL:
        return "the reconstructions are no nearer to the images than the training images' mean is"
    return None


def no_improvement(epochs: list[dict[str, float]], trained: list[dict[str, float]]) -> str | None:
    """That the validation loss was never below the untrained model's, or not after the first epoch."""
    losses = [row["val/loss"] for row in trained]
    if not losses:
        return None
    before = epochs[0].get("val/loss", math.inf) if epochs[0].get("epoch") == 0 else math.inf
    if min(losses) >= before:
        return f"the validation loss was never below the untrained model's, {before:.2f}"
    if len(losses) > 1 and min(losses[1:]) >= losses[0]:
        return f"the validation loss was best after the first of {len(losses)} epochs"
    return None


def now() -> str:
    """The time, ISO 8601 with its zone."""
    return datetime.now().astimezone().isoformat()
