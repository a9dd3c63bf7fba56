"""Work in a child process."""

import functools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from src.support.errors import UserError
from src.support.signals import StopSignal, stop_on_signals

log = logging.getLogger(__name__)


@functools.cache
def die_with_parent(parent: int) -> None:
    """Have this process killed within half a second after its parent, the process `parent`, has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def run_in_child(work: Callable[[], object], console: Path | None = None) -> int:
    """Run a function in a fork of this process, so that nothing that ends the fork ends this process.

    The child has all modules that this process has imported. This process must not have computed yet, because neither
    the threads of PyTorch nor CUDA survive a fork. A signal ends the child before this process, as it would end a
    command.

    Args:
        work: the function
        console: a file for the child's standard error; its standard output is then dropped

    Returns:
        The exit code of the child: 0 where all went well, 128 + N where it ended its work because of signal N, -N where
        signal N killed it.
    """
    parent, child = os.getpid(), os.fork()
    if child == 0:
        _child_main(work, parent, console)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except BaseException:
        os.kill(child, signal.SIGTERM)  # not SIGINT, of which a run that draws its last figures ends the drawing alone
        os.waitpid(child, 0)
        raise


def _child_main(work: Callable[[], object], parent: int, console: Path | None) -> NoReturn:
    """Run the child's work, log what went wrong, and end the child."""
    code = 1
    try:
        os.setpgid(0, 0)  # the terminal sends Ctrl-C to the parent alone, which passes it on
        for number in (signal.SIGINT, signal.SIGTERM):  # even where the parent ignores them
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGUSR1, signal.SIGUSR2):  # SLURM's signals, which the parent answers
            signal.signal(number, signal.SIG_IGN)
        # the lock of the parent's progress bars is shared by its forks: a killed child would keep it for ever
        tqdm.set_lock(threading.RLock())
        die_with_parent(parent)
        if console is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(os.open(console, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), 2)
        with stop_on_signals():
            work()
        code = 0
    except StopSignal as stop:
        code = stop.code
    except UserError as error:
        log.error("%s", error)
    except Exception:
        log.exception("this is a mistake of the program")
    finally:
        try:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            # the child must not go on as its parent, even where its output is closed or the disk is full
            os._exit(code)
