"""A user's own images in a task: read, prepared for the run's VAE, and as rows of a picture."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from omegaconf import DictConfig

from src.build import Run
from src.data import image_files, raster
from src.data.image_files import Reading, UserImages
from src.data.layouts import NONE
from src.data.pixels import as_bytes, as_input, prepare
from src.data.sources import Split
from src.data.splits import count_known
from src.evaluation.labels import infer_labels
from src.figures.page import shorten
from src.support.noise import seed_of
from src.support.ranges import Positive
from src.tasks.examples import Examples, test_set

log = logging.getLogger(__name__)
LONGEST = 40  # characters of a file's name in a picture
Invert = bool | Literal["auto"]
White = Positive | Literal["auto"]


def read_own_images(run: Run, input: str, invert: Invert, white: White, skip_broken: bool = False) -> UserImages:
    """The images of a file or a folder, with the shape of the run's.

    invert, white, skip_broken: how src/data/image_files.py reads them: whether dark and light change places, the white
        level, and whether files that can't be read are left out
    """
    train, shape = run.data.source.train.images, tuple(run.config.data.shape)
    known = reading_of(run.config.data)
    own = image_files.read(input, shape, raster.border(train).mean(), invert, white, skip_broken, known)
    if count := count_known(own.images, train):
        log.warning(
            "%d of your %d images are among the run's training images, which it knows better than new ones",
            count,
            len(own.images),
        )
    return own


def reading_of(data: DictConfig) -> Reading:
    """How a run's own images were read, given the run's options of its data; the usual way for published data."""
    labels, invert = data.get("labels"), data.get("invert", False)
    return Reading(
        data.get("images"),
        # a file holds the labels of the run's images alone
        None if labels == NONE or Path(labels or "").suffix else labels,
        data.get("white", "auto"),
        "light" if invert == "auto" else invert,
    )


def prepare_own_images(run: Run, own: UserImages) -> np.ndarray:
    """The images, prepared for the run's VAE; pixels that are drawn are the same in all tasks."""
    seed = seed_of(run.seed, "anomaly", "input") % 2**32
    return prepare(np.ascontiguousarray(own.images), run.data.pixels, seed)


def own_picture_rows(own: UserImages, prepared: np.ndarray, rows: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
    """The images in these rows as rows of a picture, by their names: resized, and as the VAE sees them."""
    chosen = np.asarray(rows)
    images, inverted = own.images[chosen], own.inverted[chosen, None, None, None]
    return {
        "your image": np.where(inverted, 255 - images, images),
        "as the VAE sees it": as_bytes(as_input(torch.from_numpy(prepared[chosen]))),
    }


def examples(run: Run, input: str | None, invert: Invert, white: White, skip_broken: bool = False) -> Examples:
    """The images of a file or a folder, see `read_own_images`, or the run's test images where `input` is None.

    A conditional model is given the likeliest label of each of a user's images.
    """
    if input is None:
        return test_set(run)
    own = read_own_images(run, input, invert, white, skip_broken)
    prepared = prepare_own_images(run, own)
    split = Split(prepared, infer_labels(run, prepared))
    picture_rows = partial(own_picture_rows, own, prepared)
    return Examples(run, "images of yours", split, own.labels, picture_rows, partial(describe_own, own), own.names)


def describe_own(own: UserImages, row: int) -> str:
    """The name of an image's file, with its class where the name does not begin with it."""
    name = own.classes[own.labels[row]] if own.classes else ""
    file = own.names[row]
    label = f" ({shorten(name, LONGEST)})" if name and not file.startswith(f"{name}/") else ""
    return (file if len(file) <= LONGEST else f"…{file[1 - LONGEST :]}") + label
