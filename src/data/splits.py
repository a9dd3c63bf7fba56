"""Splits of a user's own images: those of the file where it has some, and the rest by classes, the same every time."""

import hashlib
from collections.abc import Mapping

import numpy as np

from src.data.folders import WHOLE
from src.data.sources import Split, split_order, tenths_of
from src.support.errors import UserError

FEWEST = 10  # images that can be split


def complete_splits(parts: Mapping[str, Split], where: str) -> tuple[Split, Split, Split, list[str]]:
    """Training, validation and test images of the parts of a collection, and notes for the user.

    Images without splits are divided into 80, 10 and 10 % of each class; a split that is missing is a tenth of the
    training images. Raises UserError for too few images.
    """
    base = parts.get(WHOLE) or parts["train"]
    missing = [name for name in ("val", "test") if name not in parts]
    if missing and len(base.labels) < FEWEST:
        shares = "80/10/10" if len(missing) == 2 else "90/10"
        raise UserError(
            f"{where} holds {len(base.labels)} images to train on, too few to split {shares}: give {FEWEST} or more"
        )
    tenths = tenths_of(base.labels)
    places = np.zeros(len(tenths), np.int64)
    for number, name in enumerate(missing, 1):
        places[tenths == (8 if name == "val" else 9)] = number
    keep_one_for_training(base.labels, places)
    order = split_order(len(tenths)) if WHOLE in parts else np.arange(len(tenths))
    taken = {name: base.take(order[places[order] == number]) for number, name in enumerate(["train", *missing])}
    notes = [f"a tenth of the training images is for {'validation' if name == 'val' else name}" for name in missing]
    splits = {**parts, **taken}
    train = splits["train"]
    if WHOLE in parts:
        notes = ["no splits in it: 80 % of each class train, 10 % validate, 10 % test"]
    if unseen := np.setdiff1d(np.concatenate([splits["val"].labels, splits["test"].labels]), train.labels).size:
        notes.append(f"{unseen} {'class has' if unseen == 1 else 'classes have'} no training image")
    return train, splits["val"], splits["test"], notes


def keep_one_for_training(labels: np.ndarray, places: np.ndarray) -> None:
    """Move the first image of each class that has none for training, place 0, there, unless that empties its place."""
    for label in np.setdiff1d(labels, labels[places == 0]):
        for image in np.flatnonzero(labels == label):
            if (places == places[image]).sum() > 1:
                places[image] = 0
                break


def count_duplicates(train: Split, val: Split, test: Split) -> list[str]:
    """Notes about images that are in the training images as well: a model that remembers them looks better there."""
    splits = {"validation": val.images, "test": test.images}
    counts = {name: count_known(images, train.images) for name, images in splits.items()}
    return [
        f"{count:,} of {len(splits[name]):,} {name} images are among the training images too"
        for name, count in counts.items()
        if count
    ]


def count_known(images: np.ndarray, train: np.ndarray) -> int:
    """How many images (N, C, H, W) are among the training images, pixel by pixel."""
    known = {digest(image) for image in train}
    return sum(digest(image) in known for image in images)


def digest(image: np.ndarray) -> bytes:
    """A hash of an image."""
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
