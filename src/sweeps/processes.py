"""Work in a process of its own, and locks that no process leaves behind."""

import fcntl
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

log = logging.getLogger(__name__)
HELD: dict[Path, int] = {}


def lock(path: Path, patience: float = 0) -> bool:
    """Locks a file until `unlock` or this process's end; False where another holds it for longer than `patience`, s."""
    handle, until = os.open(path, os.O_CREAT | os.O_RDWR, 0o644), time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                os.close(handle)
                return False
            time.sleep(0.1)
        else:
            HELD[path] = handle
            return True


def unlock(path: Path) -> None:
    """Gives a file up that `lock` locked."""
    os.close(HELD.pop(path))


@functools.cache
def end_with(parent: int) -> None:
    """Has this process killed when its parent, the process `parent`, is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def apart(work: Callable[[], object], words: Path | None = None) -> int:
    """Works in a copy of this process, so that nothing that ends it ends this one; 0 where all went well.

    The copy has the modules of this process, which must not have computed yet: threads and CUDA do not come along.
    Ctrl-C stops the copy before this process. words: a file for what it would say on the console
    """
    parent, copy = os.getpid(), os.fork()
    if copy == 0:
        within(work, parent, words)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
    except BaseException:
        os.kill(copy, signal.SIGINT)
        os.waitpid(copy, 0)
        raise


def within(work: Callable[[], object], parent: int, words: Path | None) -> NoReturn:
    """What the copy does: works, says what went wrong, and ends."""
    code = 1
    try:
        os.setpgid(0, 0)  # the terminal's Ctrl-C is for the parent, which passes it on
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for number in (signal.SIGUSR1, signal.SIGUSR2):  # SLURM's, which the parent answers
            signal.signal(number, signal.SIG_IGN)
        for path in list(HELD):
            unlock(path)
        tqdm.set_lock(threading.RLock())  # its own: a copy that is killed would keep one that all have in common
        end_with(parent)
        if words is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(os.open(words, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), 2)
        work()
        code = 0
    except UserError as error:
        log.error("%s", error)
    except Exception:
        log.exception("this is a mistake of the program")
    finally:
        try:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:  # even where nobody reads what it says, or its disk is full: it must not go on as its parent
            os._exit(code)
