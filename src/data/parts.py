"""Reads a user's own images in whatever form they are kept, fits them to one shape, and scales them to bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from src.data.arrays import KINDS, Asked, Stack, labelled_parts, read_arrays, stack_of
from src.data.encoded import Encoded, broken_files, choose_shape, choose_whites, decode, survey
from src.data.folders import SUFFIXES, WHOLE, count_images, find_images, list_folder
from src.data.formats import Format, detect_format
from src.data.layouts import NONE
from src.data.levels import choose_scaling, to_bytes
from src.data.metadata import metadata_labels
from src.data.parquet_files import files_of_splits, read_parquet
from src.data.raster import fit_to_shape
from src.support.errors import UserError
from src.support.texts import natural_key


class Parts(NamedTuple):
    """Images (N, C, H, W) uint8 of each split, or of WHOLE, with their labels, and notes for the user.

    classes: the names of the classes in order; None where the labels themselves decide it
    names: those of the images in each split, by their files; none of the images of an array
    """

    stacks: dict[str, Stack]
    classes: tuple[str, ...] | None
    notes: list[str]
    names: Mapping[str, Sequence[str]] = MappingProxyType({})


class Album(NamedTuple):
    """Image files of each split, or of WHOLE, with their labels; classes as in `Parts`."""

    files: Mapping[str, Sequence[Encoded]]
    labels: Mapping[str, np.ndarray | None]
    classes: tuple[str, ...] | None

    def every(self) -> list[Encoded]:
        """The files of all splits."""
        return [file for part in self.files.values() for file in part]


def read_parts(top: Path, asked: Asked) -> Parts:
    """Read all images at a path, fitted to one shape."""
    try:
        form = detect_format(top)
    except OSError as error:
        raise UserError(f"{asked.option} can't be read ({error.strerror or error})") from error
    check_names(form, asked)
    if form is None or form.kind in KINDS:
        stacks, notes = read_arrays(top, asked)
        return fit_arrays(stacks, None, notes, asked)
    if form.kind == "folder":
        return read_folder(top, asked)
    if form.kind == "parquet":
        return read_parquet_parts({WHOLE: [top]}, [], asked)
    if form.kind == "image":
        if asked.group == "data":
            raise UserError(f"{asked.option} is {form.name}: give the folder of such images")
        return decode_album(Album({WHOLE: [Encoded(top.name, top)]}, {WHOLE: None}, None), [], asked)
    raise UserError(f"{asked.option} is {form.name}, which is not read: {form.remedy}")


def check_names(form: Format | None, asked: Asked) -> None:
    """Raise UserError for names of arrays or columns that images of a form have not."""
    if form is None or form.kind == "parquet":
        return
    if asked.images is not None:
        raise UserError(f"data.images={asked.images}: {asked.option} is {form.name}, without names: leave it out")
    if form.kind == "folder" and asked.label_name is not None:
        raise UserError(
            f"data.labels={asked.labels}: the classes of a folder are its sub-folders: leave it out, or give {NONE}"
        )


def read_folder(top: Path, asked: Asked) -> Parts:
    """Read the image files of a folder, or its Parquet files, whose names may begin with those of splits."""
    first = next(find_images(top, (*SUFFIXES, ".parquet")), None)
    if first is None or first.suffix.lower() != ".parquet":
        listing = list_folder(top, asked.option, needs_train=asked.group == "data")
        files = {
            part: [Encoded(str(path.relative_to(top)), path) for path in paths] for part, paths in listing.parts.items()
        }
        known = {} if asked.labels == NONE else listing.labels
        classes = listing.classes
        if asked.labels != NONE and not any(known.values()):
            known = {part: metadata_labels(top, paths, asked.option) for part, paths in listing.parts.items()}
            classes = tuple(sorted({label for each in known.values() for label in each or ()}, key=natural_key))
        labels = {part: np.array(each) if (each := known.get(part)) else None for part in listing.parts}
        kept = labelled_parts(labels, asked.option, listing.notes)
        album = Album({part: files[part] for part in kept}, {part: labels[part] for part in kept}, classes or None)
        return decode_album(album, listing.notes, asked)
    notes: list[str] = []
    tables = files_of_splits(top, list(find_images(top, (".parquet",))), asked.option, notes)
    return read_parquet_parts(tables, notes, asked)


def read_parquet_parts(paths: Mapping[str, Sequence[Path]], notes: list[str], asked: Asked) -> Parts:
    """Read the images of Parquet files, by split or WHOLE; an unlabelled split beside labelled images is left out."""
    rows = {part: read_parquet(each, asked.option, asked.images, asked.labels) for part, each in paths.items()}
    kept = labelled_parts({part: each.labels for part, each in rows.items()}, asked.option, notes)
    rows = {part: rows[part] for part in kept}
    first, labels = rows[kept[0]], {part: each.labels for part, each in rows.items()}
    classes = first.classes if first.classes and first.labels is not None else None
    if any(isinstance(each.images, np.ndarray) for each in rows.values()):
        stacks = {
            part: stack_of(np.asarray(each.images), labels[part], asked, "labels", notes) for part, each in rows.items()
        }
        return fit_arrays(stacks, classes, notes, asked)
    files = {
        part: [
            Encoded(f"{paths[part][0].name if len(paths[part]) == 1 else part}[{i}]", content or b"")
            for i, content in enumerate(each.images)
        ]
        for part, each in rows.items()
    }
    return decode_album(Album(files, labels, classes), notes, asked)


def fit_arrays(
    stacks: Mapping[str, Stack], classes: tuple[str, ...] | None, notes: Sequence[str], asked: Asked
) -> Parts:
    """Scale the images of arrays to bytes, by one rule for all splits, and fit them to one shape."""
    arrays = [each.images for each in stacks.values()]
    scaling = choose_scaling(arrays, asked.white, f"{asked.group}.white", asked.option)
    first = next(iter(stacks.values())).images
    shape = tuple(asked.shape or first.shape[1:])
    sizes = {each.images.shape[1:] for each in stacks.values()}
    told = [scaling.note] if scaling.note else []
    told += [f"fitted from {describe(size)} to {describe(shape)}" for size in sizes if size != shape]
    fitted = {
        part: Stack(fit_stack(to_bytes(each.images, scaling), shape), each.labels) for part, each in stacks.items()
    }
    return Parts(fitted, classes, [*notes, *told])


def fit_stack(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Fit images (N, C', H', W') uint8 to (C, H, W): colors become gray, or gray three channels."""
    channels, height, width = shape
    if images.shape[1:] == shape:
        return np.ascontiguousarray(images)
    if images.shape[1] == 3 and channels == 1:  # the luma of ITU-R 601, as in Pillow
        gray = images.transpose(0, 2, 3, 1) @ np.array([0.299, 0.587, 0.114], np.float32)
        images = gray.round().astype(np.uint8)[:, None]
    elif images.shape[1] == 1 and channels == 3:
        images = images.repeat(3, axis=1)
    if images.shape[2:] == (height, width):
        return images
    bar = tqdm(images, desc="fitting images", unit="image", disable=None, leave=False, delay=1)
    return np.stack(
        [
            fit_to_shape(np.ascontiguousarray(each.transpose(1, 2, 0)), (channels, height, width), f"image {i}")
            for i, each in enumerate(bar)
        ]
    )


def decode_album(album: Album, notes: Sequence[str], asked: Asked) -> Parts:
    """Decode the image files of each split, fitted to one shape."""
    found, option = survey(album.every()), f"{asked.group}.white"
    shape = choose_shape(found, asked.shape)
    whites = choose_whites(album.every(), found.kinds, asked.white, option, asked.option)
    decoded = {part: decode(each, shape, whites, option) for part, each in album.files.items()}
    told = broken_note({k: v for each in decoded.values() for k, v in each.broken.items()}, album, asked)
    if asked.white == "auto":
        told += [f"levels of {kind}: {whites[kind]:g} is white" for kind in sorted(found.kinds - {"bits", "bytes"})]
    highest = max(each.highest for each in decoded.values())
    if asked.white == "auto" and "bytes" in found.kinds and highest < 128:
        if highest > 1 or found.kinds != {"bytes"}:
            raise UserError(
                f"{asked.option}: no level is above {highest} of 255: {option}={highest}, if that is white, "
                "or 255 if they are meant to be so"
            )
        told.append("levels 0 and 1: 1 is white")
        decoded = {part: decode(each, shape, whites | {"bytes": 1.0}, option) for part, each in album.files.items()}
    elif dark := [name for each in decoded.values() for name in each.dark]:
        told.append(f"{len(dark):,} files, such as {dark[0]}, hold the levels 0 and 1 of 255 alone: they are black")
    labels = {part: None if each is None else each[decoded[part].rows] for part, each in album.labels.items()}
    images = {part: each.images for part, each in decoded.items()}
    if asked.shape is None and shape[0] == 3 and all(map(is_gray, images.values())):
        images = {part: each[:, :1].copy() for part, each in images.items()}
        shape = 1, *shape[1:]
    if grayed := sum(each.grayed for each in decoded.values()):
        told.append(f"{count_images(grayed)} in color made gray")
    if shape[0] == 3 and 0 < len(found.colored) < len(album.every()):
        told.append(f"{len(found.colored):,} of {len(album.every()):,} files are in color, such as {found.colored[0]}")
    if set(found.sizes) != {shape[1:]}:
        told.append(f"{found.size_note()}, fitted to {shape[1]} x {shape[2]}")
    several = sum(int((np.bincount(each.rows) > 1).sum()) for each in decoded.values())
    if several and WHOLE in decoded and asked.group == "data":
        told.append(f"{several:,} files hold several images: those of one file are in training and test images alike")
    names = {part: each.names for part, each in decoded.items()}
    stacks = {part: Stack(each, labels[part]) for part, each in images.items()}
    return Parts(stacks, album.classes, [*notes, *told], names)


def broken_note(broken: Mapping[str, str], album: Album, asked: Asked) -> list[str]:
    """A note about the files that can't be read, by names and reasons. Raises UserError unless they may be skipped."""
    count = len(album.every())
    if broken and not asked.skip_broken:
        remedy = f"remove them, or {asked.group}.skip_broken=true leaves them out"
        raise UserError(f"{asked.option}: {broken_files(broken, count)}: {remedy}")
    if len(broken) == count:
        raise UserError(f"{asked.option}: {broken_files(broken, count)}: none is left")
    return [f"skipped: {broken_files(broken, count)}"] if broken else []


def is_gray(images: np.ndarray) -> bool:
    """Whether all three channels of images (N, 3, H, W) are the same."""
    return all((image == image[:1]).all() for image in images)


def describe(shape: Sequence[int]) -> str:
    """The shape (C, H, W) of an image in words."""
    return f"{shape[1]} x {shape[2]}" + (" in color" if shape[0] == 3 else "")
