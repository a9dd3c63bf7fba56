"""Lists the image files of a folder, their classes and their splits, as torchvision's ImageFolder and Hugging Face's
imagefolder read it."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from src.support.errors import UserError, one_line, printable
from src.support.texts import natural_key

# torchvision's, and gif
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
# of Hugging Face's imagefolder; in other names they count as words, as in seg_train
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
WORDS = re.compile(r"[\W_]+")
NAMED = 4  # suffixes that a note names
# how names begin of what the system or an editor keeps beside images, and of what src/data/metadata.py reads
HIDDEN = (".", "__MACOSX", "metadata.csv")
DEEPEST = 50  # folders within one another
MOST_OTHERS = 20_000  # files that are looked at before the first image is found
WHOLE = "all"  # the part of a collection that has no splits


class Seen(NamedTuple):
    """Files of a folder that are no images: how many have each suffix, and the first of them."""

    suffixes: Counter[str]
    examples: list[Path]

    def add(self, file: Path) -> None:
        """Count another file."""
        self.suffixes[file.suffix.lower()] += 1
        if len(self.examples) < MOST_OTHERS:
            self.examples.append(file)

    def text(self) -> str:
        """How many files there are of the most frequent suffixes."""
        named = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in self.suffixes.most_common(NAMED)]
        return printable(", ".join(named) + ", ..." * (len(self.suffixes) > NAMED))


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


def absolute_path(text: str, option: str) -> Path:
    """The path that an option names, from the root. Raises UserError where it names none."""
    if not str(text).strip():
        raise UserError(f"{option} is empty: give the path of a folder or of a file")
    try:
        return Path(text).expanduser().absolute()
    except (RuntimeError, TypeError) as error:  # `~` of nobody
        raise UserError(f"{option}={text}: {one_line(error)} Give the whole path.") from error


def existing_path(text: str, option: str) -> Path:
    """The path of the file or the folder that an option names. Raises UserError where there is none."""
    path = absolute_path(text, option)
    try:
        if path.exists():
            return path
    except (OSError, ValueError) as error:  # a name that is too long
        raise UserError(f"{option}={text}: {one_line(error)}") from error
    hint = ": download it first" if "://" in str(text) else ""
    raise UserError(f"{option}={text}: no such file or folder{hint}")


def list_folder(folder: Path, option: str, suffixes: tuple[str, ...] = SUFFIXES, needs_train: bool = True) -> Listing:
    """List the images of a folder: `train`, `val` and `test` at its top are splits, other folders are classes.

    A folder that holds nothing but a folder of folders, as an archive may leave it, is that folder.

    option: the user's option, `data.path=...`, with which the message of a UserError begins
    needs_train: whether splits without `train` are refused, and not only listed

    Raises UserError where there is no image.
    """
    outer, notes, seen = folder, [], Seen(Counter(), [])
    while (inner := only_folder_of_folders(folder)) is not None:
        folder = inner
    if folder != outer:
        notes.append(f"read from its folder {folder.relative_to(outer)}")
    tops = folders_in(folder)
    splits = find_splits(tops, option)
    are_all = splits and len(splits) == len(tops)
    if are_all and "train" not in splits and needs_train:
        names = ", ".join(path.name for path in splits.values())
        raise UserError(
            f"{option} holds the splits {names}, but no train: call a folder train, or the others otherwise"
        )
    others = [path for path in entries(folder) if path not in splits.values()]
    if "train" not in splits and not are_all:
        splits = {WHOLE: folder}
    elif outside := [file for path in others for file in find_images(path, suffixes, seen)]:
        notes.append(f"{some(outside)} outside the splits left out")
    parts, labels = {}, {}
    for name, top in splits.items():
        parts[name], labels[name], outside = list_classes(top, suffixes, seen)
        notes += [f"{some(outside)} outside the class folders left out"] if outside else []
    if not any(parts.values()):
        raise UserError(f"{option}: {empty_folder_text(seen, suffixes)}")
    if empty := [name for name, files in parts.items() if not files]:
        raise UserError(f"{option}: the folder {splits[empty[0]].name} holds no image: add some, or remove it")
    drop_parts_without_classes(parts, labels, notes)
    notes += [f"other files left out: {seen.text()}"] if seen.suffixes else []
    names = {label for each in labels.values() for label in each or ()}
    return Listing(parts, labels, tuple(sorted(names, key=natural_key)), notes)


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder."""
    return [path for path in entries(folder) if os.path.isdir(path)]  # noqa: PTH112 - is_dir may raise PermissionError


def only_folder_of_folders(folder: Path) -> Path | None:
    """The only thing in a folder, if that is a folder of nothing but folders; None where there is no such."""
    held = entries(folder)
    if len(held) != 1 or not (inside := folders_in(folder)) or held[0].name.lower() in SPLIT_NAMES:
        return None
    return inside[0] if (within := entries(inside[0])) and within == folders_in(inside[0]) else None


def find_splits(tops: Sequence[Path], option: str) -> dict[str, Path]:
    """The folders that are splits: by their names or, where that makes all of them splits, by a word in their names."""
    splits: dict[str, Path] = {}
    words = [[SPLIT_NAMES[w] for w in WORDS.split(path.name.lower()) if w in SPLIT_NAMES] for path in tops]
    by_word = ["train"] in words and all(len(each) == 1 and words.count(each) == 1 for each in words)
    for path, found in zip(tops, words, strict=True):
        split = found[0] if by_word else SPLIT_NAMES.get(path.name.lower())
        if split and splits.setdefault(split, path) != path:
            raise UserError(
                f"{option} holds {splits[split].name} and {path.name}, which are one split: keep one of them"
            )
    return splits


def count_images(count: int) -> str:
    """A number of images in words."""
    return f"{count:,} image{'s' * (count != 1)}"


def some(files: Sequence[Path]) -> str:
    """The number of some images, and the names of the first."""
    names = ", ".join(file.name for file in files[:3]) + ", ..." * (len(files) > 3)
    return printable(f"{count_images(len(files))} ({names})")


def empty_folder_text(seen: "Seen", suffixes: tuple[str, ...]) -> str:
    """Why a folder holds no images, and the remedy."""
    usual = f"no image in it; their suffixes are {', '.join(suffixes)}"
    arrays = [path for path in seen.examples if path.suffix in (".npz", ".npy", ".csv", ".gz") or "idx" in path.name]
    if arrays:
        return f"no image in it, but {seen.text()}: give one of its files, such as {printable(str(arrays[0]))}"
    return f"{usual}; it holds {seen.text()}" if seen.suffixes else usual


def drop_parts_without_classes(
    parts: dict[str, list[Path]], labels: dict[str, list[str] | None], notes: list[str]
) -> None:
    """Let all splits have classes or none: where `train` has none, their folders mean nothing; where it has some,
    images of another split without classes are left out, since they can't be evaluated by class."""
    if "train" not in parts:
        return
    if labels["train"] is None:
        labels.update(dict.fromkeys(labels))
    elif bare := [name for name in parts if labels[name] is None]:
        for name in bare:
            notes.append(f"the {count_images(len(parts.pop(name)))} of {name}, which has no class folders, left out")
            labels.pop(name)


def list_classes(top: Path, suffixes: tuple[str, ...], seen: "Seen") -> tuple[list[Path], list[str] | None, list[Path]]:
    """The images of a split, their classes, which are its top-level folders, and the images outside of these.

    Without such folders that hold images, the classes are None.
    """
    files, labels, loose = [], [], []
    for path in entries(top):
        found = list(find_images(path, suffixes, seen))
        if os.path.isdir(path):  # noqa: PTH112
            files += found
            labels += [path.name] * len(found)
        else:
            loose += found
    return (files, labels, loose) if files else (loose, None, [])


def find_images(path: Path, suffixes: tuple[str, ...], seen: "Seen | None" = None) -> Iterator[Path]:
    """Iterate over the images at a path, in a folder also in its folders. Links are followed, but not in a circle.

    seen: is told of all other files

    Raises UserError where there is none among many files: a whole disk is not searched.
    """
    found = 0
    # a link to a folder that this one is in would lead to all images again
    for looked, file in enumerate(files_below(path, frozenset(map(os.path.realpath, path.absolute().parents)))):
        if file.suffix.lower() in suffixes and os.path.isfile(file):  # noqa: PTH113
            found += 1
            yield file
        elif seen is not None:
            seen.add(file)
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
