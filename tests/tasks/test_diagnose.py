"""task=diagnose."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from src.build import open_run
from src.support.errors import UserError
from src.support.statistics import Estimate
from src.tasks.diagnose.pictures import bars, limits
from src.tasks.diagnose.task import active_dimensions, remedies

FAST = ("task.count=30", "task.samples=20", "task.steps=5", "task.simulations=100")
FILES = {"nats.png", "calibration.png", "parts.npz", "metrics.json", "task.yaml"}


def test_parts_sum_to_the_total(applied, finished):
    numbers, folder = applied(finished, "task=diagnose", *FAST)
    assert {path.name for path in folder.iterdir()} == FILES
    with np.load(folder / "parts.npz") as arrays:
        names = set(arrays) - {"index", "effective_samples"}
        parts = {name: arrays[name] for name in names}
        index = arrays["index"]
    assert names == {"noise_floor", "decoder", "code", "prior", "family", "amortisation"}
    total = sum(numbers[f"{name}/nats"] for name in names)
    assert numbers["total/nats"] == pytest.approx(total)
    deviation = sum(parts.values()).std(ddof=1) / 30**0.5
    assert numbers["total/nats_se"] == pytest.approx(deviation)
    with np.load(finished / "val_terms.npz") as terms:
        costs = (terms["recon"] + terms["kl"])[index]
    error = float(costs.std(ddof=1)) / 30**0.5  # of one draw an image, where ours averages many
    assert numbers["total/nats"] == pytest.approx(float(costs.mean()), abs=error)
    p = open_run(finished).data.source.val.images[index] / 255
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.nan_to_num(-p * np.log(p)) + np.nan_to_num(-(1 - p) * np.log(1 - p))
    np.testing.assert_allclose(parts["noise_floor"], entropy.sum((1, 2, 3)), rtol=1e-4)
    assert (parts["decoder"] > 0).all()
    assert 0 < numbers["calibration_error"] < 1 and 0 < numbers["coverage_90"] <= 1


def test_active_dimensions_are_those_of_all_validation_images():
    """As val/active_units is, however few images are diagnosed."""
    codes = np.stack([np.linspace(0, 1, 60), np.zeros(60), np.eye(60)[-1]], 1)  # the last dimension varies at the end
    run = SimpleNamespace(codes=lambda split: codes[split], data=SimpleNamespace(val=slice(None)))
    assert active_dimensions(run, 0.9 * codes[:, 2].var()).tolist() == [0, 2]
    assert active_dimensions(run, 9).tolist() == [0, 1, 2]


def test_densities_have_no_floor_and_no_diagram(applied, run):
    folder = run("likelihood=gaussian", "posterior=full", "prior=vamp", "prior.components=5", "trainer.max_epochs=1")
    numbers, results = applied(folder, "task=diagnose", *FAST)
    assert {path.name for path in results.iterdir()} == FILES
    assert all(numbers[f"{part}/nats"] >= 0 for part in ("prior", "family", "amortisation"))
    assert "noise_floor/nats" not in numbers and "calibration_error" not in numbers
    assert {"family/nats", "amortisation/nats"} <= set(numbers)


def test_flows_have_one_part_for_the_posterior(applied, run):
    folder = run("posterior=flow", "prior=flow", "trainer.max_epochs=1")
    numbers, _ = applied(folder, "task=diagnose", *FAST)
    assert "posterior/nats" in numbers and "family/nats" not in numbers
    assert numbers["posterior/attacked_by"] == "posterior.transforms=4"
    assert numbers["prior/attacked_by"] == "prior.transforms=8"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("task.count=1", "task.count must be a whole number, 2 or more, got 1"),
        ("task.samples=0", "task.samples must be a whole number, 1 or more"),
        ("task.steps=1.5", "task.steps must be a whole number, 1 or more, got 1.5"),
        ("task.simulations=99", "task.simulations must be a whole number, 100 or more"),
    ],
)
def test_bad_options_are_refused(applied, finished, option, message):
    with pytest.raises(UserError, match=message):
        applied(finished, "task=diagnose", option)


@pytest.mark.parametrize("options", [[], ["posterior=flow", "prior=flow"]], ids=" ".join)
def test_remedies_are_options(composed, options):
    for remedy in remedies(composed(*options)).values():
        for option in re.findall(r"\S+=[^\s,]+", remedy):
            composed(*options, option)


def row(nats: float) -> dict[str, Estimate]:
    return {"nats": Estimate(nats, 0.1)}


def test_bars_begin_where_the_one_before_ends():
    table = {"decoder": row(9), "code": row(4), "prior": row(-1), "total": row(12), "overfitting": row(2)}
    spans = bars(table)
    assert spans == {"decoder": (0, 9), "code": (9, 13), "prior": (13, 12), "total": (0, 12), "overfitting": (12, 10)}


def test_an_axis_is_cut_where_the_first_bar_would_leave_no_room():
    table = {"decoder": row(-900), "code": row(20), "total": row(-880), "overfitting": row(2)}
    low, high, cut = limits(bars(table))
    assert cut and -920 < low < -900 and -880 < high < -870
    low, _, cut = limits(bars({"decoder": row(10), "code": row(20), "total": row(30), "overfitting": row(2)}))
    assert low == 0 and not cut
