"""How far samples are from test images, in the features of a classifier trained on the same data (classifier.py).

No distance means much alone: each stands beside its floor, the same distance between as many training and test images.
Means of p(x|z) are compared with grey images, draws with images as the model sees them, binary ones if it does so; the
two kinds have each their classifier, and are never crossed. A Fréchet distance shrinks with the number of images (Chong
& Forsyth, 2020), so that number is always the same: `count`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from src.build import Run
from src.data.pixels import SEEDS, Pixels, prepare
from src.evaluation.classifier import Classifier, cached, features
from src.support.errors import UserError

MOST = 10_000  # images that are compared, of either kind
FEWEST = 20
BLOCKS = 10  # whose kernel distances are averaged
NEIGHBOURS = 3


def frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)) of two sets of features (N, F): Wasserstein's squared distance of the
    Gaussians of their moments (Heusel et al., 2017)."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    extractor = nn.Identity()
    extractor.num_features = real.shape[1]
    metric = FrechetInceptionDistance(extractor).set_dtype(torch.float64)
    metric.update(torch.from_numpy(real).double(), real=True)
    metric.update(torch.from_numpy(fake).double(), real=False)
    return float(metric.compute())


def kid(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """The squared MMD of two sets of features (N, F) for the kernel (x'y / F + 1)^3 (Binkowski et al., 2018), and its
    standard error: the unbiased estimates of ten disjoint random blocks. It may be below zero, and its expectation does
    not depend on N; sets with equally many of each class are more alike than chance, and come out a little below."""
    from torchmetrics.image.kid import poly_mmd

    random, blocks = np.random.default_rng(0), min(BLOCKS, len(real) // 2)
    # shuffled: files have their order, the first half of MNIST's test images is by other writers than the second
    shuffled = (torch.from_numpy(random.permutation(each)).double() for each in (real, fake))
    pairs = zip(*(each.tensor_split(blocks) for each in shuffled), strict=True)
    values = np.array([float(poly_mmd(a, b)) for a, b in pairs])
    return float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)


def precision_recall(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """The share of fakes that lie among the real, and of reals among the fake: within the ball around one of them that
    reaches to its third neighbour; features (N, F) (Kynkäänniemi et al., 2019)."""
    a, b = torch.from_numpy(real), torch.from_numpy(fake)
    return _covered(b, a), _covered(a, b)


def _covered(points: Tensor, by: Tensor) -> float:
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(by.numpy())
    radii = torch.from_numpy(nearest.kneighbors()[0][:, -1])
    inside = [(torch.cdist(chunk, by) <= radii).any(1) for chunk in points.split(1000)]
    return float(torch.cat(inside).double().mean())


def unmeasurable(run: Run) -> str | None:
    """Why samples of a run can't be compared with its images, if so."""
    source = run.data.source
    if len(np.unique(source.train.labels)) < 2:
        return f"the images of {source.name} are of one class, and classifying them gives the features to compare"
    if count(run) < FEWEST:
        return f"{source.name} has {len(source.test.images)} test images, and a comparison needs {FEWEST}"
    return None


def count(run: Run) -> int:
    """How many samples are compared with as many test images: all these, or 10,000."""
    source = run.data.source
    return min(MOST, len(source.test.images), len(source.train.images))


@dataclass
class Reference:
    """Test images of one kind: what samples are compared with.

    classifier: of that kind of images; real: the features (N, F) of the test images; floor: the distances of as many
    training images
    """

    classifier: Classifier
    real: np.ndarray
    floor: dict[str, float]

    def distances(self, images: np.ndarray) -> dict[str, float]:
        """The distances of images (N, C, H, W) uint8, as many as are compared."""
        return distances(self.real, features(self.classifier, images))


def distances(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """frechet, kid and kid_se, precision and recall of two sets of features (N, F). Raises ValueError where one is
    larger: the Fréchet distance would be smaller for it."""
    if len(real) != len(fake):
        raise ValueError(f"{len(fake)} samples against {len(real)} images: a comparison needs as many of both")
    kernel, error = kid(real, fake)
    precision, recall = precision_recall(real, fake)
    return {
        "frechet": frechet(real, fake), "kid": kernel, "kid_se": error, "precision": precision, "recall": recall
    }  # fmt: skip


def references(run: Run) -> dict[str, Reference]:
    """What the `means` and the `draws` of a run are compared with. Raises UserError where it is `unmeasurable`.

    Trains a classifier for each kind of images, unless there was one: a minute for 50,000 images of 28 x 28.
    """
    if why := unmeasurable(run):
        raise UserError(why)
    n, source = count(run), run.data.source
    train, test = (np.linspace(0, len(split.images) - 1, n).astype(int) for split in (source.train, source.test))
    grey = _reference(run, "grey", source.train.images[train], source.test.images[test])
    if run.data.pixels != Pixels.BINARY:
        return {"means": grey, "draws": grey}
    drawn = prepare(source.train.images[train], Pixels.BINARY, SEEDS["train"])
    binary = _reference(run, "binary", drawn, run.data.test.images[test])
    return {"means": grey, "draws": binary}


def _reference(run: Run, pixels: Literal["grey", "binary"], train: np.ndarray, test: np.ndarray) -> Reference:
    classifier = cached(run.data.source, pixels, device=run.device)
    real = features(classifier, test)
    return Reference(classifier, real, distances(real, features(classifier, train)))


def compared(references: Mapping[str, Reference], samples: Mapping[str, np.ndarray]) -> dict[str, float]:
    """KIND/frechet, KIND/kid, ... of samples by their kind, `means` or `draws`: (N, C, H, W) uint8."""
    return rows({kind: references[kind].distances(images) for kind, images in samples.items()})


def floors(references: Mapping[str, Reference]) -> dict[str, float]:
    """floor/KIND/frechet, ...: the same distances of training images, below which no sampler is expected."""
    return rows({f"floor/{kind}": reference.floor for kind, reference in references.items()})


def rows(numbers: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """ROW/COLUMN: a number, as tables are shown."""
    return {f"{row}/{column}": value for row, columns in numbers.items() for column, value in columns.items()}


def sample_quality(run: Run, means: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    """`compared` and `floors`, for `count(run)` samples: the means of p(x|z) and the draws, (N, C, H, W) uint8."""
    against = references(run)
    return compared(against, {"means": means, "draws": draws}) | floors(against)
