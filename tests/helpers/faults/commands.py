"""Commands of this project in processes of their own, in which an operation on a file fails or ends the process."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple, TypeVar

import pytest

from tests.helpers.project import ROOT

T = TypeVar("T")
KILL, KILL_WITHIN = -1, -2  # as in operations.c
ERRORS = {
    "open": errno.EACCES,
    "read": errno.EIO,
    "write": errno.ENOSPC,
    "truncate": errno.EIO,
    "fsync": errno.EIO,
    "rename": errno.EIO,
    "remove": errno.EACCES,
    "mkdir": errno.ENOSPC,
    "symlink": errno.EACCES,
}  # for each operation, an error that it has in practice
PATIENCE = 300  # seconds after which a command that has not ended is killed, and the test fails


class Operation(NamedTuple):
    """An operation on a file: its number from 1, its kind (a key of ERRORS), and the path."""

    number: int
    kind: str
    path: Path


@dataclass(frozen=True)
class Fault:
    """A failure of the `at`-th operation below a folder; at=0 fails nothing, and the operations are recorded.

    failure: KILL ends the process before the operation, KILL_WITHIN after half of a write; otherwise an errno
    """

    folder: Path
    at: int = 0
    failure: int = KILL


class Outcome(NamedTuple):
    """The exit code of a command (-N: killed by signal N), what it printed, and the operations below the folder."""

    code: int
    console: str
    operations: list[Operation]


def compile_library(folder: Path) -> Path:
    """Compile operations.c. Skips the test where that is impossible."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("faults are injected by a library that is preloaded: needs Linux and a C compiler, `cc`")
    library = folder / "operations.so"
    source = ROOT / "tests" / "helpers" / "faults" / "operations.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


class Zygote:
    """Runs commands in forks of one process that has imported all libraries. One thread uses it at a time."""

    def __init__(self, scratch: Path):
        self.scratch = scratch
        environment = os.environ | {
            "LD_PRELOAD": str(compile_library(scratch)),
            "PYTHONUNBUFFERED": "1",
            **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")},
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.faults.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        assert self.answer() == "ready"

    def answer(self) -> Any:
        """The answer to the last request."""
        line = self.process.stdout.readline()
        assert line, f"the zygote has ended: {self.process.wait(10)}"
        return json.loads(line)

    def ask(self, **request: Any) -> Any:
        """Make a request and return the answer."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def start(self, command: Sequence[str], folder: Path, fault: Fault | None = None, **environment: str) -> "Running":
        """Start `python -m src.COMMAND ...` in a folder, with these variables in its environment."""
        number = len(list(self.scratch.glob("*.console")))
        files = self.scratch / f"{number}.console", self.scratch / f"{number}.record"
        for file in files:
            file.touch()
        own = fault and {"folder": str(fault.folder.resolve()), "at": fault.at, "failure": fault.failure}
        pid = self.ask(
            command=list(command),
            folder=str(folder),
            environment=environment,
            console=str(files[0]),
            fault=own and own | {"record": str(files[1])},
        )
        return Running(self, pid, *files)

    def run(self, command: Sequence[str], folder: Path, fault: Fault | None = None) -> Outcome:
        """Run `python -m src.COMMAND ...` in a folder to its end."""
        return self.start(command, folder, fault).wait()

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


class Running:
    """A command that was started."""

    def __init__(self, zygote: Zygote, pid: int, console: Path, record: Path):
        self.zygote, self.pid, self.console, self.record = zygote, pid, console, record

    def signal(self, number: int, *children: int) -> None:
        """Send a signal to the process, or to children of it, unless they have ended."""
        for pid in children or (self.pid,):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def children(self) -> list[int]:
        """The processes that it has started and that have not ended."""
        with suppress(OSError):
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        return []

    def wait(self) -> Outcome:
        """Wait for the end of the process; it is killed after PATIENCE seconds, which fails the test."""
        expired = threading.Event()
        killer = threading.Timer(PATIENCE, lambda: (expired.set(), os.killpg(self.pid, signal.SIGKILL)))
        killer.start()
        try:
            code = self.zygote.ask(wait=self.pid)
        finally:
            killer.cancel()
        console = self.console.read_text(errors="replace")
        assert not expired.is_set(), console
        operations = [line.split(" ", 2) for line in self.record.read_text().splitlines()]
        return Outcome(code, console, [Operation(int(number), kind, Path(path)) for number, kind, path in operations])


def run_all(zygotes: Sequence[Zygote], jobs: Sequence[Callable[[Zygote], T]]) -> Iterator[T]:
    """Do the jobs, as many at a time as there are zygotes, and yield what they return, in their order."""
    free: Queue[Zygote] = Queue()
    for each in zygotes:
        free.put(each)

    def do(job: Callable[[Zygote], T]) -> T:
        own = free.get()
        try:
            return job(own)
        finally:
            free.put(own)

    with ThreadPoolExecutor(len(zygotes)) as executor:
        yield from executor.map(do, jobs)


@contextmanager
def zygote() -> Iterator[Zygote]:
    """A zygote, with a temporary folder for what its commands print."""
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        running = Zygote(Path(scratch))
        try:
            yield running
        finally:
            running.close()
