"""Downloads of the official files from torchvision's mirrors: all of them, verified, or nothing."""

import gzip
import shutil
import socket
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from src.support.errors import one_line

PATIENCE = 20.0  # seconds without a new byte after which a download fails; half of it for each server
LEFTOVER = 600.0  # seconds without a change after which a download is no longer going on
PACKED = (".gz", ".zip")
PREFIX = ".download-"  # of the temporary folders
UNREADABLE = (OSError, EOFError, zlib.error, ValueError)  # what gzip and the parsers raise for a damaged file


class Address(NamedTuple):
    """The mirrors that have a file, and its MD5."""

    urls: list[str]
    md5: str


def download(dataset: str, files: list[str], raw: Path, verify: Callable[[str, Path], object]) -> None:
    """Download `files` of a data set to `raw`. Raises OSError, and leaves no file there, unless all are verified.

    dataset: torchvision's name of it
    files: as they are stored; a file that was published as .gz is unpacked, unless its name says .gz
    verify: called with the name of each file and its path; raises one of UNREADABLE where it is another file
    """
    try:
        parent = next(folder for folder in (raw, *raw.parents) if folder.exists())
        remove_leftovers(parent)
        with TemporaryDirectory(prefix=PREFIX, dir=parent, ignore_cleanup_errors=True) as temporary:
            print(f"Downloading {dataset} ({', '.join(files)}) to {raw}", flush=True)
            folder = Path(temporary)
            packed = {file: file if file.endswith(PACKED) else f"{file}.gz" for file in files}
            fetch(dataset, list(packed.values()), folder)
            for file in files:
                if packed[file] != file:
                    (folder / file).write_bytes(gzip.decompress((folder / packed[file]).read_bytes()))
                verify(file, folder / file)
            raw.mkdir(parents=True, exist_ok=True)
            for file in files:
                (folder / file).replace(raw / file)
    except UNREADABLE as error:
        raise OSError(f"{raw} lacks {', '.join(files)}; the download failed ({one_line(error)})") from error


def remove_leftovers(folder: Path) -> None:
    """Remove the folders of downloads whose processes were killed: one that goes on has changed its folder lately."""
    for leftover in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - max(path.stat().st_mtime for path in (leftover, *leftover.iterdir())) > LEFTOVER:
                shutil.rmtree(leftover)


def addresses(dataset: str) -> dict[str, Address]:
    """Where torchvision finds the files of a data set, as they were published, by their names."""
    from torchvision import datasets

    source = getattr(datasets, dataset)
    if dataset == "EMNIST":
        files = [(source.url, source.md5)]
    elif dataset == "QMNIST":
        files = [file for part in source.resources.values() for file in part]
    else:
        return {name: Address([f"{mirror}{name}" for mirror in source.mirrors], md5) for name, md5 in source.resources}
    return {url.rpartition("/")[2]: Address([url], md5) for url, md5 in files}


def fetch(dataset: str, files: list[str], folder: Path) -> None:
    """Download `files`, as published, from torchvision's mirrors. Raises OSError where all fail, or no bytes arrive.

    It runs in a thread because a name lookup, or trying each address of a host, takes longer than any timeout.
    """
    from torchvision.datasets.utils import download_url  # takes seconds to import, and only a download needs it

    places = addresses(dataset)
    failures: list[str] = []
    complete, given_up = threading.Event(), threading.Event()

    def from_mirror(url: str, file: str) -> bool:
        try:
            if not given_up.is_set():
                download_url(url, folder, md5=places[file].md5)
                return True
        except Exception as error:  # RuntimeError, URLError, TimeoutError, HTTPException, ...
            failures.append(f"{url}: {one_line(error)}")
        return False

    def download() -> None:
        if all(any(from_mirror(url, file) for url in places[file].urls) for file in files):
            complete.set()

    worker = threading.Thread(target=download, daemon=True)
    default, received, quiet = socket.getdefaulttimeout(), 0, 0.0
    # torchvision sets no timeout; half of PATIENCE leaves time to try the next mirror
    socket.setdefaulttimeout(PATIENCE / 2)
    try:
        worker.start()
        while worker.is_alive() and quiet < PATIENCE:
            worker.join(0.1)
            before, received = received, sum(file.stat().st_size for file in folder.iterdir())
            quiet = quiet + 0.1 if received == before else 0.0
    finally:
        given_up.set()
        socket.setdefaulttimeout(default)
    if not complete.is_set():
        raise OSError("; ".join(failures) or f"nothing came for {PATIENCE:g} s")
