"""Labels of image files in the metadata.csv beside them, as Hugging Face's imagefolder reads it."""

import csv
from collections.abc import Sequence
from pathlib import Path

from src.data.layouts import LABELS
from src.support.errors import UserError, one_line, printable

NAME = "metadata.csv"
FILE_NAME = "file_name"  # the column of the paths of images, from the folder of the file


def metadata_files(top: Path, images: Sequence[Path]) -> list[Path]:
    """The metadata files of the images of a folder: in their own folders, or in those above them up to `top`."""
    folders = {parent for folder in {image.parent for image in images} for parent in (folder, *folder.parents)}
    return [folder / NAME for folder in sorted(folders) if folder.is_relative_to(top) and (folder / NAME).is_file()]


def metadata_labels(top: Path, images: Sequence[Path], option: str) -> list[str] | None:
    """The label of each image of a folder without class folders; None where no metadata file has a column of labels.

    Raises UserError for an image without a label beside images that have one.
    """
    labels: dict[Path, str] = {}
    for file in metadata_files(top, images):
        labels |= read_labels(file, option)
    missing = [image for image in images if not labels.get(image)]
    if not labels or len(missing) == len(images):
        return None
    if missing:
        name = printable(str(missing[0].relative_to(top)))
        raise UserError(f"{option}: {NAME} has no label for {name}, but for others: add it, or data.labels=none")
    return [labels[image] for image in images]


def read_labels(file: Path, option: str) -> dict[Path, str]:
    """The labels in a metadata file by the paths of the images; none where it has no such columns."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.DictReader(opened))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{option}: {NAME} can't be read ({one_line(error)}): save it again in UTF-8") from error
    names = {name.strip().lower(): name for name in (rows[0] if rows else {}) if isinstance(name, str)}
    column = next((names[name] for name in LABELS if name in names), None)
    if column is None or FILE_NAME not in names:
        return {}
    return {file.parent / (row[names[FILE_NAME]] or ""): (row[column] or "").strip() for row in rows}
