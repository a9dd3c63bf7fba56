"""Files that are written completely or not at all, and the program's cache folder."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


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
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with its suffix, to write to; it replaces `path` unless an exception is
    raised, and is removed then."""
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Remove the temporary files of `atomic_path` that killed processes left in a folder and its subfolders."""
    for path in folder.rglob(".*.*"):
        if re.match(r"\.\d+\.", path.name) and path.is_file():
            path.unlink(missing_ok=True)
