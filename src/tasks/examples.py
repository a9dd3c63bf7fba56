"""Single test images: as a batch, and by name."""

from collections.abc import Sequence

import numpy as np

from src.build import Run
from src.data.module import Batch
from src.data.sources import Split


def example_batch(run: Run, rows: Sequence[int] | np.ndarray) -> Batch:
    """The test images in these rows, in one batch on the device of the VAE; its index counts from 0."""
    images, labels = (array[rows] for array in run.data.test)
    return next(iter(run.batches(Split(images, labels), len(rows))))


def describe(run: Run, row: int) -> str:
    """The name of a test image, with its class where there are several."""
    classes = run.data.source.classes
    label = f" ({classes[run.data.test.labels[row]]})" if len(classes) > 1 else ""
    return f"test image {row}{label}"
