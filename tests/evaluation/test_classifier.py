"""The classifier in whose features samples are compared."""

import numpy as np
import pytest
import torch

from src.data.sources import Split
from src.evaluation import classifier
from src.evaluation.classifier import accuracy, features, load_or_train, train
from src.support.errors import UserError
from tests.helpers.images import blobs


@pytest.fixture
def steps(monkeypatch):
    """Shorten trainings of the default length to 5 steps; return the list of those that began."""
    begun, original = [], classifier.train

    def train_briefly(*args, **options):
        begun.append(options)
        return original(*args, steps=5, **options)

    monkeypatch.setattr(classifier, "train", train_briefly)
    return begun


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vae-lab"


def test_training_separates_the_classes(images):
    untrained = train(images.train, 4, seed=0, steps=1)
    trained = train(images.train, 4, seed=0, steps=60)
    assert accuracy(trained, images.test) > 0.95 > 0.6 > accuracy(untrained, images.test)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 17), (1, 3, 5), (3, 40, 40)], ids=str)
def test_images_of_any_size_are_classified(shape):
    random = np.random.default_rng(0)
    labels = np.arange(40) % 2
    images = (random.random((40, *shape)) * 100 + 100 * labels[:, None, None, None]).astype(np.uint8)
    trained = train(Split(images, labels), 2, seed=0, steps=60)
    assert trained(torch.rand(5, *shape)).shape == (5, 2)
    assert features(trained, images).shape == (40, classifier.FEATURES)
    assert accuracy(trained, Split(images, labels)) > 0.9


def test_features_have_variance_one_over_the_training_images():
    split = blobs(300, 0, size=12)
    values = features(train(split, 4, seed=0, steps=60), split.images)
    assert values.var(0) == pytest.approx(1, abs=0.2)
    assert values.mean(0) == pytest.approx(0, abs=0.2)


def test_a_seed_gives_the_same_weights_and_torchs_generator_is_restored(images):
    def trained(seed):
        return train(images.train, 4, seed=seed, steps=3, augment=torch.bernoulli).head.weight

    state = torch.get_rng_state()
    first = trained(0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert torch.equal(first, trained(0))
    assert not torch.equal(first, trained(1))


def test_each_batch_is_augmented(images):
    seen = []

    def negative(x):
        seen.append(x.clone())
        return 1 - x

    train(images.train, 4, seed=0, steps=4, augment=negative)
    assert len(seen) == 4
    assert all(x.min() >= 0 and x.max() <= 1 and x.shape == (128, 1, 28, 28) for x in seen)
    assert not torch.equal(seen[0], seen[1])


def test_one_class_or_one_image_is_rejected(images):
    for split in (Split(images.train.images, np.zeros(300, int)), Split(*(array[:1] for array in images.train))):
        with pytest.raises(ValueError, match="two classes"):
            train(split, 4, seed=0)


def test_a_classifier_is_trained_once_for_each_kind_of_images(images, steps, cache):
    grey = load_or_train(images, "grey")
    again = load_or_train(images, "grey")
    assert len(steps) == 1
    assert torch.equal(features_of(grey, images), features_of(again, images))
    load_or_train(images, "binary")
    assert [options["augment"] for options in steps] == [None, torch.bernoulli]
    load_or_train(images._replace(train=blobs(300, 7)), "grey")
    load_or_train(images._replace(train=Split(images.train.images, images.train.labels[::-1].copy())), "grey")
    load_or_train(images, "grey", seed=1)
    assert len(steps) == 5
    assert len(list(cache.iterdir())) == 5


def features_of(network, images):
    return torch.from_numpy(features(network, images.test.images))


def test_a_damaged_file_is_replaced(images, steps, cache):
    first = load_or_train(images, "grey")
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    second = load_or_train(images, "grey")
    assert torch.equal(first.head.weight, second.head.weight)
    load_or_train(images, "grey")
    assert len(steps) == 2
    assert [each.name for each in cache.iterdir()] == [path.name]


def test_without_a_cache_folder_it_is_trained_each_time(images, steps, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert not load_or_train(images, "grey").training
    assert len(steps) == 1


def test_images_of_one_class_have_no_classifier(images, cache):
    alike = images._replace(train=Split(images.train.images, np.zeros(300, int)))
    with pytest.raises(UserError, match="blobs are of one class"):
        load_or_train(alike, "grey")


@pytest.mark.parametrize("count", [100, 129, 200, 255, 300])
def test_training_takes_the_number_of_steps_that_is_given(images, count):
    taken = []

    def counted(x):
        taken.append(len(x))
        return x

    split = Split(images.train.images[:count], images.train.labels[:count])
    train(split, 4, seed=0, steps=7, augment=counted)
    assert taken == [min(128, count)] * 7
