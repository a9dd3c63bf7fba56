"""Pictures of what a conditional model has learned of style: one code with each label, and the codes of images with
other labels."""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from src.build import Run
from src.data.pixels import as_bytes
from src.figures.grids import MAX_CLASSES, sheet
from src.support.noise import Noise
from src.tasks.captions import means_of
from src.tasks.examples import test_set

COLUMNS = 12  # codes in a picture


@torch.no_grad()
def styles(run: Run) -> Figure:
    """Draw COLUMNS codes from the prior, each decoded with every label: a row for each class."""
    labels = shown_labels(run)
    vae, y = run.vae, torch.full((COLUMNS,), labels[0], device=run.device)
    with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []):
        torch.manual_seed(Noise(run.seed).at("styles").seed)
        z = vae.given(y).sample_codes(COLUMNS)
    same = "the same noise of p(z | y)" if run.vae.condition.has_prior else "the same code z from the prior"
    caption = f"{means_of(vae)} p(x | z, y), a row for each class y{more(run)}: in a column {same}"
    return sheet(run.config.title, caption, relabel(run, z, y, labels))


@torch.no_grad()
def transfer(run: Run) -> Figure:
    """Draw test images, and the code of each decoded with every label: a row for each class."""
    labels, source = shown_labels(run), test_set(run)
    rows = source.mixed_rows(COLUMNS)
    batch = source.batch(rows)
    z = run.vae.given(batch.y).embed(batch.x)
    images = [*source.picture_rows(rows).items(), *relabel(run, z, batch.y, labels)]
    classes = [run.data.source.classes[label] for label in batch.y.tolist()]
    code = "noise of p(z | y)" if run.vae.condition.has_prior else "code z"
    caption = f"the {code} of a test image, decoded with the label of each class{more(run)}; beneath, the image's own"
    return sheet(run.config.title, caption, images, classes)


def relabel(run: Run, z: Tensor, y: Tensor, labels: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """A row for each of `labels`: its name, and the means of p(x|z, y) at codes z (B, D) of images of labels y (B,)."""
    rows = []
    for label in labels.tolist():
        to = torch.full_like(y, label)
        mean = run.vae.given(to).decode(run.vae.condition.carry(z, y, to)).mean
        rows.append((run.data.source.classes[label], as_bytes(mean)))
    return rows


def shown_labels(run: Run) -> np.ndarray:
    """The labels of the training images, the first MAX_CLASSES of them."""
    return np.unique(run.data.source.train.labels)[:MAX_CLASSES]


def more(run: Run) -> str:
    """What a caption says where not all classes are shown."""
    count = len(np.unique(run.data.source.train.labels))
    return f", the first {MAX_CLASSES} of {count}" if count > MAX_CLASSES else ""
