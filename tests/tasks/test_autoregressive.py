"""Runs with likelihood=autoregressive: every task on them works, with draws where the mean has no closed form, or is
refused before it writes anything."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from src import build
from src.config.choices import choices
from src.run.kinds import kind
from src.support.errors import UserError
from src.tasks.synthesize.generator import make_images
from tests.helpers.runs import train_run

OPTIONS = ["likelihood=autoregressive", "likelihood.features=4", "likelihood.field=2", "likelihood.samples=2"]
TASKS = {
    "anomaly": ["task.images=6", "task.samples=2", "task.steps=2", "task.against=[noise]"],
    "compare": ["task.count=2"],
    "diagnose": ["task.count=4", "task.samples=2", "task.steps=2", "task.simulations=100"],
    "evaluate": ["task.images=6", "task.samples=3", "task.tight_images=2", "task.sample_quality=false"],
    "interpolate": ["task.pairs=1", "task.steps=3", "task.path=linear"],
    "sample": ["task.count=3", "task.samplers=[prior]", "task.compare=false"],
    "traverse": ["task.steps=3"],
}
REFUSED = {
    "export": "needs a decoder that gives images; this run's likelihood draws them pixel by pixel",
    "inpaint": "needs a likelihood that factorises over the pixels, and this run's does not",
}
# of a trace, which tests/callbacks covers; and many classifiers, of images that are tested below
ELSEWHERE = {"figures", "synthesize"}


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    return train_run([*small, *OPTIONS], tmp_path_factory.mktemp("autoregressive") / "run")


def test_every_task_is_tested():
    assert set(choices("task")) == TASKS.keys() | REFUSED.keys() | ELSEWHERE


@pytest.mark.parametrize("task", TASKS)
def test_a_task_gives_finite_numbers(applied, trained, finished, task):
    other = [f"task.other={finished}"] if task == "compare" else []
    numbers, results = applied(trained, f"task={task}", *TASKS[task], *other)
    assert all(np.isfinite(value) for value in numbers.values() if isinstance(value, float))
    assert list(results.glob("*.png")) or task == "evaluate"
    assert "calibration_error" not in numbers  # of the probability of a pixel given the code


@pytest.mark.parametrize("task", REFUSED)
def test_a_task_is_refused_before_it_writes(applied, trained, task):
    with pytest.raises(UserError, match=f"task={task} {REFUSED[task]}"):
        applied(trained, f"task={task}")
    assert not list((trained / "tasks").glob(f"{task}/*"))


def test_generated_images_are_draws(trained):
    run = build.open_run(trained)
    made = make_images(run.vae, run.train, run.data.pixels, 2, seed=0)
    assert set(np.unique(made.images)) <= {0, 255}
    assert set(np.unique(run.vae.sample(3).numpy())) <= {0, 1}
    assert len(np.unique(run.vae.reconstruct(run.vae.sample(3)).numpy())) > 2  # averages of draws


def test_it_compares_with_independent_pixels(trained, finished):
    described = []
    for folder in (trained, finished):
        config = yaml.safe_load((folder / "config.yaml").read_text())
        metrics = json.loads((folder / "metrics.json").read_text())
        described.append(kind(SimpleNamespace(config=config, metrics=metrics, data={})))
    assert described[0] == described[1]
