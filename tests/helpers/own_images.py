"""Files of a user's own images in the forms of the field, and what data=images makes of them."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data import user_images
from src.data.sources import Images
from src.support.errors import UserError
from tests.helpers.official_files import idx

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.integers(0, 256, (60, 8, 8), np.uint8), np.arange(60) % 3
X_TEST, Y_TEST = RANDOM.integers(0, 256, (12, 8, 8), np.uint8), np.arange(12) % 3
CSV = [f"{label},{','.join(map(str, image.ravel()))}" for image, label in zip(X, Y, strict=True)]
HEADER = ",".join(["label", *(f"pixel{i}" for i in range(64))])


def images(path: Path, **options) -> Images:
    """What data=images reads."""
    return user_images.images(str(path), **{"white": "auto", **options})


def refusal(path: Path, **options) -> str:
    """What it says of a path that it refuses, in one line."""
    with pytest.raises(UserError) as error:
        images(path, **options)
    (said,) = str(error.value).splitlines()
    return said


def png(image: np.ndarray) -> bytes:
    """The PNG file of an image."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(top: Path, pixels: np.ndarray = X, labels: np.ndarray | None = Y) -> Path:
    for i, image in enumerate(pixels):
        folder = top if labels is None else top / f"class {labels[i]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.png").write_bytes(png(image))
    return top


def write_files(top: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        (top / name).write_bytes(content)


def npy(array: np.ndarray) -> bytes:
    """The npy file of an array."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def write_kuzushiji(top: Path) -> Path:
    arrays = {"train-imgs": X, "train-labels": Y, "test-imgs": X_TEST, "test-labels": Y_TEST}
    for name, array in arrays.items():
        np.savez(top / f"k49-{name}.npz", array)
    return top / "k49-train-imgs.npz"


def write_idx(top: Path) -> Path:
    files = {"train-images-idx3-ubyte": X, "train-labels-idx1-ubyte": Y.astype(np.uint8)}
    write_files(top, {name: idx(array) for name, array in files.items()})
    tests = {"t10k-images-idx3-ubyte.gz": X_TEST, "t10k-labels-idx1-ubyte.gz": Y_TEST.astype(np.uint8)}
    write_files(top, {name: gzip.compress(idx(array)) for name, array in tests.items()})
    return top / "train-images-idx3-ubyte"


def write_splits(top: Path) -> Path:
    write_folder(top / "own" / "train")
    write_folder(top / "own" / "test", X_TEST, Y_TEST)
    return top / "own"


def savez(**arrays: np.ndarray) -> Callable[[Path], Path]:
    def write(top: Path) -> Path:
        np.savez(top / "a.npz", **arrays)
        return top / "a.npz"

    return write


def write(name: str, content: bytes | str) -> Callable[[Path], Path]:
    def write_one(top: Path) -> Path:
        (top / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return top / name

    return write_one


def saved(array: np.ndarray, path) -> str:
    """The path of an image file of an array, in the mode that Pillow gives its type."""
    Image.fromarray(array).save(path)
    return str(path)
