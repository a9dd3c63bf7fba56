"""The classes that data.exclude_labels names; labels are identified by their names, not by their positions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from src.data.sources import Images, Split
from src.support.errors import UserError

MOST_LISTED = 20  # names in an error message
SPLITS = {"train": "training", "val": "validation", "test": "test"}


def numbers_of(images: Images, labels: Any, by_place: bool = False) -> list[int]:
    """The numbers of the classes, ascending, that one label or a list of labels names.

    A label names the class whose name is equal to it as a string or, if the data set's classes are `numbered`, the
    class of that number. Raises UserError with the possible names for any other.

    by_place: a number is a position among the sorted labels, as in runs of the first versions
    """
    names = {name: i for i, name in enumerate(images.classes)}
    if images.numbered:
        names = {str(i): i for i in range(len(images.classes))} | names
    elif by_place:
        names = {str(i): i for i in range(len(images.classes))}
    numbers = set()
    for label in as_list(labels):
        if str(label) not in names:
            raise UserError(f"data.exclude_labels: {images.name} has no label {label!r}, but {label_list(images)}")
        numbers.add(names[str(label)])
    return sorted(numbers)


def as_list(labels: Any) -> list[Any]:
    """The labels of an option that is a list, a single label, or null."""
    if labels is None:
        return []
    return list(labels) if isinstance(labels, Sequence) and not isinstance(labels, str) else [labels]


def labels_for_npz(images: Images, labels: np.ndarray) -> np.ndarray:
    """Labels (N,) for a file that data=images reads: class numbers if the data set is `numbered`, otherwise names."""
    if images.numbered:
        return labels
    names = np.array(images.classes)
    are_integers = all(name.lstrip("-").isdecimal() and name == str(int(name)) for name in images.classes)
    return (names.astype(np.int64) if are_integers else names)[labels]


def label_list(images: Images) -> str:
    """The names of a data set's labels for a message, which also says whether numbers are possible."""
    names = ", ".join(images.classes[:MOST_LISTED]) + (", ..." if len(images.classes) > MOST_LISTED else "")
    numbers = images.numbered and not all(name.isdigit() for name in images.classes)
    return f"{names} (or their numbers, 0 to {len(images.classes) - 1})" if numbers else names


def exclude_labels(images: Images, labels: Any, by_place: bool = False) -> Images:
    """Leave out the images of these labels from all three splits; see `numbers_of`.

    Raises UserError for a label that does not exist, and where a split would be left without images.
    """
    numbers = numbers_of(images, labels, by_place)
    if not numbers:
        return images
    if len(numbers) == len(images.classes):
        raise UserError(f"data.exclude_labels leaves no class of {label_list(images)}")
    splits = {}
    for name, adjective in SPLITS.items():
        split: Split = getattr(images, name)
        keep = ~np.isin(split.labels, numbers)
        if not keep.any():
            raise UserError(f"data.exclude_labels leaves no {adjective} image: of {len(keep)} all have these labels")
        splits[name] = split.take(keep)
    return images._replace(**splits, without=tuple(images.classes[i] for i in numbers))
