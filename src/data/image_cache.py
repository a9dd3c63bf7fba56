"""A cache of a user's decoded images: a folder of many files is decoded once, and read as one file the next time.

An entry is found by the path, size and time of change of each file and by all options, so that a changed folder is read
again.
"""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from src.data.folders import SUFFIXES, find_images
from src.data.layouts import all_files
from src.data.metadata import metadata_files
from src.data.sources import Split
from src.support.files import cache_folder, write_to_cache

VERSION = 2  # of what is made of the files
MOST = 8e9  # bytes of all entries, above which those that were not used for longest are removed
latest: dict[Path, "Content"] = {}  # what was read last
Content = tuple[tuple[str, ...], Split, Split, Split, tuple[str, ...]]  # classes, splits, notes


def load(top: Path, options: Mapping[str, Any]) -> Content | None:
    """What was stored of the images at a path, read with the same options; None where there is nothing.

    Images that have the shape that is asked for by themselves were perhaps read without one.
    """
    for shape in (options["shape"], None):
        entry = entry_of(top, {**options, "shape": shape})
        if (content := latest.get(entry)) and has_shape(content, options["shape"]):
            return content
        with suppress(Exception), entry.open("rb") as file, np.load(file) as stored:  # a damaged entry is made anew
            splits = [Split(stored[f"{name}_images"], stored[f"{name}_labels"]) for name in ("train", "val", "test")]
            content = tuple(map(str, stored["classes"])), *splits, tuple(map(str, stored["notes"]))
            if has_shape(content, options["shape"]):
                os.utime(entry)
                return content
    return None


def has_shape(content: Content, shape: list[int] | None) -> bool:
    """Whether images have the shape that is asked for; None is any shape."""
    return shape in (None, list(content[1].images.shape[1:]))


def keep(top: Path, options: Mapping[str, Any], content: Content) -> None:
    """Keep images for who reads them next in this process: their shape is found before they are trained on."""
    latest.clear()
    latest[entry_of(top, options)] = content


def store(top: Path, options: Mapping[str, Any], content: Content) -> None:
    """Store the images of a path, if there is room for them."""
    classes, *splits, notes = content
    arrays = {
        f"{name}_{part}": array
        for name, split in zip(("train", "val", "test"), splits, strict=True)
        for part, array in split._asdict().items()
    }
    if sum(array.nbytes for array in arrays.values()) > MOST / 4:
        return
    entry = entry_of(top, options)
    write_to_cache(entry, lambda path: np.savez(path, classes=np.array(classes), notes=np.array(notes, str), **arrays))
    remove_oldest(entry.parent)


def entry_of(top: Path, options: Mapping[str, Any]) -> Path:
    """The file of the cache for the images at a path."""
    files = list(find_images(top, (*SUFFIXES, ".parquet"))) if top.is_dir() else all_files(top, options["labels"])
    if top.is_dir():
        files += metadata_files(top, files)
    digest = hashlib.sha256(
        repr((VERSION, str(top), sorted(options.items(), key=str))).encode("utf-8", "surrogateescape")
    )
    for file in files:
        state = file.stat()
        digest.update(f"{file} {state.st_size} {state.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return cache_folder() / "images" / f"{digest.hexdigest()[:32]}.npz"


def remove_oldest(folder: Path) -> None:
    """Remove the entries that were not used for longest until the others take no more than MOST bytes."""
    with suppress(OSError):
        entries = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in entries)
        for path in entries[:-1]:
            if total <= MOST:
                return
            total -= path.stat().st_size
            path.unlink()
