"""Locks that end with the process that holds them, and whether a process is still there."""

import errno
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from src.support.errors import UserError

log = logging.getLogger(__name__)
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # the errors of file systems that have no locks


@contextmanager
def lock(path: Path, refusal: str, patience: float = 0) -> Iterator[None]:
    """Hold the lock of a file, which the operating system gives up when this process ends, however it ends.

    A thread that holds the lock may take it again. A child of this process does not hold it: filelock closes the
    descriptor in the child of a fork. The file names the holder, and is removed with the lock; of a file system that
    has no locks, there is a warning.

    Args:
        path: the file, in a folder that exists
        refusal: the message of the UserError that is raised where another process holds the lock; it ends with the
            process and its host
        patience: seconds to wait for that process before the error is raised
    """
    from filelock import FileLock, Timeout  # imports asyncio, which takes some 25 ms

    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UserError(f"{path} must be a file of its own, and is none: remove it")
    file = FileLock(path.absolute(), is_singleton=True, on_acquired=write_holder)
    try:
        file.acquire(timeout=patience, poll_interval=0.1)
    except Timeout:
        raise UserError(refusal + holder(path)) from None
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        log.warning("%s: this file system has no locks, so start nothing else in this folder", path)
        yield
        return
    ours = path.stat()
    try:
        yield
    finally:
        # a process that waits for the lock notices that the file is gone, and makes it
        if file.lock_counter == 1 and is_file(path, ours):
            with suppress(OSError):  # a file without a holder locks nobody out
                path.unlink()
        file.release()


def is_file(path: Path, known: os.stat_result) -> bool:
    """Whether a path still leads to a file of that description: its folder may have been renamed, and made anew."""
    try:
        return os.path.samestat(path.stat(), known)
    except OSError:
        return False


def write_holder(descriptor: int) -> None:
    """Write to a lock's file which process holds it."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)


def holder(path: Path) -> str:
    """The process that holds the lock of a file, in parentheses; nothing where the file does not say it."""
    with suppress(OSError, ValueError):
        text = path.read_text().strip()
        if re.fullmatch(r"process \d+ on \S+", text):
            return f" ({text})"
    return ""


def is_alive(pid: int) -> bool:
    """Whether a process with this PID exists on this host and is no zombie."""
    with suppress(OSError, IndexError):  # not on Linux, or no such process
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def start_time(pid: int) -> float:
    """The time at which a process started, in seconds since 1970, from Linux's /proc."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    boot = re.search(r"btime (\d+)", Path("/proc/stat").read_text())
    return int(boot[1]) + ticks / os.sysconf("SC_CLK_TCK")


def is_of_living_process(path: Path, pid: int) -> bool:
    """Whether a file may still be written by the process `pid` of this host.

    It may not where the process has ended, or began after the file was last written: then it has reused the PID.
    """
    if not is_alive(pid):
        return False
    with suppress(OSError, ValueError, TypeError, IndexError):  # the file is gone, or this is not Linux
        return path.lstat().st_mtime >= start_time(pid) - 1
    return True
