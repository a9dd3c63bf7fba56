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
LABEL_NAMES = (
    *(("images-idx3", "labels-idx1"), ("images.idx3", "labels.idx1"), ("imgs", "labels"), ("images", "labels")),
    *((old, new + old[1:]) for old in ("x_", "X_", "x.", "X.") for new in "yY"),
    *((old, old[0] + new + old[2:]) for old in ("_x.", "_X.", "_x_", "_X_") for new in "yY"),
)
# of arrays and columns
LABELS = ("label", "labels", "class", "classes", "target", "targets", "y", "digit", "emotion", "fine_label")
NONE = "none"  # data.labels=none: labels are not read


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
        keys = Keys(images, labels or ("labels" if "labels" in held and images != "labels" else None))
        others = {part: split_keys(keys, part, held) for part in TEST_NAMES}
        found = {part: each for part, each in others.items() if each}
        return {"train": keys, **found} if found else {WHOLE: keys}
    by_lower = {name.lower(): name for name in sorted(held, reverse=True)}  # of X and x, X
    for layout in LAYOUTS:
        found = {
            part: Keys(by_lower[keys.images], by_lower.get(keys.labels or ""))
            for part, several in layout.items()
            for keys in several[::-1]
            if keys.images in by_lower
        }
        if labels and found.keys() & {WHOLE, "train"}:
            return {
                part: Keys(keys.images, labels if part not in TEST_NAMES else array_of_split(labels, part, held))
                for part, keys in found.items()
            }
        if found.keys() & {WHOLE, "train"}:
            return found
    raise UserError(f"{option} holds {describe(held)}: name the images, data.images=NAME, and labels, data.labels=NAME")


def split_keys(keys: Keys, part: str, held: Iterable[str]) -> Keys | None:
    """The arrays of another split whose names are those of the training images with `test` in place of `train`."""
    images = array_of_split(keys.images, part, held)
    return images and Keys(images, keys.labels and array_of_split(keys.labels, part, held))


def array_of_split(array: str, part: str, held: Iterable[str]) -> str | None:
    """The array whose name is that of one of the training images with `test` or the like in place of `train`."""
    names = (array.replace("train", name) for name in TEST_NAMES[part])
    return next((name for name in names if name != array and name in held), None)


def describe(names: Iterable[str]) -> str:
    """The names of a file's arrays for a message."""
    listed = sorted(names)
    return printable(", ".join(listed[:12]) + (", ..." if len(listed) > 12 else "")) or "no array at all"


def label_file(path: Path) -> Path | None:
    """The file of the labels beside one of images, as kmnist-train-labels.npz and train-labels-idx1-ubyte are."""
    return next(files_beside(path, LABEL_NAMES), None)


def named_label_file(path: Path, name: str) -> Path | None:
    """The file in the folder of `path` that a name or a path means; None where there is none."""
    for other in (path.parent / name, Path(name).expanduser()):
        if other.absolute().parent == path.absolute().parent and other.is_file():
            return other
    return None


def labels_of_split(labels: str, part: str, path: Path) -> str | None:
    """The name of the file of another split's labels, given that of the training images' labels, beside `path`."""
    for name in TEST_NAMES[part]:
        other = Path(labels).name.replace("train", name)
        if other != Path(labels).name and (path.parent / other).is_file():
            return other
    return None


def all_files(path: Path, labels: str | None) -> list[Path]:
    """The files that are read for the images in a file, with their labels: those that exist now."""
    splits = split_files(path)
    images = [path, *splits.values()]
    named = [labels, *(labels_of_split(labels, part, path) for part in splits)] if labels else []
    beside = [named_label_file(path, name) for name in named if name]
    return [file for file in (*images, *map(label_file, images), *beside) if file]


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
