"""Distances of features against closed forms, and which images are compared."""

from functools import partial

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import KernelInceptionDistance

from src import build
from src.data.sources import Split
from src.evaluation import classifier, quality
from src.evaluation.classifier import features
from src.support.errors import UserError


def gaussian(n, mean, scale, seed):
    return mean + scale * np.random.default_rng(seed).normal(size=(n, len(mean)))


def test_frechet_equals_the_closed_form_of_gaussians():
    m, s = np.array([0.0, 1.0, -1.0]), np.array([1.0, 2.0, 0.5])
    n, t = np.array([0.5, 1.0, 1.0]), np.array([2.0, 1.0, 0.5])
    distance = quality.frechet(gaussian(200_000, m, s, 0), gaussian(200_000, n, t, 1))
    assert distance == pytest.approx(((m - n) ** 2 + (s - t) ** 2).sum(), rel=0.01)


def test_frechet_of_correlated_features_equals_that_computed_with_scipy():
    from scipy.linalg import sqrtm

    random = np.random.default_rng(0)
    a, b = (random.normal(size=(50, 4)) @ random.normal(size=(4, 4)) for _ in range(2))
    s, t = np.cov(a.T), np.cov(b.T)
    truth = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s + t - 2 * sqrtm(s @ t).real)
    assert quality.frechet(a, b) == pytest.approx(truth, rel=1e-6)
    assert quality.frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_frechet_is_finite_for_fewer_images_than_features():
    a, b = (gaussian(20, np.zeros(64), 1, seed) for seed in (0, 1))
    assert 0 < quality.frechet(a, b) < np.inf


def test_kid_is_the_mmd_of_the_cubic_kernel():
    """The expectations of the kernel under N(0, I) and N(m, I) follow from the moments of x'y."""
    f, m = 3, np.array([0.6, 0.0, 0.0])

    def expected(a, b):  # E (x'y / F + 1)^3; x ~ N(a, I), y ~ N(b, I)
        ab, aa, bb = a @ b, a @ a, b @ b
        first, second = ab, ab**2 + aa + bb + f
        third = ab**3 + 3 * ab * (aa + bb + f) + 6 * ab
        return 1 + 3 * first / f + 3 * second / f**2 + third / f**3

    zero = np.zeros(3)
    truth = expected(zero, zero) + expected(m, m) - 2 * expected(zero, m)
    distance = quality.kid(gaussian(10_000, zero, 1, 0), gaussian(10_000, m, 1, 1))
    assert distance.se < truth / 10
    assert abs(distance.mean - truth) < 3 * distance.se


def test_kid_of_one_block_equals_that_of_torchmetrics():
    a, b = (torch.from_numpy(gaussian(30, np.zeros(4), 1 + seed, seed)) for seed in (0, 1))
    extractor = torch.nn.Identity()
    extractor.num_features = 4
    metric = KernelInceptionDistance(extractor, subsets=1, subset_size=30)
    metric.update(a, real=True)
    metric.update(b, real=False)
    distance = quality.kid(a.numpy(), b.numpy(), blocks=1)
    assert distance.mean == pytest.approx(float(metric.compute()[0]), rel=1e-6)
    assert distance.se is None


def test_kid_does_not_depend_on_the_order_of_files():
    """Two sets whose halves differ alike, as in MNIST's test set, are at distance zero."""
    halves = [gaussian(2000, np.full(4, shift), 1, seed) for seed, shift in enumerate((0.0, 3.0, 0.0, 3.0))]
    first, second = np.concatenate(halves[:2]), np.concatenate(halves[:1:-1])
    distance = quality.kid(first, second)
    assert abs(distance.mean) < 4 * distance.se


def test_precision_falls_with_made_up_modes_and_recall_with_missing_ones():
    real = np.concatenate([gaussian(300, np.zeros(2), 1, 0), gaussian(300, np.full(2, 100.0), 1, 1)])
    half = gaussian(600, np.zeros(2), 1, 2)
    precision, recall = quality.precision_recall(real, half)
    assert precision > 0.9
    assert 0.45 < recall <= 0.5
    beyond = np.concatenate([real[:300], gaussian(300, np.full(2, -100.0), 1, 3)])
    assert quality.precision_recall(real, beyond)[0] == 0.5
    assert quality.precision_recall(real, real) == (1, 1)


def test_balls_reach_to_the_third_neighbour():
    """The balls around 0, 1, 2, 4 on a line have the radii 4, 3, 2, 4 and together cover -4 to 8."""
    real = np.array([[0.0], [1.0], [2.0], [4.0]])
    fake = np.array([[-4.1], [-3.9], [7.9], [8.1]])
    assert quality.precision_recall(real, fake)[0] == 0.5


def test_sets_of_different_sizes_are_rejected():
    with pytest.raises(ValueError, match="as many of both"):
        quality.distances(np.zeros((30, 2)), np.zeros((20, 2)))


@pytest.fixture(autouse=True)
def short_training(monkeypatch, tmp_path):
    """Have a classifier trained in a second, with a cache folder of its own."""
    monkeypatch.setattr(classifier, "train", partial(classifier.train, steps=25))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def opened(finished):
    return build.open_run(finished)


def test_draws_are_compared_with_binary_images_and_means_with_grayscale_images(opened):
    data = opened.data
    n = quality.count(opened)
    assert n == len(data.test.images)
    numbers = quality.sample_quality(opened, data.source.test.images, data.test.images)
    assert (list(numbers), list(numbers["floor"])) == (["means", "draws", "floor"], ["means", "draws"])
    for kind in ("means", "draws"):  # the same images that they are compared with
        assert numbers[kind]["frechet"] == pytest.approx(0, abs=1e-3)
        assert numbers[kind]["precision"] == numbers[kind]["recall"] == 1
        assert numbers["floor"][kind]["frechet"] > 0.01
    floor = numbers["floor"]["means"]["frechet"]
    assert floor != numbers["floor"]["draws"]["frechet"]
    noise = np.random.default_rng(0).integers(0, 256, data.source.test.images.shape, np.uint8)
    assert quality.references(opened)["means"].distances(noise)["frechet"] > 10 * floor
    assert set(np.unique(data.test.images)) == {0, 255}


def test_draws_of_a_density_are_compared_with_grayscale_images(run):
    opened = build.open_run(run("likelihood=gaussian", "trainer.max_epochs=1"))
    against = quality.references(opened)
    assert against["means"] is against["draws"]
    assert np.array_equal(against["draws"].real, features(against["draws"].classifier, opened.data.source.test.images))


def test_an_obstacle_to_the_comparison_is_named(opened):
    source = opened.data.source
    assert quality.obstacle(opened) is None
    opened.data.source = source._replace(test=Split(*(array[:19] for array in source.test)))
    with pytest.raises(UserError, match="19 test images, and a comparison needs 20"):
        quality.references(opened)
    opened.data.source = source._replace(train=Split(source.train.images, np.zeros_like(source.train.labels)))
    with pytest.raises(UserError, match="of one class"):
        quality.references(opened)
