"""The removal of a run's folder: what may be removed, and how, so that nothing else is touched and a kill is no harm.

The folder is renamed first, to the name of a temporary file, so that it is a run no longer; its status.json goes last,
so that what a kill leaves is recognised.
"""

import os
import shutil
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from src.run import status
from src.run.contents import measure
from src.run.status import State
from src.support.errors import UserError, describe_os_error
from src.support.files import PARTIAL
from src.support.folders import RunFolder
from src.support.locks import is_of_living_process, lock


@contextmanager
def reserve(folder: Path, root: Path, hosts: Collection[str]) -> Iterator[None]:
    """Hold the lock of a run's folder that may be removed. Raises UserError with the reason why it may not."""
    check(folder, root, hosts)
    with lock(RunFolder(folder).lock, f"{relative(folder)} is locked by another process"):
        check(folder, root, hosts)  # it may have been started while its size was shown
        yield


def check(folder: Path, root: Path, hosts: Collection[str] = ()) -> None:
    """Raise UserError unless a run's folder may be removed.

    Args:
        folder: it must be below `root`, be no link and be reached by none, and hold the status of a run that has ended
        root: the folder of all that this program has written
        hosts: the names of other machines whose runs may be removed
    """
    check_place(folder, root)
    name = relative(folder)
    check_status(folder, hosts)
    contents = measure(folder)
    if contents.runs:
        raise UserError(f"{name} holds another run, {relative(contents.runs[0])}: move or delete that first")
    if contents.in_use:
        pid = contents.in_use[0].name.split(".")[1]
        raise UserError(f"{name} is in use: process {pid} is writing {relative(contents.in_use[0])}")
    if contents.foreign:
        raise UserError(f"{name} holds a folder of another file system, {relative(contents.foreign[0])}: unmount it")


def check_place(folder: Path, root: Path) -> None:
    """Raise UserError unless a folder is below `root`, and neither a link nor reached by one."""
    path, base, name = folder.absolute(), root.absolute(), relative(folder)
    if path == base or not path.is_relative_to(base) or ".." in path.parts:
        raise UserError(f"{name} is not below {relative(root)}, and only runs there are deleted")
    for each in (path, *path.parents):
        if each == base:
            break
        if each.is_symlink():
            raise UserError(f"{name}: {relative(each)} is a link, and no links are followed: delete it where it is")
    if not path.is_dir():
        raise UserError(f"{name}: there is no such folder")


def check_status(folder: Path, hosts: Collection[str]) -> None:
    """Raise UserError unless a folder holds the status of a run that has ended, on this host or on one of `hosts`."""
    file, name = RunFolder(folder).status, relative(folder)
    record = {} if file.is_symlink() else status.read(folder)
    if "state" not in record:
        raise UserError(f"{name} has no {file.name} of this program, so it may be anything: delete it yourself")
    if record["state"] == State.RUNNING:
        raise UserError(f"{name} is running")
    host = record.get("host")
    if host not in (socket.gethostname(), *hosts):
        remedy = f"; if nothing trains it there, --host {host} deletes it" if host else ""
        raise UserError(f"{name} was trained on another host, {host or 'which its status does not name'}{remedy}")


def remove(folder: Path) -> list[str]:
    """Remove a run's folder that is reserved; what could not be removed, a line each, with the reasons."""
    hidden = folder.with_name(f".{os.getpid()}.{folder.name}")
    folder.rename(hidden)
    os.utime(hidden)  # it is this process's now, and no rest of one that had its PID
    return remove_rest(hidden)


def remove_rest(hidden: Path) -> list[str]:
    """Remove a folder that was renamed for that, its status last; what could not be removed, with the reasons."""
    last = RunFolder(hidden).status
    try:
        problems = [problem for path in [*hidden.iterdir()] if path != last and (problem := problem_of_removal(path))]
        if not problems:
            last.unlink(missing_ok=True)
            hidden.rmdir()
    except OSError as error:
        return [describe_os_error(error, hidden)]
    return problems


def problem_of_removal(path: Path) -> str | None:
    """Remove a file, link or folder; None, or why not all of it could be removed."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:  # another process removes it, too
        return None
    except OSError as error:
        return f"{relative(path)}: {describe_os_error(error)}"
    except RecursionError:  # Python 3.11 and 3.12 remove folders in recursion
        return f"{relative(path)} holds too many folders in one another: rm -r removes it"
    return None


def is_rest(folder: Path) -> bool:
    """Whether a partial folder was left by a removal that was killed, or could not remove everything."""
    named = PARTIAL.match(folder.name)
    if not named or folder.is_symlink() or is_of_living_process(folder, int(named[1])):
        return False
    try:
        is_empty = not any(folder.iterdir())
    except OSError:
        return False
    is_linked = RunFolder(folder).status.is_symlink()
    return is_empty or (not is_linked and status.read(folder).get("state", State.RUNNING) != State.RUNNING)


def relative(path: Path) -> str:
    """A path as seen from the working directory."""
    return os.path.relpath(path)
