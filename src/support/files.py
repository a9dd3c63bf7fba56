"""Files that are written completely or not at all, and the program's cache folder."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from src.support.locks import is_of_living_process

PARTIAL = re.compile(r"\.(\d+)\.")  # how the names of temporary files begin


def cache_folder() -> Path:
    """This program's folder in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vae-lab"


def write_to_cache(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` write a file of the cache, completely or not at all.

    What killed processes have left there of this file is removed. A file that can't be written, for lack of a folder or
    of space, is no error: it is made anew the next time.
    """
    with suppress(OSError, RuntimeError):  # RuntimeError is torch's for a full disk
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".*.{path.name}"):
            leftover.unlink(missing_ok=True)
        with atomic_path(path) as partial:
            write(partial)


@contextmanager
def atomic_path(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with its suffix, to write to; it replaces `path` unless an exception is
    raised, and is removed then.

    durable: write the content to the disk before the file is replaced, and the replacement before this returns, so that
        the file is complete after a power failure too; for what a resume or a sweep depends on
    """
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield partial
        if durable:
            synchronise(partial, os.O_RDWR, path)
        partial.replace(path)
        if durable and os.name == "posix":  # Windows opens no folders
            synchronise(path.parent, os.O_RDONLY, path)
    finally:
        with suppress(OSError):  # there is nothing left of it after a success, and the next start of the run removes it
            partial.unlink(missing_ok=True)


def synchronise(path: Path, access: int, name: Path) -> None:
    """Have the operating system write a file, or the entries of a folder, to the disk.

    Raises OSError with the `name` that the user knows; the system's own error of this operation names no file.
    """
    try:
        descriptor = os.open(path, access)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(name)) from None


def remove_partial_files(folder: Path) -> None:
    """Remove what killed processes left in a folder and its subfolders: the temporary files of `atomic_path`, and the
    folders of results that are named likewise. What a process is writing now stays."""
    for path in [*folder.rglob(".*.*")]:
        named = PARTIAL.match(path.name)
        if not named or is_of_living_process(path, int(named[1])):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
