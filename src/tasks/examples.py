"""Single test images: as a batch, and by name."""

from collections.abc import Sequence

import numpy as np

from src.build import Run
from src.data.batches import Batch


def example_batch(run: Run, rows: Sequence[int]) -> Batch:
    """The test images in these rows, in one batch on the device of the VAE; its index counts from 0."""
    return next(iter(run.batches(run.data.test.take(np.asarray(rows)), len(rows))))


def describe(run: Run, row: int) -> str:
    """The name of a test image, with its class where there are several."""
    classes = run.data.source.classes
    label = f" ({classes[run.data.test.labels[row]]})" if len(classes) > 1 else ""
    return f"test image {row}{label}"
