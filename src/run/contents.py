"""What a run's folder holds, without opening any file: its size, and what speaks against removing it."""

import os
from pathlib import Path
from typing import NamedTuple

from src.support.errors import describe_os_error
from src.support.files import PARTIAL
from src.support.folders import EXAMPLE
from src.support.locks import is_of_living_process

STATUS = EXAMPLE.status.name


class Contents(NamedTuple):
    """What a run's folder and the folders in it hold; links are not followed.

    size: the bytes of all files
    changed: when one of them was last changed, in seconds since 1970; 0 without a file
    runs: folders of other runs
    in_use: temporary files and folders of processes that still live, such as a task that is being done
    foreign: folders of other file systems, which are mounted there
    unreadable: folders that can't be read, each with the reason
    """

    size: int
    changed: float
    runs: list[Path]
    in_use: list[Path]
    foreign: list[Path]
    unreadable: list[str]


def measure(folder: Path) -> Contents:
    """What a run's folder holds."""
    size, changed, runs, in_use, foreign, unreadable = 0, 0.0, [], [], [], []
    device, left = None, [str(folder)]
    while left:
        inner = left.pop()
        try:
            device = device or os.lstat(inner).st_dev
            with os.scandir(inner) as entries:
                for entry in entries:
                    info = entry.stat(follow_symlinks=False)
                    if (named := PARTIAL.match(entry.name)) and is_of_living_process(Path(entry.path), int(named[1])):
                        in_use.append(Path(entry.path))
                    if not entry.is_dir(follow_symlinks=False):
                        size, changed = size + info.st_size, max(changed, info.st_mtime)
                        if entry.name == STATUS and inner != str(folder):
                            runs.append(Path(inner))
                    elif info.st_dev != device:
                        foreign.append(Path(entry.path))
                    else:
                        left.append(entry.path)
        except OSError as error:
            unreadable.append(describe_os_error(error, inner))
    return Contents(size, changed, runs, in_use, foreign, unreadable)
