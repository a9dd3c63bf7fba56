"""Processes that run command lines, and how each of them ends."""

import importlib
import io
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple, NoReturn

from hydra.core.global_hydra import GlobalHydra

from src.support.errors import DivergedError
from tests.helpers.option_values import Case
from tests.helpers.project import ROOT

COMMAND = """
import atexit, pathlib, sys
name = sys.argv.pop(1)
atexit.register(lambda: "torch" in sys.modules and pathlib.Path("../heavy").touch())
from importlib import import_module
sys.exit(import_module(f"src.{name}").main())
"""


class Outcome(NamedTuple):
    """The end of a command: what it said, what it left, and whether it had imported PyTorch by then."""

    code: int
    output: str
    errors: str
    left: list[str]
    heavy: bool
    seconds: float


def run_case(made: Case, folder: Path, imports: bool, memory: int = 6 * 2**30, patience: int = 300) -> Outcome:
    """Run a command line in a process of its own, in an empty folder, with a limit of memory and of time.

    imports: whether the process begins with an interpreter of its own, otherwise it is a fork of this one
    """
    home = folder / "home"
    home.mkdir(parents=True)
    deadline = time.monotonic() + patience
    child = os.fork()
    if child == 0:
        become_command(made, home, imports, memory)
    while not (ended := os.wait4(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    _, status, usage = ended
    said = [(folder / name).read_text(errors="replace") for name in ("out", "err")]
    left = sorted(str(path.relative_to(home)) for path in home.rglob("*"))
    seconds = usage.ru_utime + usage.ru_stime
    return Outcome(os.waitstatus_to_exitcode(status), *said, left, (folder / "heavy").exists(), seconds)


def become_command(made: Case, home: Path, imports: bool, memory: int) -> NoReturn:
    """Run the command line in this process, a child, and end it."""
    code = 1
    try:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(home.parent / name, os.O_WRONLY | os.O_CREAT), number)
        if not imports:  # beyond what this process has inherited
            memory += int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        os.chdir(home)
        if imports:
            os.environ |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
            words = [os.fsencode(word) for word in (sys.executable, "-c", COMMAND, made.command, *made.arguments)]
            os.execv(sys.executable, words)
        code = call_command(made)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def call_command(made: Case) -> int:
    """Call the command's `main` as the interpreter does, and return the exit code."""
    sys.argv = [f"{made.command}.py", *made.arguments]
    sys.stdout, sys.stderr = (stream(number) for number in (1, 2))
    GlobalHydra.instance().clear()
    try:
        return importlib.import_module(f"src.{made.command}").main() or 0
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception:
        traceback.print_exc()
        return 1


def problems(made: Case, end: Outcome) -> list[str]:
    """What is wrong with the end of a command: a traceback, several lines, files that are left, no end."""
    found = [] if end.code >= 0 else [f"killed by signal {-end.code}"]
    if "Traceback" in end.errors + end.output or "mistake of the program" in end.errors:
        found.append("traceback")
    if any(Path(path).name == "hacked" for path in end.left):
        found.append("the shell's characters were executed")
    if end.code == 0 or (end.code == DivergedError.exit_code and "diverged" in end.output):
        return found
    lines = [line for line in end.errors.splitlines() if line.strip()]
    if made.command != "report" and len(lines) != 1:
        found.append(f"{len(lines)} lines of errors")
    if not end.heavy and end.left and not any(path.startswith("outputs/") for path in end.left):
        found.append(f"left {end.left[:3]}")
    return found


def stream(number: int) -> io.TextIOWrapper:
    """A text file on a descriptor."""
    return io.TextIOWrapper(io.FileIO(number, "w"), errors="backslashreplace", line_buffering=True)
