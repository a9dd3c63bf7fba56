"""Trainings in copies of this process that kill themselves at a chosen moment, as a lack of power would."""

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any


def kill_at(action: Callable[[], Any], event: str, name: str, count: int = 1) -> None:
    """Do `action` in a copy of this process, which SIGKILL ends just before the `count`th `event`.

    event: `os.rename`, of a file to a path that ends in `name`; or `call`, of the function `name`
    """
    pid = os.fork()
    if not pid:
        try:
            count_down(event, name, count)
            action()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert ended == -signal.SIGKILL, f"ended with {ended}, before {event} of {name}"


def count_down(event: str, name: str, count: int) -> None:
    """Have SIGKILL end this process at the `count`th event."""
    left = [count]

    def kill(*_: Any) -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    if event == "call":
        module, _, function = name.rpartition(".")
        setattr(importlib.import_module(module), function, kill)
    else:
        # an audit hook sees a rename before it is done
        sys.addaudithook(lambda what, paths: what == event and str(paths[1]).endswith(name) and kill())


def kill_at_change(action: Callable[[], Any], count: int) -> bool:
    """Do `action` in a copy of this process, which SIGKILL ends just before the `count`th change of a folder.

    Returns:
        Whether it came to that change.
    """
    changes = ("os.rename", "os.remove", "os.rmdir", "os.utime")
    pid = os.fork()
    if not pid:
        left = [count]

        def kill(event: str, _: Any) -> None:
            left[0] -= event in changes
            if event in changes and not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
        try:
            action()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
