"""Row numbers of some images of a split, selected by class, by position in the order, or at random."""

import numpy as np
import torch

from src.data.sources import Split
from src.support import noise


def class_balanced_rows(labels: np.ndarray, count: int, random: np.random.Generator | None = None) -> np.ndarray:
    """Rows of up to `count` images with classes taking turns, so that each has the same number while its images last.

    Classes come in their order and images in theirs; with `random`, both are shuffled by it.
    """
    order = np.arange(len(labels)) if random is None else random.permutation(len(labels))
    classes = np.arange(labels.max() + 1) if random is None else random.permutation(labels.max() + 1)
    place = classes[labels[order]]  # position of an image's class within each turn
    return order[np.lexsort((place, ranks_within_class(place)))][:count]


def mixed_rows(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows of up to `count` images in a random order in which classes take turns; a function of the seed."""
    return class_balanced_rows(labels, count, np.random.default_rng(noise.seed_of(seed, "assorted images")))


def class_balanced_subset(split: Split, count: int, seed: int) -> Split:
    """Up to `count` images, the same number of each class while its images last.

    Images are drawn by the seed alone, and a smaller subset is the beginning of a larger one.
    """
    order = np.random.default_rng(noise.seed_of(seed, "real images")).permutation(len(split.labels))
    return split.take(order[np.argsort(ranks_within_class(split.labels[order]), kind="stable")][:count])


def labels_by_class(labels: np.ndarray, count: int) -> np.ndarray:
    """`count` labels, each of those that occur among `labels` (N,) equally often to within one, in their order."""
    return np.sort(np.resize(np.unique(labels), count))


def ranks_within_class(labels: np.ndarray) -> np.ndarray:
    """For each image the number of images of its class before it, (N,)."""
    by_class = np.argsort(labels, kind="stable")
    ranks = np.empty(len(labels), np.int64)
    ranks[by_class] = np.arange(len(labels)) - np.searchsorted(labels[by_class], labels[by_class])
    return ranks


def evenly_spread_rows(among: int, count: int) -> np.ndarray:
    """Ascending rows of `count` of `among` images, or of all: one from each of `count` equal parts of the order.

    Each is drawn within its part by a fixed seed. A fixed step would miss classes where the order has a period.
    """
    edges = np.arange(min(among, count) + 1) * among // max(1, min(among, count))
    return np.random.default_rng(0).integers(edges[:-1], edges[1:])


def equidistant_rows(among: int, count: int) -> np.ndarray:
    """Ascending rows of `count` of `among` images, or of all, at equal distances, with the first and the last."""
    return np.linspace(0, among - 1, min(count, among)).round().astype(int)


def stratified_rows(labels: np.ndarray, count: int) -> np.ndarray:
    """Ascending rows of `count` images that represent all: each class has its share, evenly spread over the order.

    The mean ELBO of 5,000 training images of MNIST is 0.3 nats from that of all (root mean square over the draws of
    200 seeds), compared with 0.4 without regard to the classes.
    """
    return np.sort(np.argsort(labels, kind="stable")[evenly_spread_rows(len(labels), count)])


def random_rows(among: int, count: int, seed: int, purpose: str) -> np.ndarray:
    """Rows of `count` of `among` images, or of all, in a random order that depends on the seed and the purpose."""
    return torch.randperm(among, generator=noise.generator(seed, purpose))[:count].numpy()
