"""Few images: what can be had of them is, and what can't is told before anything is trained."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src import build, figures
from src.evaluation import samplers
from src.support.errors import UserError
from src.tasks import examples
from src.tasks.interpolate import choose_pairs
from tests.helpers.images import blobs, epoch_of, image_data
from tests.helpers.runs import train_run

WATCHED = ["callbacks=default", "~callbacks.progress"]


@pytest.fixture
def few(run, tmp_path):
    """few(12, "beta=2"): trains on so many images of 16 x 16, two epochs; the run's folder."""

    def train(count: int, *options: str, classes: int = 4, folder: str = "few") -> Path:
        split = blobs(count, 0, 16)
        np.savez(tmp_path / f"{folder}.npz", images=split.images, labels=split.labels % classes)
        small = [f"data.path={tmp_path}/{folder}.npz", "data.shape=[1,16,16]", "data.batch_size=64"]
        return run(*small, "model.encoder.hidden=[8]", "model.decoder.hidden=[8]", *options, folder=folder)

    return train


def test_a_step_takes_all_images_where_the_batch_would_be_larger(images):
    data = image_data(images, batch_size=400)
    x, _, index = epoch_of(data)
    assert len(data.train_dataloader()) == 1 and sorted(index.tolist()) == list(range(300))
    assert data.images_per_step() == 300
    assert torch.equal(x, epoch_of(image_data(images, batch_size=300))[0])


def test_one_validation_image_has_all_pictures_but_t_sne(few, caplog):
    caplog.set_level("INFO")
    folder = few(10, *WATCHED, "latent_dim=3")
    written = {path.name for path in (folder / "figures").iterdir()}
    assert {"samples.gif", "reconstructions.gif", "latent.gif", "loss.png", "kl_per_dim.png"} <= written
    assert "latent_tsne.gif" not in written
    with Image.open(folder / "figures" / "latent.gif") as film:
        assert film.n_frames > 3  # the untrained model, two epochs, and moments between them
    assert "drawing failed" not in caplog.text
    assert "note: a step takes all 8 training images, fewer than data.batch_size=" in caplog.text


@pytest.mark.parametrize("objective", ["mmd", "beta_tc"])
def test_an_objective_of_pairs_is_refused_before_it_is_trained(few, objective, tmp_path):
    with pytest.raises(UserError, match="needs two images or more in a batch, but there is one validation image"):
        few(10, f"objective={objective}")
    assert not (tmp_path / "few" / "checkpoints").exists()
    few(20, f"objective={objective}", "callbacks=none")


@pytest.mark.parametrize(
    "task", ["evaluate", "diagnose", "compare", "interpolate", "traverse", "anomaly", "inpaint", "export"]
)
def test_each_task_of_one_image_is_done_or_refused_in_a_line(few_run, applied, task, monkeypatch):
    monkeypatch.setattr(samplers, "codes", partial(samplers.codes, count=500))
    options = {
        "evaluate": ["task.samples=0", "task.sample_quality=false"],
        "inpaint": ["task.mask=box", "task.samples=10", "task.draws=3"],
        "compare": [f"task.other={few_run}"],
        "traverse": ["task.steps=3"],
    }.get(task, [])
    refused = {
        "diagnose": "needs two validation images or more, and there is one",
        "interpolate": "needs two test images or more: there is one",
        "anomaly": "needs two such test images or more, and there are 1: train with more images",
    }
    if task in refused:
        with pytest.raises(UserError, match=refused[task]):
            applied(few_run, f"task={task}", *options)
    else:
        numbers, _ = applied(few_run, f"task={task}", *options)
        assert all(np.isfinite(value) for value in numbers.values() if isinstance(value, float))


def test_own_images_are_judged_by_the_only_validation_image(few_run, applied, caplog):
    options = ["task.scores=[-elbo]", f"task.input={few_run.parent}/few.npz", "task.invert=false"]
    numbers, results = applied(few_run, "task=anomaly", *options)
    assert 0 <= numbers["anomalous"] <= numbers["images"] == 10
    assert "a 95 % quantile needs 20 validation images" in caplog.text
    assert (numbers["verdicts"], numbers["validation images needed"]) == ("unsound", 20)
    verdicts = {row.split(",")[2] for row in (results / "scores.csv").read_text().splitlines()[1:]}
    assert verdicts <= {"anomalous?", "normal?"}


@pytest.fixture(scope="module")
def few_run(tmp_path_factory):
    """A run on eight images, with one to validate and one to test."""
    root = tmp_path_factory.mktemp("few")
    np.savez(root / "few.npz", images=blobs(10, 0, 16).images)
    options = ["data=npz", f"data.path={root}/few.npz", "data.shape=[1,16,16]", "trainer.max_epochs=30", "latent_dim=2"]
    small = ["model.encoder.hidden=[8]", "model.decoder.hidden=[8]", "optimizer.lr=1e-2", "trainer.accelerator=cpu"]
    return train_run([*options, *small, "beta=0.1", "logger=csv", "callbacks=none"], root / "run")


def test_the_pairs_there_are_are_taken(few, caplog):
    made = build.open_run(few(20, "callbacks=none"))
    assert sorted(choose_pairs(None, 4, examples.test_set(made))[0]) == [0, 1]
    assert "task.pairs=4, but 2 test images make no more than 1" in caplog.text


def test_two_images_of_a_class_make_a_density(few, applied):
    folder = few(20, "callbacks=none")
    numbers, results = applied(
        folder, "task=synthesize", "task.per_class=3", "task.sizes=[8]", "task.seeds=1", "task.vae_steps=3",
        "task.classifier_steps=2",
    )  # fmt: skip
    assert np.isfinite(numbers["8 synthetic/accuracy"])
    with np.load(results / "synthetic.npz") as arrays:
        assert len(arrays["images"]) == 12


def test_labels_left_out_of_a_small_part_are_told(few):
    with pytest.raises(UserError, match="leaves no validation image: of 1 all have these labels"):
        few(11, "data.exclude_labels=[1]", classes=2)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_t_sne_of_a_few_points(count):
    from src.figures import embedding
    from src.run.trace import Trace

    codes = np.random.default_rng(0).normal(size=(2, count, 4))
    trace = Trace(frames={"codes": codes}, fixed={"pixels": np.zeros((count, 1, 4, 4), np.uint8)})
    trace.fixed["labels"] = np.zeros(count, int)
    if count > 1:
        planes, pixels = figures.embed(trace, np.arange(2))
        assert np.isfinite([*planes.values(), pixels]).all()
    assert embedding.neighbours(codes[0]).shape == (count, count - 1)
