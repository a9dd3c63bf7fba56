"""task=compare."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.text import Text

from src.build import Run, open_run
from src.models.likelihoods import Bernoulli
from src.run import epochs
from src.support.errors import UserError
from src.support.noise import Noise
from src.support.statistics import Estimate
from src.tasks.compare.pictures import differences, shorten
from src.tasks.compare.task import check_comparable, option_differences, side_by_side
from src.training.objectives import ELBO
from tests.helpers.models import POSTERIORS, PRIORS, small


def test_a_run_does_not_differ_from_itself(applied, finished):
    numbers, folder = applied(finished, "task=compare", f"task.other={finished}")
    assert numbers["elbo/difference"] == numbers["elbo/difference_se"] == 0
    assert numbers["elbo/run"] == pytest.approx(epochs.read(finished).rows[-1]["val/elbo"], abs=1e-3)
    names = {"compare.png", "differ.png", "codes.png", "options.txt", "terms.npz", "metrics.json", "task.yaml"}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "options.txt").read_text() == "\n"


def test_runs_on_different_splits_are_refused(finished):
    runs = open_run(finished), open_run(finished)
    runs[1].config.data = {**runs[1].config.data, "split": "mnist"}
    with pytest.raises(UserError, match=r"data\.split is None of run, mnist of other"):
        check_comparable(*runs)


def test_differences_are_paired_over_the_images(applied, finished, run):
    other = run("latent_dim=2", "beta=2", "posterior=full")
    numbers, folder = applied(finished, "task=compare", f"task.other={other}", "task.samples=3", "task.split=test")
    assert (numbers["latent_dim/run"], numbers["latent_dim/other"]) == ("3", "2")
    assert (numbers["posterior/run"], numbers["posterior/other"]) == ("posteriors.Gaussian", "posteriors.Full")
    assert "posterior.latent_dim/run" not in numbers
    elbos = []
    for folder_of_one in (finished, other):
        one = open_run(folder_of_one)
        x = torch.from_numpy(one.data.test.images).float() / 255
        eps = Noise(0).normal(torch.arange(len(x)), 3, one.vae.latent_dim, like=x)
        with torch.no_grad():
            elbos.append(-ELBO(samples=3)(one.vae, x, eps).loss.double().numpy())
    difference = elbos[0] - elbos[1]
    assert numbers["images"] == len(difference)
    assert numbers["elbo/difference"] == pytest.approx(difference.mean(), abs=1e-4)
    assert numbers["elbo/difference_se"] == pytest.approx(difference.std(ddof=1) / len(difference) ** 0.5, abs=1e-4)
    assert numbers["elbo/difference"] == pytest.approx(-numbers["recon/difference"] - numbers["kl/difference"])
    with np.load(folder / "terms.npz") as arrays:
        np.testing.assert_allclose(arrays["run_elbo"], elbos[0], atol=1e-3)
        np.testing.assert_allclose(arrays["other_elbo"], elbos[1], atol=1e-3)
        np.testing.assert_array_equal(arrays["index"], np.arange(len(difference)))


@pytest.mark.parametrize(
    ("priors", "caption"),
    [
        (("standard", "standard"), "the same codes, decoded by both"),
        (("mixture", "mixture"), "the same codes, decoded by both"),
        (("standard", "coupling"), "the same noise, through the prior and decoder of each"),
    ],
)
def test_codes_are_called_the_same_where_both_priors_draw_the_same(images, priors, caption):
    runs = {}
    for who, prior in zip(("run", "other"), priors, strict=True):
        torch.manual_seed(0)
        vae = small(POSTERIORS["gaussian"](3), PRIORS[prior](3), Bernoulli()).eval()
        runs[who] = Run(Path(), None, vae, seed=0, epoch=1)
    runs["run"].data = SimpleNamespace(source=images)
    figure = side_by_side("a", runs, images.test, 3)
    assert any(caption in text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["likelihood=gaussian"], "the pixels' kind is binary of run, dequantized of other"),
        (["data.exclude_labels=[1]"], r"data.exclude_labels is \[\] of run, \[1\] of other"),
    ],
)
def test_runs_on_other_images_are_rejected(applied, finished, run, options, message):
    other = run(*options, "trainer.max_epochs=1")
    with pytest.raises(UserError, match=message):
        applied(finished, "task=compare", f"task.other={other}")
    assert not list(finished.glob("tasks/compare/.*"))


def test_a_file_that_moved_is_recognised_and_another_is_rejected(applied, finished, run, tmp_path):
    same, turned = tmp_path / "same.npz", tmp_path / "turned.npz"
    shutil.copy(open_run(finished).config.data.path, same)
    with np.load(same) as arrays:
        np.savez(turned, images=arrays["images"][:, :, ::-1], labels=arrays["labels"])
    other = run(f"data.path={same}", "trainer.max_epochs=1", folder="same")
    numbers, _ = applied(finished, "task=compare", f"task.other={other}")
    assert not any("path" in name for name in numbers)
    other = run(f"data.path={turned}", "trainer.max_epochs=1", folder="turned")
    with pytest.raises(UserError, match=r"data.path holds other images"):
        applied(finished, "task=compare", f"task.other={other}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "task.other must be given"),
        (["task.other=nowhere"], "nowhere.*no such checkpoint"),
        (["task.other=x", "task.split=train"], "task.split must be val or test"),
        (["task.other=x", "task.checkpoint=first"], "task.checkpoint must be best or last"),
        (["task.other=x", "task.samples=0"], "task.samples must be a whole number"),
        (["task.other=x", "task.count=0"], "task.count must be a whole number"),
    ],
)
def test_bad_options_are_rejected(applied, finished, options, message):
    with pytest.raises(UserError, match=message):
        applied(finished, "task=compare", *options)


def test_options_that_differ_are_named_once_and_the_shortest_way():
    ours = {
        "seed": 0,
        "beta": 1.0,
        "objective": {"_target_": "src.training.objectives.ELBO", "beta": 1.0},
        "title": "a",
    }
    theirs = {
        "seed": 0,
        "beta": 4.0,
        "objective": {"_target_": "src.training.objectives.MMD", "beta": 4.0, "penalty": 9},
    }
    differing = option_differences(ours, theirs | {"title": "b", "data": {"root": "elsewhere"}})
    assert differing == {
        "beta": ("1.0", "4.0"),
        "objective": ("objectives.ELBO", "objectives.MMD"),
        "objective.penalty": ("–", "9"),
    }


def test_two_runs_of_a_sweep_do_not_differ_in_its_name():
    assert option_differences({"sweep_name": "one", "seed": 0}, {"sweep_name": "two", "seed": 0}) == {}


def test_options_of_two_groups_are_two_differences():
    ours = {"model": {"encoder": {"hidden": 8}, "decoder": {"hidden": 8}}}
    theirs = {"model": {"encoder": {"hidden": 9}, "decoder": {"hidden": 9}}}
    flows = {group: {"transforms": 2} for group in ("prior", "posterior")}
    differing = option_differences(ours, theirs | flows)
    assert list(differing) == ["model.encoder.hidden", "posterior.transforms", "prior.transforms"]


def test_long_values_keep_their_end():
    assert shorten("short") == "short"
    assert shorten("x" * 40 + "end").endswith("end") and len(shorten("x" * 43)) == 26


def test_the_histogram_counts_the_values_beyond_its_axis():
    difference = np.concatenate([np.random.default_rng(0).normal(1, 5, 995), [-200, 90, 80, 70, -60]])
    row = {"run": 1.0, "other": 1.0, "difference": Estimate(1.0, 0.1)}
    figure = differences("a", "b", dict.fromkeys(("elbo", "recon", "kl"), row), {}, difference)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    limit = np.percentile(np.abs(difference), 99)
    above, below = int((difference > limit).sum()), int((difference < -limit).sum())
    assert above + below == 10
    assert texts == [f"◂ {below} down to −200", f"{above} up to 90 ▸"]
