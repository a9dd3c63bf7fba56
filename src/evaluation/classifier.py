"""A small classifier of the images of a data set, in whose features samples are compared."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from src.data.batches import EVALUATION_BATCH
from src.data.pixels import as_input
from src.data.sources import Images, Split
from src.support import noise
from src.support.errors import UserError
from src.support.files import cache_folder, write_to_cache

FEATURES = 64
BATCH = 128
EPOCHS, FEWEST_STEPS = 3, 300  # of a training: passes over all images, and steps at least
PEAK = 0.01  # the highest learning rate of the cycle


class Classifier(nn.Module):
    """p(class | x) of images of any size, with so many channels and classes."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        widths = [channels, 32, 64, 64]
        layers = [
            layer
            for narrow, wide, kernel in zip(widths, widths[1:], (5, 3, 3), strict=False)
            for layer in (
                nn.Conv2d(narrow, wide, kernel, stride=2, padding=kernel // 2, bias=False),  # one pixel stays one
                nn.BatchNorm2d(wide),
                nn.ReLU(),
            )
        ]
        layers += [nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(9 * widths[-1], FEATURES, bias=False)]
        # without scale and shift all features have variance 1, which gives distances the same unit for all data
        self.features = nn.Sequential(*layers, nn.BatchNorm1d(FEATURES, affine=False))
        self.head = nn.Linear(FEATURES, classes)
        self.to(memory_format=torch.channels_last)  # a third faster on CPU

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of images x (B, C, H, W) in [0, 1].

        The layer before, `features(x)` (B, FEATURES), has about mean 0 and variance 1 over the training images.
        """
        return self.head(self.features(x).relu())


def train(
    split: Split,
    classes: int,
    seed: int,
    steps: int | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    device: torch.device | str = "cpu",
) -> Classifier:
    """Train a classifier of labelled images (uint8) with Adam and one cycle of the learning rate; it is returned in
    evaluation mode.

    steps: of 128 images; by default three passes over all images, but at least 300 steps. augment: changes each batch
    (B, C, H, W) in [0, 1], and may draw from torch's generator, which is seeded for it and restored. Raises ValueError
    for fewer than two images or classes.
    """
    images, labels = split
    if len(images) < 2 or len(np.unique(labels)) < 2:
        raise ValueError("a classifier needs images of two classes or more")
    size = min(BATCH, len(images))
    steps = max(FEWEST_STEPS, EPOCHS * len(images) // size) if steps is None else steps
    x, y = (torch.from_numpy(array).to(device) for array in (images, labels.astype(np.int64)))
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.manual_seed(noise.seed_of(seed, "classifier"))
        classifier = Classifier(images.shape[1], classes).to(device)
        optimizer = torch.optim.Adam(classifier.parameters())
        curve = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=steps)
        batches = len(x) // size  # of a pass; images that do not fill a last one are left out of it
        order = torch.cat([torch.randperm(len(x))[: batches * size] for _ in range(-(-steps // batches))])
        for rows in tqdm(order.split(size)[:steps], "classifier", unit="step", disable=None, leave=False, delay=1):
            batch = as_input(x[rows.to(device)])
            logits = classifier(batch if augment is None else augment(batch))
            optimizer.zero_grad()
            functional.cross_entropy(logits, y[rows.to(device)]).backward()
            optimizer.step()
            curve.step()
    return classifier.eval()


def features(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """The features (N, FEATURES) of images (N, C, H, W) uint8."""
    return _in_batches(classifier.features, images, classifier.head.weight.device)


def accuracy(classifier: Classifier, split: Split) -> float:
    """The share of images (uint8) whose label is the likeliest class."""
    logits = _in_batches(classifier, split.images, classifier.head.weight.device)
    return float((logits.argmax(1) == split.labels).mean())


@torch.no_grad()
def _in_batches(function: Callable[[Tensor], Tensor], images: np.ndarray, device: torch.device) -> np.ndarray:
    chunks = torch.from_numpy(images).split(EVALUATION_BATCH)
    return torch.cat([function(as_input(chunk.to(device))).cpu() for chunk in chunks]).numpy()


def load_or_train(
    source: Images, pixels: Literal["grey", "binary"], seed: int = 0, device: torch.device | str = "cpu"
) -> Classifier:
    """The classifier of a data set's training images, grayscale or binary; binary images are drawn anew for each batch.

    It is trained once and stored in the user's cache folder ($XDG_CACHE_HOME/vae-lab), under a hash of the images, the
    labels and this file. Raises UserError where all labels are the same.
    """
    images, labels = source.train
    if len(np.unique(labels)) < 2:
        raise UserError(f"the images of {source.name} are of one class: no classifier can be trained to compare them")
    path = _cache_file(source, pixels, seed)
    classifier = Classifier(images.shape[1], len(source.classes))
    with suppress(Exception):  # a file that is missing or can't be used is written anew
        classifier.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return classifier.eval().to(device)
    draw = torch.bernoulli if pixels == "binary" else None
    classifier = train(source.train, len(source.classes), seed, augment=draw, device=device)
    write_to_cache(path, lambda partial: torch.save(classifier.state_dict(), partial))
    return classifier


def _cache_file(source: Images, pixels: str, seed: int) -> Path:
    """The path of the classifier's weights, whose name is a hash of all that they depend on."""
    images, labels = source.train
    key = hashlib.sha256(f"{pixels} {seed} {images.shape} {len(source.classes)}".encode())
    for content in (images, labels):
        key.update(np.ascontiguousarray(content).data)
    key.update(Path(__file__).read_bytes())
    return cache_folder() / f"classifier_{pixels}_{key.hexdigest()[:16]}.pt"
