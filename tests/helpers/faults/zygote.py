"""A process that has imported all libraries and runs each command in a fork of itself, at a fraction of the time.

Started as a program by `commands.Zygote`. It reads requests from standard input, one JSON object a line, and answers
each in one line on standard output.
"""

import ctypes
import gc
import json
import os
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

COMMANDS = ("train", "search", "apply")
LIBRARIES = (
    *("callbacks.pictures", "callbacks.progress", "callbacks.recorder", "openTSNE", "optuna"),
    *(f"src.figures.{name}" for name in ("animation", "curves", "embedding", "grids", "latent", "page")),
    *("src.run.loggers", "src.run.tracking", "src.sweeps.study", "src.sweeps.trials", "src.sweeps.pictures"),
)


def main() -> None:
    """Answer requests until standard input ends."""
    from src.startup import import_libraries

    for name in (*(f"src.{command}" for command in COMMANDS), *LIBRARIES):
        import_module(name)
    import_libraries(with_wandb=False)
    gc.freeze()
    if threading.active_count() > 1:
        raise AssertionError(f"a fork would wait for the threads {threading.enumerate()}")
    answer("ready")
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]))
        elif child := os.fork():
            answer(child)
        else:
            run_command(request)


def answer(value: Any) -> None:
    """Answer a request."""
    print(json.dumps(value), flush=True)


def run_command(request: dict[str, Any]) -> NoReturn:
    """Run `python -m src.COMMAND` in this fork as the request says; the interpreter ends as usual."""
    from src.support.signals import run_program

    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell runs in the background
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    console = os.open(request["console"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(console, 1)
    os.dup2(console, 2)
    os.chdir(request["folder"])
    os.environ |= request["environment"]
    command, *sys.argv[1:] = request["command"]
    sys.argv[0] = str(Path.cwd() / f"{command}.py")
    if fault := request["fault"]:
        record = os.open(fault["record"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if ctypes.CDLL(None).faults_arm(fault["folder"].encode(), fault["at"], fault["failure"], record):
            raise AssertionError("the faults can't be armed")
    sys.exit(run_program(sys.modules[f"src.{command}"].main))


if __name__ == "__main__":
    main()
