"""Single images: as a batch, as rows of a picture, and by name."""

from collections.abc import Sequence

import numpy as np
import torch

from src.build import Run
from src.data.batches import Batch
from src.data.pixels import Pixels, as_bytes, as_input
from src.figures.grids import data_rows


def example_batch(run: Run, rows: Sequence[int]) -> Batch:
    """The test images in these rows, in one batch on the device of the VAE; its index counts from 0."""
    return next(iter(run.batches(run.data.test.take(np.asarray(rows)), len(rows))))


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
