"""The names by which the field's files hold images, labels and splits, and which files beside a file belong to it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from src.data.folders import WHOLE
from src.support.errors import UserError, printable


class Keys(NamedTuple):
    """The names of the arrays of images and of their labels; None where there are no labels."""

    images: str
    labels: str | None


# ours and what task=synthesize writes; Keras; MedMNIST; dSprites; np.savez without names and Kuzushiji-MNIST
LAYOUTS: list[dict[str, list[Keys]]] = [
    {WHOLE: [Keys("images", "labels")]},
    {
        "train": [Keys("x_train", "y_train")],
        "val": [Keys("x_val", "y_val"), Keys("x_valid", "y_valid")],
        "test": [Keys("x_test", "y_test")],
    },
    {
        "train": [Keys("train_images", "train_labels")],
        "val": [Keys("val_images", "val_labels")],
        "test": [Keys("test_images", "test_labels")],
    },
    {WHOLE: [Keys("imgs", "latents_classes")]},
    {WHOLE: [Keys("arr_0", "arr_1")]},
]
TEST_NAMES = {"val": ("val", "valid", "validation"), "test": ("test", "t10k")}  # in place of "train" in a file's name
LABEL_NAMES = (("images-idx3", "labels-idx1"), ("imgs", "labels"), ("images", "labels"), ("x_", "y_"), ("X_", "y_"))


def choose_keys(names: Iterable[str], images: str | None, labels: str | None, option: str) -> dict[str, Keys]:
    """The arrays of each split of a file, or of WHOLE, among all its arrays: those that the user names, or the field's.

    option: the user's option, `data.path=...`, with which the message of a UserError begins

    Raises UserError, which lists the file's arrays, where they can't be told.
    """
    held = set(names)
    for option_name, name in (("data.images", images), ("data.labels", labels)):
        if name is not None and name not in held:
            raise UserError(f"{option_name}={name}: {option} holds {describe(held)}")
    if images is not None:
        return {WHOLE: Keys(images, labels or ("labels" if "labels" in held and images != "labels" else None))}
    for layout in LAYOUTS:
        found = {part: keys for part, several in layout.items() for keys in several[::-1] if keys.images in held}
        if found.keys() & {WHOLE, "train"}:
            found = {
                part: Keys(keys.images, keys.labels if keys.labels in held else None) for part, keys in found.items()
            }
            return {part: Keys(keys.images, labels) for part, keys in found.items()} if labels else found
    raise UserError(f"{option} holds {describe(held)}: name the images, data.images=NAME, and labels, data.labels=NAME")


def describe(names: Iterable[str]) -> str:
    """The names of a file's arrays for a message."""
    listed = sorted(names)
    return printable(", ".join(listed[:12]) + (", ..." if len(listed) > 12 else "")) or "no array at all"


def label_file(path: Path) -> Path | None:
    """The file of the labels beside one of images, as kmnist-train-labels.npz and train-labels-idx1-ubyte are."""
    return next(files_beside(path, LABEL_NAMES), None)


def split_files(path: Path) -> dict[str, Path]:
    """The files of validation and test images beside one of training images, as kmnist-test-imgs.npz is."""
    found = {}
    for part, names in TEST_NAMES.items():
        if beside := next(files_beside(path, [("train", name) for name in names]), None):
            found[part] = beside
    return found


def files_beside(path: Path, replacements: Iterable[tuple[str, str]]) -> Iterator[Path]:
    """Iterate over the files that exist under the name of `path` with one of the replacements made, raw or gzipped."""
    plain = path.name.removesuffix(".gz")
    for old, new in replacements:
        if old in plain:
            for end in ("", ".gz"):
                other = path.with_name(plain.replace(old, new, 1) + end)
                if other.name != path.name and other.is_file():
                    yield other
