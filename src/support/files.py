"""Files that are written completely or not at all, and the program's cache folder."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.support.locks import is_of_living_process


def cache_folder() -> Path:
    """This program's folder in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vae-lab"


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
    """Remove what killed processes left in a folder and its subfolders: the temporary files of `atomic_path`, and the
    folders of results that are named likewise. What a process is writing now stays."""
    for path in [*folder.rglob(".*.*")]:
        named = re.match(r"\.(\d+)\.", path.name)
        if not named or is_of_living_process(path, int(named[1])):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
