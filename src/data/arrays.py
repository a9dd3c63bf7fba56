"""Files that hold all images in one array: npz, npy, IDX and CSV. Nothing in them is trusted or unpickled."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import numpy as np

from src.data import idx, npz
from src.data.csv_files import read_csv, read_label_file
from src.data.folders import WHOLE
from src.data.formats import detect_format
from src.data.layout import images_of, type_fault
from src.data.layouts import (
    NONE,
    Keys,
    choose_keys,
    describe,
    label_file,
    labels_of_split,
    named_label_file,
    split_files,
)
from src.data.levels import White
from src.support.errors import UserError, one_line

KINDS = ("npz", "npy", "idx", "csv")  # formats of src/data/formats.py that are read here


class Stack(NamedTuple):
    """Images (N, C, H, W) of any type of numbers, and their labels (N,), integers or strings, or None."""

    images: np.ndarray
    labels: np.ndarray | None


class Asked(NamedTuple):
    """What a user says of images.

    option: `data.path=...` or the like, with which messages begin
    images, labels: the names of arrays or columns, or None to choose them by the field's habits
    shape: (C, H, W) to which images are fitted, or None
    white: the level that is white
    skip_broken: whether files that can't be read are left out
    group: the group of these options in messages: `data.white`, or `task.white` where a task reads the images
    """

    option: str
    images: str | None = None
    labels: str | None = None
    shape: Sequence[int] | None = None
    white: White = "auto"
    skip_broken: bool = False
    group: str = "data"

    @property
    def label_name(self) -> str | None:
        """The name of the labels; None to choose them, or where none are to be read."""
        return None if self.labels == NONE else self.labels


def read_arrays(path: Path, asked: Asked) -> tuple[dict[str, Stack], list[str]]:
    """The images of each split of a file, or of WHOLE, with those of files beside it that belong to it; and notes.

    Raises UserError for a file that can't be read or does not show what its images are.
    """
    notes: list[str] = []
    stacks = read_file(path, asked, notes)
    if set(stacks) == {WHOLE} and (others := split_files(path)):
        parts = {"train": stacks[WHOLE]}
        for part, other in others.items():
            if name := asked.label_name:
                name = name if named_label_file(path, name) is None else labels_of_split(name, part, path)
            labels = name or (NONE if asked.labels else None)
            try:
                found = read_file(other, asked._replace(option=str(other), labels=labels), []).get(WHOLE)
            except UserError as error:
                meant = f"it is read as the {part} images of {path.name}: rename or move it, if it is not that"
                raise UserError(f"{error}; {meant}") from error
            if found is None or (found.labels is None) != (stacks[WHOLE].labels is None):
                notes.append(f"{other.name} beside it left out, since only one of them has labels")
            else:
                parts[part] = found
                notes.append(f"{part} images of {other.name}")
        stacks = parts if len(parts) > 1 else stacks
    kept = labelled_parts({part: stack.labels for part, stack in stacks.items()}, asked.option, notes)
    return {part: stacks[part] for part in kept}, notes


def labelled_parts(labels: Mapping[str, np.ndarray | None], option: str, notes: list[str]) -> list[str]:
    """The splits with labels, or all where none has: one without beside training images with labels is left out.

    Labels that are all -1, as Hugging Face has them where they are secret, are none. Raises UserError where the
    training images have no labels, but others have.
    """
    bare = [part for part, each in labels.items() if each is None]
    if "train" in labels and "train" not in bare and not is_secret(labels["train"]):
        bare += [part for part, each in labels.items() if is_secret(each)]
    if "train" in bare and len(bare) < len(labels):
        raise UserError(f"{option}: there are no labels of train, but of others: give them, or data.labels={NONE}")
    if len(bare) == len(labels):
        return list(labels)
    notes += [f"the images of {part}, which have no labels, left out" for part in bare]
    return [part for part in labels if part not in bare]


def is_secret(labels: np.ndarray | None) -> bool:
    """Whether all labels are -1."""
    return labels is not None and labels.dtype.kind in "if" and bool((labels == -1).all())


def read_file(path: Path, asked: Asked, notes: list[str]) -> dict[str, Stack]:
    """The images of each split of one file, or of WHOLE."""
    kind = ((found := detect_format(path)) and found.kind) or "npz"
    try:
        if kind == "npz":
            return read_npz(path, asked, notes)
        if kind == "csv":
            return read_table(path, asked, notes)
        images = idx.read(path, asked.option) if kind == "idx" else npz.read_npy(path, asked.option)
        labels = labels_beside(path, asked)
    except MemoryError:
        raise UserError(f"{asked.option}: its images do not fit into memory: give fewer or smaller ones") from None
    except OSError as error:
        raise UserError(f"{asked.option} can't be read ({error.strerror or one_line(error)})") from error
    except npz.UNREADABLE as error:
        raise UserError(f"{asked.option} is damaged ({one_line(error)}): save it again") from error
    return {WHOLE: stack_of(images, labels, asked, "images", notes)}


def read_table(path: Path, asked: Asked, notes: list[str]) -> dict[str, Stack]:
    """The images of each split of a CSV file, or of WHOLE."""
    images, labels, splits = read_csv(path, asked.option, asked.label_name, asked.shape, notes)
    whole = stack_of(images, labels, asked, "images", notes)
    if splits is None:
        return {WHOLE: whole}
    own = {part: None if whole.labels is None else whole.labels[rows] for part, rows in splits.items()}
    return {part: Stack(whole.images[rows], own[part]) for part, rows in splits.items()}


def read_npz(path: Path, asked: Asked, notes: list[str]) -> dict[str, Stack]:
    """The images of each split of an npz file, or of WHOLE."""
    headers = npz.read_headers(path, asked.option)
    name = asked.label_name
    labels_elsewhere = name is not None and name not in headers and named_label_file(path, name) is not None
    keys = choose_keys(headers, asked.images, None if labels_elsewhere else name, asked.option)
    stacks = {}
    for part, each in keys.items():
        check_header(headers[each.images], asked, each.images)
        with ZipFile(path) as file:
            images = npz.read_array(file, each.images)
            labels = read_labels(file, headers, each.labels, asked)
        if each == Keys("imgs", "latents_classes") and labels is not None and labels.shape[1:] == (6,):
            labels = labels[:, 1]  # of dSprites' six factors the shape
            notes.append("labels are the shapes")
        elif labels is None and len(keys) == 1 and asked.labels != NONE:
            labels = labels_beside(path, asked if labels_elsewhere else asked._replace(labels=None))
        stacks[part] = stack_of(images, labels, asked, each.labels or "labels", notes)
    used = {name for each in keys.values() for name in each}
    if unused := [name for name in headers if name not in used]:
        told = "" if used - {each.images for each in keys.values()} - {None} else "; data.labels=NAME reads labels"
        notes.append(f"arrays that are not read: {describe(unused)}{told}")
    return stacks


def check_header(header: npz.Header, asked: Asked, name: str) -> None:
    """Raise UserError, before an array is read, where it can't hold images, whatever its numbers."""
    where = f"{asked.option}: {name}"
    if fault := type_fault(header.dtype):
        raise UserError(f"{where}: {fault}")
    images_of(np.broadcast_to(np.zeros((), header.dtype), header.shape), asked.shape, where)


def read_labels(file: ZipFile, headers: Mapping[str, npz.Header], name: str | None, asked: Asked) -> np.ndarray | None:
    """The array of labels of an npz file, or None where it has no name."""
    if name is None:
        return None
    if headers[name].dtype.hasobject:
        raise UserError(f"{asked.option}: {name} holds Python objects: save labels.astype(str)")
    return npz.read_array(file, name)


def labels_beside(path: Path, asked: Asked) -> np.ndarray | None:
    """The labels in the file that `data.labels` names, or that is beside the images' by the field's habits."""
    if asked.labels == NONE:
        return None
    other = label_file(path) if asked.labels is None else named_label_file(path, asked.labels)
    if other is None and asked.labels is not None:
        raise UserError(f"data.labels={asked.labels}: there is no such file beside {path.name}")
    if other is None:
        return None
    where = f"{asked.option}: its labels in {other.name}"
    form = detect_format(other)
    if form is None:
        headers = npz.read_headers(other, where)
        first = choose_keys(headers, next(iter(headers), None), None, where)
        with ZipFile(other) as file:
            return npz.read_array(file, next(iter(first.values())).images)
    if form.kind == "idx":
        return idx.read(other, where)
    if form.kind == "npy":
        return npz.read_npy(other, where)
    if form.kind in ("csv", "text"):
        return read_label_file(other, where)
    raise UserError(f"{where} are {form.name}, but must be npy, npz, IDX, or a text file with one in each line")


def stack_of(images: np.ndarray, labels: np.ndarray | None, asked: Asked, name: str, notes: list[str]) -> Stack:
    """Images with their channels first, and labels as (N,) integers or strings."""
    arranged = images_of(images, asked.shape, asked.option)
    if images.ndim == 2 and arranged.shape[1] == 3:
        order = "(3, H, W)" if arranged.flags.c_contiguous else "(H, W, 3)"
        notes += [note] if (note := f"rows taken as {order}") not in notes else []
    labels = None if asked.labels == NONE else labels
    return Stack(arranged, None if labels is None else labels_of(labels, len(arranged), f"{asked.option}: {name}"))


def is_text(labels: np.ndarray) -> bool:
    """Whether strings (N,) hold only characters of Unicode that can be written."""
    codes = np.ascontiguousarray(labels).view(np.uint32)
    return bool(((codes < 0xD800) | ((codes > 0xDFFF) & (codes < 0x110000))).all())


def is_one_hot(labels: np.ndarray, count: int) -> bool:
    """Whether labels (count, classes) are rows with a single 1 among zeros."""
    if labels.ndim != 2 or len(labels) != count or labels.dtype.kind not in "buif":
        return False
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all())


def labels_of(labels: np.ndarray, count: int, where: str) -> np.ndarray:
    """Labels (N,), integers or strings, of (N,), (N, 1) or one-hot rows (N, classes) of any usual type."""
    if labels.ndim == 2 and labels.shape == (count, 1):
        labels = labels[:, 0]
    elif is_one_hot(labels, count):
        labels = labels.argmax(1)
    if labels.shape != (count,):
        raise UserError(
            f"{where}: labels of the shape {labels.shape} for {count} images: save one label for each image, "
            f"or data.labels={NONE} reads none"
        )
    is_whole = labels.dtype.kind == "f" and (np.abs(labels) < 2**53).all() and (labels == labels.round()).all()
    if is_whole or labels.dtype.kind in "iu":  # of one type, or those of two splits would become floats
        return labels.astype(np.int64)
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind == "U" and not is_text(labels):
        raise UserError(f"{where}: labels hold text that can't be written: save other names")
    if labels.dtype.kind not in "biuU":
        raise UserError(f"{where}: labels are {labels.dtype}, but must be integers or strings")
    return labels
