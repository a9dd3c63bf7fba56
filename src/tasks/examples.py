"""Single images: as a batch, as rows of a picture, and by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from src.build import Run
from src.data.batches import Batch
from src.data.pixels import Pixels, as_bytes, as_input
from src.data.selection import mixed_rows
from src.data.sources import Split
from src.figures.grids import data_rows

SHORT = 16  # characters of a file's name under an image


@dataclass(frozen=True)
class Examples:
    """Images of which a task takes some, by their rows.

    kind: what they are called
    split: the images, prepared for the run's VAE, and the labels that a conditional model is given
    classes: the class of each image, (N,); empty where there are none
    picture_rows: what a picture shows of the images in some rows, (N, C, H, W) by name
    describe: the name of an image for a picture
    files: the names of the images' files; empty where there are none
    """

    run: Run
    kind: str
    split: Split
    classes: np.ndarray
    picture_rows: Callable[[Sequence[int]], dict[str, np.ndarray]]
    describe: Callable[[int], str]
    files: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.split.images)

    def batch(self, rows: Sequence[int]) -> Batch:
        """The images in these rows, in one batch on the device of the VAE; its index counts from 0."""
        return next(iter(self.run.batches(self.split.take(np.asarray(rows)), len(rows))))

    def mixed_rows(self, count: int) -> np.ndarray:
        """Rows of up to `count` images: in a random order in which classes take turns, or the first of images without
        classes."""
        if not len(self.classes):
            return np.arange(min(count, len(self)))
        return mixed_rows(self.classes, count, self.run.seed)

    def short_names(self, rows: Sequence[int]) -> list[str]:
        """The last characters of the names of some images' files, for the place under an image."""
        return [self.files[row][-SHORT:] for row in rows] if self.files else []


def test_set(run: Run) -> Examples:
    """The test images of a run."""
    test = run.data.test
    return Examples(run, "test images", test, test.labels, partial(picture_rows, run), partial(describe, run))


def picture_rows(run: Run, rows: Sequence[int], split: str = "test") -> dict[str, np.ndarray]:
    """The images in these rows of a split as rows of a picture, by their names: see `data_rows`."""
    chosen = np.asarray(rows)
    pixels = as_bytes(as_input(torch.from_numpy(getattr(run.data, split).images[chosen])))
    return data_rows(pixels, original_images(run, getattr(run.data.source, split).images[chosen]))


def original_images(run: Run, levels: np.ndarray) -> np.ndarray | None:
    """The gray levels of images where the model sees binary pixels instead; None where it sees the levels."""
    return levels if run.data.pixels == Pixels.BINARY else None


def describe(run: Run, row: int) -> str:
    """The name of a test image, with its class where there are several."""
    classes = run.data.source.classes
    label = f" ({classes[run.data.test.labels[row]]})" if len(classes) > 1 else ""
    return f"test image {row}{label}"
