"""Distances of samples from test images, in the features of a classifier trained on the same data (classifier.py).

A distance means little by itself: it is reported with its floor, the same distance between as many training and test
images. Means of p(x|z) are compared with grayscale images, draws with images as the model sees them, which may be
binary; each of the two kinds has its own classifier, and one is never compared with the other. A Fréchet distance
shrinks with the number of images (Chong & Forsyth, 2020), so that number is always the same: `count`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from src.build import Run
from src.data.pixels import SEEDS, Pixels, prepare
from src.data.sources import Split
from src.evaluation.classifier import Classifier, accuracy, features, load_or_train
from src.support.errors import UserError
from src.support.statistics import Estimate, estimate

Kind = Literal["means", "draws"]
Distances = dict[str, float | Estimate]
MOST, FEWEST = 10_000, 20  # the most samples that are compared; the fewest test images that a comparison needs
BLOCKS = 10  # number of blocks of images, whose kernel distances are averaged
NEIGHBOURS = 3  # rank of the neighbour, by distance, to which the ball around an image reaches


def frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)) for the means and covariances of two sets of features (N, F).

    This is the squared Wasserstein distance between the Gaussians with these moments (Heusel et al., 2017).
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    extractor = nn.Identity()
    extractor.num_features = real.shape[1]
    metric = FrechetInceptionDistance(extractor).set_dtype(torch.float64)
    metric.update(torch.from_numpy(real).double(), real=True)
    metric.update(torch.from_numpy(fake).double(), real=False)
    return float(metric.compute())


def kid(real: np.ndarray, fake: np.ndarray, blocks: int = BLOCKS) -> Estimate:
    """The squared MMD of two sets of features (N, F) for the kernel (x'y / F + 1)^3 (Binkowski et al., 2018).

    It is the mean of the unbiased estimates from disjoint random blocks, with its standard error. It may be below zero,
    and its expectation does not depend on N. Sets with equally many images of each class are more alike than random
    ones, so that their distance is a little below zero.
    """
    from torchmetrics.image.kid import poly_mmd

    random, blocks = np.random.default_rng(0), min(blocks, len(real) // 2)
    # files have an order: the first half of MNIST's test images is by other writers than the second
    shuffled = (torch.from_numpy(random.permutation(each)).double() for each in (real, fake))
    pairs = zip(*(each.tensor_split(blocks) for each in shuffled), strict=True)
    return estimate(np.array([float(poly_mmd(a, b)) for a, b in pairs]))


def precision_recall(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """The share of fake images that the real ones cover, and the share of real ones that the fake ones cover.

    An image covers the ball around it that reaches to its third neighbour of its own set; features (N, F) (Kynkäänniemi
    et al., 2019).
    """
    a, b = torch.from_numpy(real), torch.from_numpy(fake)
    return _coverage(b, a), _coverage(a, b)


def _coverage(points: Tensor, by: Tensor) -> float:
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(by.numpy())
    radii = torch.from_numpy(nearest.kneighbors()[0][:, -1])
    covered = [(torch.cdist(chunk, by) <= radii).any(1) for chunk in points.split(1000)]
    return float(torch.cat(covered).double().mean())


def obstacle(run: Run) -> str | None:
    """The reason why samples of a run cannot be compared with its images; None if they can."""
    source = run.data.source
    if len(np.unique(source.train.labels)) < 2:
        return f"the images of {source.name} are of one class, and classifying them gives the features to compare"
    if count(run) < FEWEST:
        return f"{source.name} has {len(source.test.images)} test images, and a comparison needs {FEWEST}"
    return None


def kinds(run: Run) -> tuple[Kind, ...]:
    """What of p(x|z) is compared: its means and draws from it, or draws alone where the means are averages of these."""
    return ("draws",) if run.vae.averages_draws else ("means", "draws")


def count(run: Run) -> int:
    """The number of samples, and of test images, that are compared: all test images, but 10,000 at most."""
    source = run.data.source
    return min(MOST, len(source.test.images), len(source.train.images))


@dataclass
class Reference:
    """Test images of one kind, with which samples are compared.

    classifier: trained on images of that kind; real: the features (N, F) of the test images; floor: the distances of
    as many training images
    accuracy: that of the classifier on the test images
    """

    classifier: Classifier
    real: np.ndarray
    floor: Distances
    accuracy: float

    def distances(self, images: np.ndarray, labels: np.ndarray | None = None) -> Distances:
        """The distances of images (N, C, H, W) uint8, as many as the reference has.

        labels: (N,), those that the images were made of; their `agreement` is the share on which the classifier agrees
        """
        found = distances(self.real, features(self.classifier, images))
        return found if labels is None else found | {"agreement": accuracy(self.classifier, Split(images, labels))}


def distances(real: np.ndarray, fake: np.ndarray) -> Distances:
    """The distances frechet, kid, precision and recall of two sets of features (N, F).

    Raises ValueError for sets of different sizes, since the Fréchet distance shrinks with the number of images.
    """
    if len(real) != len(fake):
        raise ValueError(f"{len(fake)} samples against {len(real)} images: a comparison needs as many of both")
    precision, recall = precision_recall(real, fake)
    return {"frechet": frechet(real, fake), "kid": kid(real, fake), "precision": precision, "recall": recall}


def references(run: Run) -> dict[str, Reference]:
    """The test images that each of the `kinds` of a run is compared with. Raises UserError if there is an `obstacle`.

    Trains a classifier for each kind of images unless the cache has it, which takes a minute for 50,000 images of
    28 x 28.
    """
    if reason := obstacle(run):
        raise UserError(reason)
    n, source = count(run), run.data.source
    train, test = (np.linspace(0, len(split.images) - 1, n).astype(int) for split in (source.train, source.test))
    found: dict[str, Reference] = {}
    if "means" in kinds(run) or run.data.pixels != Pixels.BINARY:
        grey = _reference(run, "grey", source.train.images[train], source.test.take(test))
        found = dict.fromkeys(kinds(run), grey)
    if run.data.pixels == Pixels.BINARY:
        drawn = prepare(source.train.images[train], Pixels.BINARY, SEEDS["train"])
        found["draws"] = _reference(run, "binary", drawn, run.data.test.take(test))
    return found


def _reference(run: Run, pixels: Literal["grey", "binary"], train: np.ndarray, test: Split) -> Reference:
    classifier = load_or_train(run.data.source, pixels, device=run.device)
    real = features(classifier, test.images)
    floor = distances(real, features(classifier, train))
    return Reference(classifier, real, floor, accuracy(classifier, test))


def floors(references: Mapping[str, Reference], with_labels: bool = False) -> dict[str, Distances]:
    """The distances of training images by kind, below which no sampler is expected.

    with_labels: adds as `agreement` the classifier's accuracy on the test images
    """
    return {
        kind: reference.floor | ({"agreement": reference.accuracy} if with_labels else {})
        for kind, reference in references.items()
    }


def sample_quality(run: Run, means: np.ndarray, draws: np.ndarray, labels: np.ndarray | None = None) -> dict[str, Any]:
    """The distances of `count(run)` samples, the means of p(x|z) and the draws, (N, C, H, W) uint8, with their floors.

    A table: a row for each of `kinds` and, in a table of its own, `floor`. labels: those given to a conditional model
    """
    against = references(run)
    samples = {"means": means, "draws": draws}
    distances = {kind: against[kind].distances(samples[kind], labels) for kind in against}
    return {**distances, "floor": floors(against, with_labels=labels is not None)}
