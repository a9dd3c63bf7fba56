"""Lists the image files of a folder, their classes and their splits, as torchvision's ImageFolder and Hugging Face's
imagefolder read it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from src.support.errors import UserError, printable
from src.support.texts import natural_key

# torchvision's, and gif
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
HIDDEN = (".", "__MACOSX")  # how names begin of what the system or an editor keeps beside images
DEEPEST = 50  # folders within one another
MOST_OTHERS = 20_000  # files that are looked at before the first image is found
WHOLE = "all"  # the part of a collection that has no splits


class Listing(NamedTuple):
    """The files of a folder.

    parts: for each split, or for WHOLE, the files in natural order
    labels: for each part the class of each file; None for a part without classes
    classes: the names of the classes in natural order
    notes: what was left out, for the user
    """

    parts: dict[str, list[Path]]
    labels: dict[str, list[str] | None]
    classes: tuple[str, ...]
    notes: list[str]


def list_folder(folder: Path, option: str, suffixes: tuple[str, ...] = SUFFIXES, needs_train: bool = True) -> Listing:
    """List the images of a folder: `train`, `val` and `test` at its top are splits, other folders are classes.

    option: the user's option, `data.path=...`, with which the message of a UserError begins
    needs_train: whether there must be a split `train` where all folders are splits

    Raises UserError where there is no image, and for splits without `train` that need one.
    """
    tops = [path for path in entries(folder) if os.path.isdir(path)]  # noqa: PTH112 - is_dir may raise PermissionError
    splits: dict[str, Path] = {}
    for path in tops:
        if (split := SPLIT_NAMES.get(path.name.lower())) and splits.setdefault(split, path) != path:
            raise UserError(
                f"{option} holds {splits[split].name} and {path.name}, which are one split: keep one of them"
            )
    has_others = len(splits) < len(tops)
    if splits and not has_others and "train" not in splits and needs_train:
        names = ", ".join(path.name for path in splits.values())
        raise UserError(
            f"{option} holds the splits {names}, but no train: call a folder train, or the others otherwise"
        )
    others = [path for path in entries(folder) if path not in splits.values()]
    notes = []
    if "train" not in splits and (has_others or not splits):
        splits = {WHOLE: folder}
    elif outside := sum(1 for path in others for _ in find_images(path, suffixes)):
        notes.append(f"{outside:,} images outside the splits left out")
    parts, labels = {}, {}
    for name, top in splits.items():
        parts[name], labels[name], outside = list_classes(top, suffixes)
        notes += [f"{outside:,} images outside the class folders left out"] if outside else []
    drop_parts_without_classes(parts, labels, notes)
    if not any(parts.values()):
        raise UserError(f"{option}: no image in it; their suffixes are {', '.join(suffixes)}")
    if empty := [name for name, files in parts.items() if not files]:
        raise UserError(f"{option}: the folder {splits[empty[0]].name} holds no image: add some, or remove it")
    names = {label for each in labels.values() for label in each or ()}
    return Listing(parts, labels, tuple(sorted(names, key=natural_key)), notes)


def drop_parts_without_classes(
    parts: dict[str, list[Path]], labels: dict[str, list[str] | None], notes: list[str]
) -> None:
    """Let all splits have classes or none: where `train` (or else the first) has none, their folders mean nothing;
    where it has some, images of another split without classes are left out, since they have no class to compare."""
    if labels["train" if "train" in parts else next(iter(parts))] is None:
        labels.update(dict.fromkeys(labels))
    elif bare := [name for name in parts if labels[name] is None]:
        for name in bare:
            notes.append(f"the {len(parts.pop(name)):,} images of {name}, which has no class folders, left out")
            labels.pop(name)


def list_classes(top: Path, suffixes: tuple[str, ...]) -> tuple[list[Path], list[str] | None, int]:
    """The images of a split, their classes, which are its top-level folders, and how many are outside of these.

    Without such folders that hold images, the classes are None.
    """
    files, labels, loose = [], [], []
    for path in entries(top):
        found = list(find_images(path, suffixes))
        if os.path.isdir(path):  # noqa: PTH112
            files += found
            labels += [path.name] * len(found)
        else:
            loose += found
    return (files, labels, len(loose)) if files else (loose, None, 0)


def find_images(path: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Iterate over the images at a path, in a folder also in its folders. Links are followed, but not in a circle.

    Raises UserError where there is none among many files: a whole disk is not searched.
    """
    found = 0
    for looked, file in enumerate(files_below(path, frozenset())):
        if file.suffix.lower() in suffixes and os.path.isfile(file):  # noqa: PTH113
            found += 1
            yield file
        if looked > MOST_OTHERS and not found:
            raise UserError(f"{printable(str(path))}: no image is among its first {MOST_OTHERS:,} files")


def files_below(path: Path, above: frozenset[str]) -> Iterator[Path]:
    """Iterate over the files at a path in natural order; `above`: the folders that it is in, without links."""
    if not os.path.isdir(path):  # noqa: PTH112
        yield path
        return
    real = os.path.realpath(path)
    if real not in above and len(above) < DEEPEST:
        for entry in entries(path):
            yield from files_below(entry, above | {real})


def entries(folder: Path) -> list[Path]:
    """What a folder holds, in natural order, without hidden files and folders. Raises UserError if it can't be read."""
    try:
        with os.scandir(folder) as found:
            names = [entry.name for entry in found if not entry.name.startswith(HIDDEN)]
    except PermissionError as error:
        raise UserError(f"{printable(str(folder))} can't be read ({error.strerror})") from error
    except OSError:  # it has just been removed
        return []
    return [folder / name for name in sorted(names, key=natural_key)]
