"""Runs with model=ladder: what is for codes of one level is left out, or is refused."""

import json
import re

import numpy as np
import pytest
import torch

from src import build
from src.config.choices import choices
from src.config.options import check_run
from src.figures.latent import active_text
from src.run.trace import Trace
from src.support.errors import UserError
from src.support.folders import RunFolder
from tests.helpers.models import TINY_NETWORKS
from tests.helpers.runs import identical, train_run, weights

OPTIONS = ["model=ladder", *TINY_NETWORKS["ladder"]]
SIZES = [6, 98, 98, 196]  # of the levels, from the top
RECORDED = ["callbacks=default", "~callbacks.progress", "callbacks.recorder.images=20"]
TASKS = {
    "anomaly": ["task.images=6", "task.samples=2", "task.against=[noise]"],
    "evaluate": ["task.images=6", "task.samples=3", "task.sample_quality=false"],
    "explore": [],
    "export": [],
    "interpolate": ["task.pairs=1", "task.steps=3"],
    "sample": ["task.count=3", "task.compare=false"],
    "synthesize": ["task.per_class=4", "task.judge=false", "task.sizes=[all]"],
    "traverse": ["task.steps=3"],
}
REFUSED = {
    "diagnose": "task=diagnose needs codes of one level",
    "inpaint": "task=inpaint searches codes of one level",
}


def without_latents(options: list[str]) -> list[str]:
    """Those of conftest.py without latent_dim, which follows from the levels."""
    return [each for each in options if not each.startswith("latent_dim")]


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    options = [each for each in without_latents(small) if each != "callbacks=none"]
    return train_run([*options, *OPTIONS, *RECORDED], tmp_path_factory.mktemp("ladder") / "run")


@pytest.fixture
def train(small, tmp_path):
    """train("beta=4", folder=NAME) trains a small ladder with these options."""
    options = without_latents(small)
    return lambda *more, folder="run": train_run([*options, *OPTIONS, *more], tmp_path / folder)


def test_every_task_is_tested():
    assert set(choices("task")) == TASKS.keys() | REFUSED.keys() | {"figures", "compare"}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_finite_numbers(applied, trained, task):
    numbers, results = applied(trained, f"task={task}", *TASKS[task])
    flat = {key: value for key, value in numbers.items() if isinstance(value, int | float)}
    assert flat and all(np.isfinite(value) for value in flat.values())
    assert list(results.glob("*.png")) or task in ("explore", "export")


@pytest.mark.parametrize("task", REFUSED)
def test_a_task_is_refused_before_it_writes(applied, trained, task):
    with pytest.raises(UserError, match=REFUSED[task]):
        applied(trained, f"task={task}")
    assert not list((trained / "tasks").glob(f"{task}/*"))


def test_a_run_logs_the_kl_of_each_level_and_follows_the_codes_of_one(trained, train):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert len(metrics["val/kl_per_level"]) == 4 and "val/kl_per_dim" not in metrics
    assert sum(metrics["val/kl_per_level"]) == pytest.approx(metrics["val/kl"], rel=1e-4)
    assert (trained / "figures" / "kl_per_level.png").is_file()
    assert Trace.load(trained / "figures" / "trace.npz").frames["codes"].shape[1:] == (20, SIZES[0])
    other = train(*RECORDED, "~callbacks.pictures", "callbacks.recorder.level=4", "trainer.max_epochs=1")
    assert Trace.load(other / "figures" / "trace.npz").frames["codes"].shape[1:] == (20, SIZES[3])
    assert build.open_run(other).config.title.startswith("ladder d=398 beta=1.0 on ")


def test_the_evaluation_has_the_kl_of_each_level_and_one_proposal(applied, trained):
    numbers, _ = applied(trained, "task=evaluate", *TASKS["evaluate"])
    assert numbers["kl"] == pytest.approx(sum(numbers[f"kl_level_{level}"] for level in (1, 2, 3, 4)), rel=1e-3)
    assert "nll_3" in numbers and not [name for name in numbers if name.startswith(("nll_tight", "total_corr"))]


def test_levels_have_temperatures_of_their_own(applied, trained):
    only_top = ["task.count=4", "task.compare=false", "task.samplers=[prior]", "task.temperature=[1,0,0,0]"]
    _, results = applied(trained, "task=sample", *only_top)
    with np.load(results / "samples.npz") as made:
        top, *below = np.split(made["z"], np.cumsum(SIZES)[:-1], axis=1)
    assert top.std() == pytest.approx(1, abs=0.2)
    assert not any(codes.any() for codes in below)
    with pytest.raises(UserError, match=r"task.temperature=\[1, 0\]: this run has 4 levels"):
        applied(trained, "task=sample", "task.samplers=[prior]", "task.temperature=[1,0]")
    with pytest.raises(UserError, match="of which there are prior and aggregate alone"):
        applied(trained, "task=sample", "task.samplers=[gmm]")


@pytest.mark.parametrize("prior", ["mixture", "flow"])
def test_a_prior_is_that_of_the_top_level(applied, train, prior):
    options = [f"prior={prior}", *(["prior.transforms=2", "prior.hidden=[4]"] if prior == "flow" else [])]
    folder = train(*options, "trainer.max_epochs=1")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert sum(metrics["val/kl_per_level"]) == pytest.approx(metrics["val/kl"], rel=1e-4)
    assert build.load(folder).prior().top.event_shape == (SIZES[0],)
    applied(folder, "task=traverse", *TASKS["traverse"])
    _, results = applied(folder, "task=sample", *TASKS["sample"])
    assert (results / "samples.png").is_file() and (results / "levels.png").is_file()
    if prior == "flow":
        scaled = ["task.samplers=[prior]", "task.temperature=[1,0,0,0]", "task.compare=false", "task.count=3"]
        _, results = applied(folder, "task=sample", *scaled)
        with np.load(results / "samples.npz") as made:
            assert made["z"][:, : SIZES[0]].any() and not made["z"][:, SIZES[0] :].any()
    else:
        with pytest.raises(UserError, match="this run's prior has no noise to scale"):
            applied(folder, "task=sample", "task.samplers=[prior]", "task.temperature=0.5")


def test_it_is_compared_with_codes_of_one_level(applied, trained, finished):
    _, results = applied(trained, "task=compare", f"task.other={finished}", "task.count=3")
    assert list(results.glob("*.png"))


def test_its_latent_picture_names_the_level_and_counts_all_dimensions(trained):
    trace = Trace.load(trained / "figures" / "trace.npz")
    assert active_text(trace, -1).endswith(f" of {sum(SIZES)}")
    assert trace.level_note == ", level 1 from the top"


@pytest.mark.slow
def test_a_resume_with_another_level_begins_its_pictures_anew(train, resume):
    folder = train(*RECORDED, "~callbacks.pictures", "trainer.max_epochs=1")
    resume(folder, "trainer.max_epochs=2", "callbacks.recorder.level=2")
    assert Trace.load(folder / "figures" / "trace.npz").fixed["level"] == 2
    assert RunFolder(folder).previous_trace.is_file()


def test_a_score_of_refined_codes_is_refused_by_itself(applied, trained):
    with pytest.raises(UserError, match="refines codes of one level"):
        applied(trained, "task=anomaly", "task.scores=[regret]")


@pytest.mark.slow
def test_a_resumed_run_with_averaged_weights_equals_one_that_was_not_stopped(train, resume):
    options = ["trainer.ema=0.9", "lr_schedule=constant", "objective=free_bits"]
    part, whole = train(*options, "trainer.max_epochs=1", folder="part"), train(*options, folder="whole")
    assert identical(weights(resume(part, "trainer.max_epochs=2")), weights(whole))


@pytest.mark.parametrize("prior", ["none", "gaussian"])
def test_a_conditional_run_has_images_of_its_labels(applied, train, prior):
    folder = train("condition=label", f"condition.prior={prior}", "trainer.max_epochs=1")
    assert build.load(folder).given(torch.tensor([3, 0])).sample(2).shape == (2, 1, 28, 28)
    for task in ("traverse", "sample"):
        _, results = applied(folder, f"task={task}", *TASKS[task])
        assert list(results.glob("*.png"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["latent_dim=16"], "latent_dim=16: the levels of model=ladder have 326 dimensions together"),
        (["prior.latent_dim=326"], "prior.latent_dim=326, but model.decoder.top is 32: give model.decoder.top alone"),
        (["model.decoder.top=0"], "model.decoder.top must be a whole number, 1 or more, got 0"),
        (["model.decoder.top=a"], "model.decoder.top must be a whole number, 1 or more, got a"),
        (["posterior.top=16"], "posterior.top=16, but the decoder has 32: give model.decoder.top alone"),
        (["posterior=flow"], "posterior=flow: model=ladder has its own posterior; leave it out"),
        (["model.decoder.levels=[1]"], "levels=[1], latents=[1, 1] and channels=[16, 32] must be of one length"),
        (["model.decoder.levels=[2,a]"], "model.decoder.levels must be a list"),
        (
            ["posterior.levels=[3,4]"],
            "posterior.levels=[3,4], but the decoder has [1,2]: give model.decoder",
        ),
        (["model.decoder.channels=[8,8]"], "model.encoder.channels=[16,32], but the decoder has [8,8]: give"),
        (["model.decoder.latents=[1000,1]"], "model.decoder.top, levels and latents make 196130 latents, and 100000"),
        (["model.decoder.levels=[1,1000000000]"], "GB in a single array"),
        (["model.decoder.hidden=100000000"], "model.decoder.hidden=100000000 times model.decoder.top=32 takes"),
        (["model.decoder.levels=[0,-1]"], "model.decoder.levels must be a list"),
        (["model.decoder.latents=[1,0]"], "model.decoder.latents must be a list"),
        (["model.encoder.channels=[16,100000]"], "GB in a single array"),
        (["callbacks.recorder.level=5"], "callbacks.recorder.level=5: the levels of model=ladder are 1, the top, to 4"),
        (["model=mlp", "callbacks.recorder.level=2"], "callbacks.recorder.level=2 is for a hierarchy, as model=ladder"),
        (["model=conv", "posterior=ladder"], "posterior=ladder follows the levels of model=ladder"),
    ],
)
def test_what_can_not_be_is_refused_at_composition(composed, options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        check_run(composed("model=ladder", *options))


def test_its_latents_follow_from_images_of_any_shape(composed, tmp_path):
    assert composed("model=ladder", "data.shape=[3,12,8]").latent_dim == 32 + 6 * 4 + 2 * 3 * 2
    assert composed("model=ladder", "model.decoder.levels=[0,0]").latent_dim == 32
    check_run(composed("model=ladder", "data=images", f"data.path={tmp_path}"))  # data.shape=auto
