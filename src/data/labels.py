"""Which classes of a data set an option names: labels are known by their names, not by their places."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from src.data.sources import Images, Split
from src.support.errors import UserError

SHOWN = 20  # names that a refusal lists
PARTS = {"train": "training", "val": "validation", "test": "test"}


def numbers_of(images: Images, labels: Any, by_place: bool = False) -> list[int]:
    """The classes, ascending, that these labels name: one label, or several.

    A label names the class that is called like it, as str() writes both; where the classes are `numbered`, also that
    of this number. by_place: numbers are places among the sorted labels, as they were for runs of the first versions.
    Raises UserError, with the names there are, for a label that names none.
    """
    names = {name: i for i, name in enumerate(images.classes)}
    if images.numbered:
        names = {str(i): i for i in range(len(images.classes))} | names
    elif by_place:
        names = {str(i): i for i in range(len(images.classes))}
    found = set()
    for label in several(labels):
        if str(label) not in names:
            raise UserError(f"data.exclude_labels: {images.name} has no label {label!r}, but {listed(images)}")
        found.add(names[str(label)])
    return sorted(found)


def several(labels: Any) -> list[Any]:
    """The labels of an option that is a list, a single one, or null."""
    if labels is None:
        return []
    return list(labels) if isinstance(labels, Sequence) and not isinstance(labels, str) else [labels]


def as_read(images: Images, labels: np.ndarray) -> np.ndarray:
    """Labels (N,) of a data set as a file for data=npz has them: numbers where these are known, else names."""
    if images.numbered:
        return labels
    names = np.array(images.classes)
    whole = all(name.lstrip("-").isdecimal() and name == str(int(name)) for name in images.classes)
    return (names.astype(np.int64) if whole else names)[labels]


def listed(images: Images) -> str:
    """The names of a data set's labels, and that numbers stand for them too."""
    names = ", ".join(images.classes[:SHOWN]) + (", ..." if len(images.classes) > SHOWN else "")
    numbers = images.numbered and not all(name.isdigit() for name in images.classes)
    return f"{names} (or their numbers, 0 to {len(images.classes) - 1})" if numbers else names


def excluding(images: Images, labels: Any, by_place: bool = False) -> Images:
    """A data set without the images of these labels, in all three parts; see `numbers_of`.

    Raises UserError for a label that there is not, and where a part is left without images.
    """
    numbers = numbers_of(images, labels, by_place)
    if not numbers:
        return images
    if len(numbers) == len(images.classes):
        raise UserError(f"data.exclude_labels leaves no class of {listed(images)}")
    parts = {}
    for part, words in PARTS.items():
        split: Split = getattr(images, part)
        keep = ~np.isin(split.labels, numbers)
        if not keep.any():
            raise UserError(f"data.exclude_labels leaves no {words} image: of {len(keep)} all have these labels")
        parts[part] = split.take(keep)
    return images._replace(**parts, without=tuple(images.classes[i] for i in numbers))
