"""task=synthesize."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from src import build
from src.data import user_images
from src.data.selection import class_balanced_subset
from src.data.sources import Split
from src.evaluation import classifier
from src.models import likelihoods
from src.support.errors import UserError
from src.support.statistics import Estimate
from src.tasks.synthesize import generator as synthesis
from src.tasks.synthesize import task as synthesize
from src.tasks.synthesize.pictures import distances
from tests.helpers import models

CPU = torch.device("cpu")
QUICK = ("task.per_class=4", "task.seeds=2", "task.vae_steps=9", "task.classifier_steps=4", "task.sizes=[40,all]")


def test_the_images_are_written_as_a_data_set_for_training(applied, finished):
    numbers, folder = applied(finished, "task=synthesize", "task.per_class=30", "task.judge=false", "task.sizes=[all]")
    pictures = {"synthetic.png", "distances.png"}
    assert {path.name for path in folder.iterdir()} == pictures | {"synthetic.npz", "metrics.json", "task.yaml"}
    assert numbers["images"] == 120
    images = user_images.images(folder / "synthetic.npz")
    assert len(images.train.images) + len(images.val.images) + len(images.test.images) == 120
    assert images.train.images.shape[1:] == (1, 28, 28)
    assert np.bincount(images.train.labels).tolist() == [24] * 4
    ratio = numbers["distance of synthetic"] / numbers["distance of test"]
    assert numbers["copy ratio"] == pytest.approx(ratio)


def test_synthetic_images_belong_to_their_class(finished):
    """The classes are discs at four places; synthetic discs are at the place of their class."""
    run = build.open_run(finished)
    train = run.data.source.train
    densities = synthesis.class_densities(run.vae, train, run.data.pixels, 0)
    made = synthesis.generate(run.vae, densities, 50, 0)
    centres = np.stack([train.images[train.labels == k].astype(float).mean(0) for k in range(4)])
    errors = np.square(made.images[:, None] - centres).sum((2, 3, 4))
    assert (errors.argmin(1) == made.labels).mean() > 0.9


@pytest.fixture(scope="module")
def contest(finished):
    """Accuracies and copy ratios of 40 images and of all, two seeds."""
    run = build.open_run(finished)
    generate = partial(synthesize.generate_from, run, per_class=4, vae_steps=9)
    return synthesize.contest(run, [40, 328], 2, generate, partial(classifier.train, classes=4, steps=4))


def test_the_contest_is_written_and_repeats(applied, finished, contest):
    numbers, folder = applied(finished, "task=synthesize", *QUICK, "device=cpu")
    assert {"judged.png", "judged.npz"} <= {path.name for path in folder.iterdir()}
    accuracy, ratio = contest
    assert numbers["40 synthetic/copy ratio"] == pytest.approx(ratio[0].mean())
    for name, values in accuracy.items():
        assert numbers[f"328 {name}/accuracy"] == pytest.approx(values[1].mean())
        assert numbers[f"328 {name}/accuracy_se"] == pytest.approx(abs(values[1, 0] - values[1, 1]) / 2)
    gain = accuracy["real, augmented"] - accuracy["real"]
    assert numbers["40 real, augmented/gain"] == pytest.approx(gain[0].mean())
    assert "40 real/gain" not in numbers
    assert all(values.std() > 0 for values in accuracy.values())


def test_copies_among_the_test_images_leave_out_the_copy_ratio():
    assert synthesize.copy_ratio(np.array([1.0, 2, 3]), np.array([4.0, 4, 0])) == 0.5
    ratio = synthesize.copy_ratio(np.array([1.0]), np.array([0.0, 0, 5]))
    assert math.isnan(ratio)
    accuracy = {"real": np.ones((1, 2)), "synthetic": np.ones((1, 2))}
    rows = synthesize.summary([40], accuracy, np.array([[0.5, ratio]]))
    assert "copy ratio" not in rows["40 synthetic"]


def test_a_generator_sees_only_the_real_images_of_its_size(finished, caplog):
    caplog.set_level("INFO", "src.support.console")
    seen = []

    def return_real_images(real, seed):
        seen.append((len(real.images), seed))
        return real

    train = partial(classifier.train, classes=4, steps=2)
    synthesize.contest(build.open_run(finished), [16, 328], 2, return_real_images, train)
    assert seen == [(16, 0), (328, 0), (16, 1), (328, 1)]
    assert caplog.messages[0] == "1 of 4: 16 real images, seed 1 of 2"
    assert caplog.messages[3].startswith("4 of 4: 328 real images, seed 2 of 2")


def test_the_generator_is_the_runs_own_vae_only_where_it_saw_the_same_images(finished, monkeypatch):
    trained = []
    monkeypatch.setattr(synthesize, "train_vae", lambda cfg, train, *options: trained.append(train) or run.vae)
    run = build.open_run(finished)
    train = run.data.source.train
    densities = synthesis.class_densities(run.vae, train, run.data.pixels, 3)
    expected = synthesis.generate(run.vae, densities, 2, 3).images
    assert np.array_equal(synthesize.generate_from(run, train, 3, per_class=2, vae_steps=1).images, expected)
    assert trained == []
    few = class_balanced_subset(train, 16, 0)
    synthesize.generate_from(run, few, 3, per_class=2, vae_steps=1)
    assert trained == [few]


def test_one_seed_has_no_standard_error():
    accuracy = {name: np.full((1, 1), 0.5) for name in synthesize.CONTESTANTS}
    numbers = synthesize.summary([100], accuracy, np.ones((1, 1)))
    assert numbers["100 real + synthetic"]["gain"] == Estimate(0, None)


def test_each_contestant_has_equally_many_images_of_each_kind():
    real = Split(np.zeros((3, 1, 4, 4), np.uint8), np.arange(3))
    made = Split(np.ones((10, 1, 4, 4), np.uint8), np.arange(10))
    both = synthesize.training_set("real + synthetic", real, made)
    assert both.images.mean() == 0.5
    assert len(both.labels) == len(both.images) == 20
    assert np.bincount(synthesize.training_set("real", real, made).labels).tolist() == [4, 3, 3]
    assert synthesize.training_set("real, augmented", real, made).images.max() == 0
    assert synthesize.training_set("synthetic", made, real).labels.tolist() == [0, 1, 2] * 3 + [0]


@pytest.mark.parametrize("posterior", ["gaussian", "full"])
def test_the_density_of_a_class_is_that_of_its_codes(posterior):
    """The density of a class that repeats one image is the posterior of that image."""
    torch.manual_seed(0)
    vae = models.small(models.POSTERIORS[posterior](3), models.PRIORS["standard"](3), likelihoods.Logistic256()).eval()
    images = np.repeat(np.random.default_rng(0).integers(0, 256, (2, 1, 4, 4), dtype=np.uint8), 20_000, axis=0)
    densities = synthesis.class_densities(vae, Split(images, np.repeat([3, 7], 20_000)), "levels", 0)
    assert list(densities) == [3, 7]
    for label, image in ((3, images[0]), (7, images[-1])):
        with torch.no_grad():
            q = vae.encode(torch.from_numpy(image[None]).float() / 255)
        covariance = q.covariance_matrix[0] if posterior == "full" else q.scale[0].square().diag()
        torch.testing.assert_close(densities[label].loc.float(), q.mean[0], atol=0.03, rtol=0)
        torch.testing.assert_close(densities[label].covariance_matrix.float(), covariance, atol=0.05, rtol=0.03)


@pytest.mark.parametrize(("posterior", "prior"), [("gaussian", "vamp"), ("full", "mixture"), ("flow", "coupling")])
def test_images_are_means_that_do_not_depend_on_their_number(posterior, prior):
    torch.manual_seed(0)
    vae = models.small(models.POSTERIORS[posterior](3), models.PRIORS[prior](3), likelihoods.Bernoulli()).eval()
    images = np.random.default_rng(0).integers(0, 256, (12, 1, 4, 4), dtype=np.uint8)
    densities = synthesis.class_densities(vae, Split(images, np.arange(12) % 2), "binary", 0)
    few, many = (synthesis.generate(vae, densities, count, 5) for count in (3, 150))
    assert many.labels.tolist() == [0] * 150 + [1] * 150
    np.testing.assert_array_equal(few.images[3:], many.images[150:153])
    assert len(np.unique(many.images)) > 2  # means, not draws


def test_a_vae_trained_on_few_images_learns_them_and_repeats(composed, small, images):
    cfg = composed(*small, "trainer.ema=0.9", "data.batch_size=500")
    train = class_balanced_subset(images.train, 40, 0)
    seconds = [synthesis.train_vae(cfg, train, 40, 3, CPU) for _ in range(2)]
    for ours, theirs in zip(*(vae.parameters() for vae in seconds), strict=True):
        assert torch.equal(ours, theirs)
    x = torch.from_numpy(train.images).float() / 255
    errors = [(vae.reconstruct(x.round()) - x).square().mean() for vae in (seconds[0], build.vae(cfg).eval())]
    assert errors[0] < 0.5 * errors[1]
    assert not seconds[0].training


def test_classic_augmentation_moves_each_image_a_little():
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(40.0), indexing="ij")
    disc = torch.exp(-((y - 13.5) ** 2 + (x - 19.5) ** 2) / 18).expand(200, 1, 28, 40)
    torch.manual_seed(0)
    moved = synthesis.augment(disc)
    assert moved.shape == disc.shape
    assert 0 <= moved.min() <= moved.max() <= 1
    mass = moved.sum((1, 2, 3))
    centre = torch.stack([(moved[:, 0] * grid).sum((1, 2)) / mass for grid in (y, x)], 1)
    shift = (centre - torch.tensor([13.5, 19.5])).abs().amax(0)
    sides = synthesis.SHIFT * torch.tensor([28, 40])
    limit = (sides + math.sin(synthesis.ANGLE) * sides.flip(0)) / (1 - synthesis.SCALE)  # it is also turned and scaled
    assert (shift > 0.7 * limit).all()
    assert (shift < limit).all()
    grey = torch.full((3, 3, 5, 5), 0.3)
    torch.testing.assert_close(synthesis.augment(grey), grey)


def test_a_turn_keeps_lengths_of_images_that_are_not_square():
    y, x = torch.meshgrid(torch.arange(28.0) - 13.5, torch.arange(56.0) - 27.5, indexing="ij")
    disc = torch.exp(-(y**2 + x**2) / 30).expand(50, 1, 28, 56)
    torch.testing.assert_close(synthesis.augment(disc, 0, 1.5, 0), disc, atol=0.02, rtol=0)


def test_distances_beyond_the_axis_are_counted():
    test = np.concatenate([np.full(980, 5.0), np.linspace(3, 6, 10), np.full(10, 14.0)])
    nearest = {"synthetic": np.linspace(3, 7, 1000), "test": test, "test, reconstructed": np.linspace(2, 5, 1000)}
    (axes,) = distances("a", nearest).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "test: median 5.00\nbeyond: 10 up to 14 ▸" in labels
    shares = [sum(patch.get_height() for patch in bars) for bars in axes.containers if len(bars) > 1]
    assert shares == pytest.approx([1] * len(shares))  # no distance is left out


def test_the_test_images_that_are_compared_represent_all_classes():
    labels = np.repeat(np.arange(10), 700)  # ordered by class
    chosen = synthesize.compared_images(Split(np.zeros((7000, 1, 2, 2), np.uint8), labels))
    assert np.bincount(chosen.labels).tolist() == [100] * 10


def test_distances_are_euclidean():
    among = np.zeros((3, 1, 2, 2), np.uint8)
    among[1:] = [[[[0, 0], [0, 255]]], [[[255, 255], [255, 255]]]]
    index, distance = synthesis.distances(np.array([[[[0, 0], [0, 255]]], [[[255, 255], [255, 0]]]], np.uint8), among)
    assert index.tolist() == [1, 2]
    np.testing.assert_allclose(distance, [0, 1])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("per_class=0", "task.per_class must be a whole number, 1 or more, got 0"),
        ("seeds=1.5", "task.seeds must be a whole number, 1 or more, got 1.5"),
        ("classifier_steps=-1", "task.classifier_steps must be a whole number, 1 or more, got -1"),
        ("judge=perhaps", "task.judge must be true or false, got perhaps"),
        ("sizes=[7]", r"task.sizes must be a list of numbers from 8 \(two a class\) to 328 \(all there are\), or all"),
        ("sizes=[329]", r"got \[329\]: task.sizes=\[8,all\]"),
        ("sizes=[many]", "task.sizes must be a list, each element a whole number, 1 or more or all"),
        ("sizes=all", "task.sizes must be a list"),
    ],
)
def test_bad_options_are_rejected(applied, finished, option, message):
    before = set((finished / "tasks").glob("*/*"))
    with pytest.raises(UserError, match=message):
        applied(finished, "task=synthesize", "task.sizes=[all]", f"task.{option}")
    assert set((finished / "tasks").glob("*/*")) == before


def test_images_of_one_class_are_rejected():
    images = np.zeros((20, 1, 4, 4), np.uint8)
    with pytest.raises(UserError, match="all images of the run have one label: use task=sample"):
        synthesize.check_classes(Split(images, np.zeros(20, int)))
    with pytest.raises(UserError, match="a class has 1 training image, too few"):
        synthesize.check_classes(Split(images, np.arange(20) // 19))
