"""task=evaluate: its numbers are those of the training's own evaluation, and each has a meaning that is checked."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from src.build import open_run
from src.data.sources import Split
from src.evaluation import samplers
from src.inference.metrics import elbo_terms
from src.support.errors import UserError
from src.support.noise import Noise
from src.support.statistics import Estimate
from src.tasks.evaluate.latents import latent_use, training_codes
from src.tasks.evaluate.task import notes

FEW = ["task.samples=20", "task.images=20", "task.tight_images=10", "task.sample_quality=false"]


def test_numbers_and_files(applied, finished):
    numbers, folder = applied(finished, "task=evaluate", *FEW)
    assert {path.name for path in folder.iterdir()} == {"evaluation.png", "terms.npz", "metrics.json", "task.yaml"}
    with np.load(folder / "terms.npz") as terms:
        assert terms["nll"].shape == terms["recon"].shape == (20,)
        assert terms["nll_tight"].shape == (10,)
        assert numbers["nll_20"] == pytest.approx(terms["nll"].mean())
        assert numbers["nll_20_se"] == pytest.approx(terms["nll"].std(ddof=1) / math.sqrt(20))
    assert numbers["elbo"] == pytest.approx(-numbers["recon"] - numbers["kl"])
    assert numbers["nll_20"] < -numbers["elbo"]
    assert numbers["nll_tight"] <= numbers["nll_20_same"] + 1
    assert 1 <= numbers["effective_samples"] <= 20
    assert 0 <= numbers["nll_tight_effective_samples_under_20"] <= 1
    assert 0 <= numbers["total_correlation"] <= numbers["total_correlation_at_most"]
    assert numbers["mutual_information"] <= numbers["mutual_information_cap"] == pytest.approx(math.log(20))
    assert numbers["linear_probe_accuracy"] > 0.4  # of four classes
    assert json.loads((folder / "metrics.json").read_text())["nll_20"] == numbers["nll_20"]
    assert "nll_20_all" not in numbers and "nll_tight_all" in numbers


def test_the_nll_of_all_images_is_estimated_from_some_of_them_by_the_elbo(applied, finished):
    numbers, folder = applied(finished, "task=evaluate", *FEW, "task.nll_images=8", "task.tight_images=4")
    with np.load(folder / "terms.npz") as terms:
        rows, elbo = terms["nll_index"], terms["elbo"]
        assert len(terms["nll"]) == 8 == len(set(rows)) and len(terms["nll_tight"]) == 4 and len(elbo) == 20
        expected = -elbo.mean() - (-elbo[rows] - terms["nll"]).mean()
    assert numbers["nll_20_all"] == pytest.approx(expected) and numbers["nll_20_all_se"] > 0
    assert abs(numbers["nll_tight_all"] - numbers["nll_20_all"]) < 4 * numbers["nll_tight_all_se"]


def test_the_console_says_of_which_images_an_estimate_is(applied, finished, caplog):
    caplog.set_level("INFO", "src")
    applied(finished, "task=evaluate", *FEW)
    (table,) = (record.getMessage() for record in caplog.records if "nll_tight_below" in record.getMessage())
    rows = {line.split()[0]: line for line in table.splitlines()}
    assert rows["nll_20"].endswith("  (20 images)")
    names = ["nll_tight", "nll_20_same", "nll_tight_below"]
    assert [rows[name].endswith("  (the first 10 of them)") for name in names] == [True, True, True]
    assert [name for name in rows if name in names] == names
    assert "at most log 20 = 3.00" in rows["mutual_information"] or "at its cap" in rows["mutual_information"]


@pytest.mark.parametrize(("mean", "note"), [(8.5, "at its cap, log 5,000 = 8.52"), (5.0, "at most log 5,000 = 8.52")])
def test_a_mutual_information_at_its_cap_is_named(mean, note):
    numbers = {"mutual_information": Estimate(mean, 0.001), "mutual_information_cap": math.log(5000)}
    assert notes(numbers, {}, 0)["mutual_information"].startswith(note)


def test_the_bound_is_that_of_the_training(applied, finished):
    numbers, _ = applied(finished, "task=evaluate", "task.samples=0", "task.sample_quality=false")
    tested = json.loads((finished / "metrics.json").read_text())
    for name in ("elbo", "recon", "kl", "active_units"):
        assert numbers[name] == pytest.approx(tested[f"test/{name}"], rel=1e-6)
    assert "nll_0" not in numbers


def test_a_subset_of_the_images_is_spread_evenly(finished):
    """Here with the test images ordered by the KL of their codes, as files are ordered by class."""
    run = open_run(finished)
    kl = elbo_terms(run.vae, run.batches(run.data.test), Noise(run.seed))["kl"]
    order = np.argsort(kl)
    ordered = Split(*(array[order] for array in run.data.test))
    numbers = latent_use(run, ordered, kl[order], run.codes(ordered), 20)
    mean = numbers["aggregate_kl_at_most"] + numbers["mutual_information"].mean  # of the 20 images' KL
    assert mean == pytest.approx(kl.mean(), abs=0.1)
    assert kl[order][:20].mean() < kl.mean() - 0.3


def test_a_subset_of_the_training_codes_is_spread_evenly(finished):
    """The test takes as many codes as there are training images, each of which has 153 samples."""
    run = open_run(finished)
    codes = samplers.codes(run).numpy()
    subset = training_codes(run, 328)
    index = [int(np.flatnonzero((codes == row.astype(np.float32)).all(1))[0]) for row in subset]
    assert len(index) == 328 and np.ptp(index) > 0.98 * len(codes)


class OwnNormal(Independent):
    """A posterior of one's own, of which no more is known than torch's distributions tell."""

    def rsample_and_log_prob(self, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = self.base_dist.loc + self.base_dist.scale * noise
        return z, self.log_prob(z)


class OwnPosterior(nn.Module):
    def forward(self, raw: torch.Tensor) -> OwnNormal:
        loc, log_scale = raw.chunk(2, -1)
        return OwnNormal(Normal(loc, log_scale.exp()), 1)


def test_latent_use_of_a_posterior_of_ones_own(finished):
    run = open_run(finished)
    run.vae.posterior = OwnPosterior()
    test = run.data.test
    kl = elbo_terms(run.vae, run.batches(test), Noise(run.seed))["kl"]
    numbers = latent_use(run, test, kl, run.codes(test))
    assert "mutual_information" not in numbers
    assert numbers["total_correlation_at_most"] == numbers["aggregate_kl_at_most"]


def test_bf16_is_near(applied, finished):
    exact, _ = applied(finished, "task=evaluate", *FEW)
    rough, _ = applied(finished, "task=evaluate", *FEW, "task.precision=bf16-mixed")
    assert rough["nll_20"] != exact["nll_20"]
    assert rough["nll_20"] == pytest.approx(exact["nll_20"], rel=0.02)
    assert rough["elbo"] == exact["elbo"]


@pytest.mark.parametrize(
    "options",
    [
        ["likelihood=gaussian", "prior=flow", "posterior=flow"],
        ["likelihood=logistic256", "prior=vamp", "prior.components=5", "posterior=full"],
        ["likelihood=continuous_bernoulli", "prior=mixture", "prior.components=4"],
    ],
)
def test_every_kind_of_part(applied, run, options):
    numbers, _ = applied(run(*options), "task=evaluate", *FEW)
    assert math.isfinite(numbers["nll_tight"])
    assert numbers["bits_per_dim_nll_20"] < numbers["bits_per_dim_elbo"]
    assert ("mutual_information" in numbers) == ("posterior=flow" not in options)
    assert numbers["total_correlation"] >= 0
    assert_consistent(numbers)


def assert_consistent(numbers: dict) -> None:
    """Assert that no bound is weaker than what is known anyway."""
    information = numbers.get("mutual_information", 0)
    assert 0 <= information <= numbers["mutual_information_at_most"] <= max(numbers["kl"], 0)
    assert 0 <= numbers["aggregate_kl_at_least"] <= numbers["aggregate_kl_at_most"] <= max(numbers["kl"], 0)
    assert 0 <= numbers["total_correlation"] <= numbers.get("total_correlation_at_most", math.inf)


@pytest.mark.parametrize("options", [["beta=100"], ["beta=100", "posterior=full", "latent_dim=1"]], ids=" ".join)
def test_a_collapsed_code(applied, run, options, caplog):
    numbers, _folder = applied(run(*options, "trainer.max_epochs=4"), "task=evaluate", *FEW)
    assert numbers["kl"] < 0.1
    assert_consistent(numbers)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    expected = [f"{name}: 100 % of the images have fewer than 20 effective" for name in ("nll_20", "nll_tight")]
    assert [any(line.startswith(start) for line in warnings) for start in expected] == [True, True]


def test_two_images(applied, finished):
    numbers, _ = applied(finished, "task=evaluate", *FEW, "task.images=2", "task.tight_images=2")
    assert_consistent(numbers)
    assert numbers["mutual_information_cap"] == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("task.split=train", "task.split must be test or val"),
        ("task.samples=-1", "task.samples must be a whole number, 0 or more, got -1"),
        ("task.images=1", "task.images must be a whole number, 2 or more or null"),
        ("task.samples=many", "task.samples must be a whole number"),
        ("task.tight_images=1", "task.tight_images must be 0 or a whole number, 2 or more"),
        ("task.precision=16", "32-true or bf16-mixed"),
    ],
)
def test_mistakes(applied, finished, option, message):
    with pytest.raises(UserError, match=message):
        applied(finished, "task=evaluate", option)
