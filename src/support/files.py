"""Files that are written completely or not at all, and the program's cache folder."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = re.compile(r"\.\d+\.")  # how the names of temporary files begin


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
    """Remove the temporary files of `atomic_path` that killed processes left in a folder and its subfolders."""
    for path in folder.rglob(".*.*"):
        if PARTIAL.match(path.name) and path.is_file():
            path.unlink(missing_ok=True)
