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

from src.errors import DivergedError, UserError
from src.files import whole


@contextmanager
def kept(run: Path, overrides: list[str]) -> Iterator[dict[str, Any]]:
    """Keeps RUN/status.json while a run is trained: `state` running, then finished, failed, diverged or interrupted (or
    pruned, in a search), with its `reason` in one line, `started` and `ended`, `host`, `pid` and `overrides`. What is
    yielded may get another ending."""
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
    with whole(run / "status.json") as partial:
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


def now() -> str:
    """The time, ISO 8601 with its zone."""
    return datetime.now().astimezone().isoformat()
