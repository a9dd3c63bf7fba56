"""Commands in processes of their own, which are stopped, killed, or started twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.helpers.project import ROOT

# a shell's background job ignores Ctrl-C, and so would its children
heed_interrupts = partial(signal.signal, signal.SIGINT, signal.default_int_handler)


def start(module: str, *options: str, folder: Path, **environment: str) -> subprocess.Popen:
    """python -m src.MODULE with these options in `folder`; what it says is in the file `log` there."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"} | environment
    command = [sys.executable, "-m", f"src.{module}", *options]
    with (folder / "log").open("a") as log:
        return subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, preexec_fn=heed_interrupts)


def wait_until(condition: Callable[[], object], process: subprocess.Popen, log: Path) -> None:
    """Wait until a condition holds while a process runs; fail where the process ends before."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def contents(folder: Path) -> dict[str, bytes]:
    """The content of each file in a folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
