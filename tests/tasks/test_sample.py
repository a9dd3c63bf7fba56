"""task=sample."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

from src.evaluation import classifier, quality, samplers
from src.inference.metrics import nearest
from src.support.errors import UserError


@pytest.fixture(autouse=True)
def short_training(monkeypatch, tmp_path):
    """Shorten every training to a second."""
    monkeypatch.setattr(classifier, "train", partial(classifier.train, steps=25))
    monkeypatch.setattr(samplers, "flow", partial(samplers.flow, steps=30))
    monkeypatch.setattr(samplers, "codes", partial(samplers.codes, count=1000))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_samplers_are_compared_and_their_floor_is_reported(applied, finished):
    numbers, folder = applied(finished, "task=sample", "task.count=13", "task.files=true")
    names = {"samples.png", "samplers.png", "samples.npz", "metrics.json", "task.yaml", "means", "draws"}
    assert {path.name for path in folder.iterdir()} == names
    assert numbers["count"] == 13
    for row in (*samplers.NAMES, "floor"):
        for kind in ("means", "draws"):
            values = [numbers[f"{row}/{kind}/{name}"] for name in ("frechet", "kid", "kid_se", "precision", "recall")]
            assert np.isfinite(values).all()
    with np.load(folder / "samples.npz") as arrays:
        assert arrays["z"].shape == (13, 3)
        means, draws = arrays["means"], arrays["draws"]
        assert means.shape == draws.shape == (13, 1, 28, 28)
        assert set(np.unique(draws)) == {0, 255}
        with np.load(finished_data(finished)) as data:
            images = data["images"]
        assert arrays["nearest"].max() < len(images)
    for kind, images in (("means", means), ("draws", draws)):
        paths = sorted((folder / kind).iterdir())
        assert [path.name for path in paths] == [f"{i:02d}.png" for i in range(13)]
        assert np.array_equal(np.stack([np.asarray(Image.open(path)) for path in paths]), images[:, 0])


def finished_data(run):
    from src.build import open_run

    return open_run(run).data.source.origin


def test_the_nearest_training_image_is_beside_each_mean(applied, finished):
    from src.build import open_run

    _, folder = applied(finished, "task=sample", "task.count=4", "task.compare=false", "task.samplers=[prior]")
    with np.load(folder / "samples.npz") as arrays:
        train = open_run(finished).data.source.train.images
        assert np.array_equal(arrays["nearest"], nearest(arrays["means"], train))


def test_samples_do_not_depend_on_their_number_or_on_the_other_samplers(applied, finished):
    """Without a comparison no classifier is trained."""

    def codes(*options):
        numbers, folder = applied(finished, "task=sample", "task.compare=false", *options)
        with np.load(folder / "samples.npz") as arrays:
            return numbers, arrays["z"], arrays["draws"]

    numbers, z, draws = codes("task.count=3", "task.samplers=[aggregate,prior]")
    assert numbers == {"count": 3}
    _, more, more_draws = codes("task.count=30", "task.samplers=[aggregate]")
    assert np.array_equal(z, more[:3])
    assert np.array_equal(draws, more_draws[:3])
    _, other, _ = codes("task.count=3", "task.samplers=[prior]")
    _, cold, _ = codes("task.count=3", "task.samplers=[prior]", "task.temperature=0.5")
    assert np.allclose(cold, other / 2, atol=1e-6)


def test_images_of_one_class_are_sampled_but_not_compared(applied, run, caplog, tmp_path):
    np.savez(tmp_path / "alike.npz", images=np.random.default_rng(0).integers(0, 256, (60, 3, 8, 6), np.uint8))
    options = [
        f"data.path={tmp_path}/alike.npz",
        "data.shape=[3,8,6]",
        "likelihood=logistic256",
        "trainer.max_epochs=1",
    ]
    numbers, folder = applied(run(*options), "task=sample", "task.count=2", "task.files=true")
    assert numbers == {"count": 2}
    assert "not compared: the images of alike are of one class" in caplog.text
    assert Image.open(folder / "draws" / "0.png").size == (6, 8)
    assert Image.open(folder / "draws" / "0.png").mode == "RGB"


def test_bad_options_are_rejected_before_anything_is_trained(applied, finished, monkeypatch):
    monkeypatch.setattr(quality, "references", None)
    for option, message in {
        "task.count=0": "task.count must be a whole number",
        "task.count=1.5": "task.count must be a whole number",
        "task.samplers=[gan]": "task.samplers must be a list, each element prior or",
        "task.temperature=0.5": r"task.samplers=\[prior,flow\]",
    }.items():
        with pytest.raises(UserError, match=message):
            applied(finished, "task=sample", option)
