"""Runs with likelihood=autoregressive: what needs the mean of p(x|z) in closed form is left out, or is refused."""

import json

import numpy as np
import pytest
import torch

from src import build
from src.config.choices import choices
from src.config.options import check_run
from src.run.trace import Trace
from src.support.errors import UserError
from src.tasks.synthesize.generator import make_images
from tests.helpers.runs import identical, train_run, weights

OPTIONS = ["likelihood=autoregressive", "likelihood.features=4", "likelihood.field=2", "likelihood.samples=2"]
LEVELS = "likelihood.pixel=logistic256"
RECORDED = ["callbacks=default", "~callbacks.pictures", "~callbacks.progress", "callbacks.recorder.images=20"]
TASKS = {
    "anomaly": ["task.images=6", "task.samples=2", "task.steps=2", "task.against=[noise]"],
    "diagnose": ["task.count=4", "task.samples=2", "task.steps=2", "task.simulations=100"],
    "evaluate": ["task.images=6", "task.samples=3", "task.tight_images=2", "task.sample_quality=false"],
    "interpolate": ["task.pairs=1", "task.steps=3"],
    "sample": ["task.count=3", "task.samplers=[prior]"],
    "traverse": ["task.steps=3"],
}
LEFT_OUT = ("calibration_error", "noise_floor", "reconstruction_mse", "ssim", "nll_ends", "means", "val/unexplained")
REFUSED = {
    "explore": "task=explore decodes the mean of p\\(x\\|z\\), which has no closed form",
    "export": "task=export writes a decoder to the mean",
    "inpaint": "task=inpaint needs a likelihood that factorises over the pixels",
    "synthesize": "task=synthesize makes gray images, this run binary ones: .*likelihood.pixel=logistic256",
}


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    options = [each for each in small if each != "callbacks=none"]
    return train_run([*options, *OPTIONS, *RECORDED], tmp_path_factory.mktemp("autoregressive") / "run")


def test_every_task_is_tested():
    """figures draws a trace, which is tested below; compare shows images of two runs."""
    assert set(choices("task")) == TASKS.keys() | REFUSED.keys() | {"figures", "compare"}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_finite_numbers_and_none_of_means(applied, trained, task):
    numbers, results = applied(trained, f"task={task}", *TASKS[task])
    flat = {key: value for key, value in numbers.items() if isinstance(value, int | float)}
    assert flat and all(np.isfinite(value) for value in flat.values())
    assert not [key for key in numbers if key.startswith(LEFT_OUT) or "/means/" in key]
    assert list(results.glob("*.png"))


@pytest.mark.parametrize("task", REFUSED)
def test_a_task_is_refused_before_it_writes(applied, trained, task):
    with pytest.raises(UserError, match=REFUSED[task]):
        applied(trained, f"task={task}")
    assert not list((trained / "tasks").glob(f"{task}/*"))


def test_a_run_leaves_out_the_error_of_reconstructions_and_says_what_its_pictures_show(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["likelihood"] == "Autoregressive" and "val/code_gain" in metrics
    assert "val/unexplained" not in metrics
    trace = Trace.load(trained / "figures" / "trace.npz")
    assert "averages_draws" in trace.fixed
    assert len(np.unique(trace.frames["samples_mean"])) == 3  # of two draws
    assert set(np.unique(trace.frames["samples_draw"])) == {0, 255}
    vae = build.load(trained)
    assert set(np.unique(vae.sample(3).numpy())) <= {0, 1}


def test_gray_levels_are_drawn_and_make_labelled_images(run):
    folder = run(*OPTIONS, LEVELS)
    assert "likelihood=autoregressive likelihood.pixel=logistic256" in build.open_run(folder).config.title
    opened = build.open_run(folder)
    made, more = (make_images(opened.vae, opened.train, opened.data.pixels, count, seed=0) for count in (2, 3))
    assert np.array_equal(made.images[:2], more.images[:2])
    assert made.images.dtype == np.uint8 and len(np.unique(made.images)) > 10
    assert "val/bits_per_dim" in json.loads((folder / "metrics.json").read_text())


@pytest.mark.slow
def test_a_resumed_run_with_averaged_weights_equals_one_that_was_not_stopped(run, resume):
    options = [*OPTIONS, "trainer.ema=0.9", "lr_schedule=constant"]
    part, whole = run(*options, "trainer.max_epochs=1", folder="part"), run(*options, folder="whole")
    assert identical(weights(resume(part, "trainer.max_epochs=2")), weights(whole))


def test_a_conditional_run_draws_images_of_its_labels(run):
    vae = build.load(run(*OPTIONS, "condition=label", "trainer.max_epochs=1"))
    assert vae.averages_draws
    assert vae.given(torch.tensor([3, 0])).sample(2).shape == (2, 1, 28, 28)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["likelihood.shape=[3,28,28]"], r"likelihood.shape=\[3,28,28\], but data.shape is \[1,28,28\]"),
        (["likelihood.field=0"], "likelihood.field must be a whole number from 1 to 16"),
        (["likelihood.features=2000"], "likelihood.features must be a whole number from 1 to 1024"),
        (["likelihood.pixel=gaussian"], "likelihood.pixel must be bernoulli or logistic256"),
        (
            ["likelihood.features=1024", "data.batch_size=100000"],
            "likelihood.features=1024 takes .* GB in a single array",
        ),
    ],
)
def test_what_can_not_be_is_refused_at_composition(composed, options, message):
    with pytest.raises(UserError, match=message):
        check_run(composed("likelihood=autoregressive", *options))


def test_colors_are_those_of_the_images(composed, tmp_path):
    vae = build.vae(composed("likelihood=autoregressive", "data.shape=[3,8,8]", "model=mlp"))
    assert vae.decode(torch.zeros(2, 16)).sample().shape == (2, 3, 8, 8)
    check_run(composed("likelihood=autoregressive", "data=images", f"data.path={tmp_path}"))  # data.shape=auto
