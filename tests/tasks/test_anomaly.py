"""task=anomaly and its pictures."""

import csv
import json
import math
import re

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

from src.figures.histogram import span
from src.support.errors import UserError
from src.support.statistics import flatten
from src.tasks.anomaly import pictures
from src.tasks.anomaly import task as module
from src.tasks.anomaly.scores import BASELINES, SCORES, detection, make_scores

QUICK = ["task.images=20", "task.samples=5", "task.steps=2"]


def test_a_run_is_compared_with_corruptions_and_other_data(applied, finished):
    numbers, folder = applied(
        finished, "task=anomaly", *QUICK, "task.against=[flip_vertical,rotate,noise,blur,invert,mnist5k]"
    )
    names = {path.name for path in folder.iterdir()}
    assert names == {"scores.npz", "histograms.png", "images.png", "metrics.json", "task.yaml"}
    with np.load(folder / "scores.npz") as arrays:
        assert {name.split("/")[0] for name in arrays} == {
            "test",
            "flip_vertical",
            "rotate",
            "noise",
            "blur",
            "invert",
            "mnist5k",
        }
        assert all(values.shape == (20,) and np.isfinite(values).all() for values in arrays.values())
        wanted = flatten(detection(arrays["test/nll"], arrays["noise/nll"]))
        assert (arrays["test/nll"] <= arrays["test/-elbo"] + 5).all()
    assert {key: numbers[f"noise nll/{key}"] for key in wanted} == wanted
    # discs on black differ from noisy discs and from negatives; a mirror image has the same intensity
    assert numbers["noise -elbo/auroc"] > 0.95
    assert numbers["invert mean_intensity/auroc"] == 1
    assert 0.3 < numbers["flip_vertical mean_intensity/auroc"] < 0.7


def overflowing(monkeypatch, broken: dict[str, list[float]]) -> None:
    """Replace the first scores of each set by the values in `broken`, by score."""

    def overflow(score, values):
        def overflowing_score(vae, batch, noise):
            result = score(vae, batch, noise)
            result[: len(values)] = torch.tensor(values)[: len(result)]
            return result

        return overflowing_score

    def make(*options):
        scores = make_scores(*options)
        return scores | {name: overflow(scores[name], values) for name, values in broken.items()}

    monkeypatch.setattr(module, "make_scores", make)


NAN, INF = math.nan, math.inf


def test_images_that_make_the_model_overflow_are_the_most_anomalous_and_counted(applied, finished, monkeypatch, caplog):
    overflowing(monkeypatch, {"-elbo": [NAN, INF, -INF], "regret": [NAN] * 20})
    numbers, folder = applied(finished, "task=anomaly", *QUICK, "task.against=[noise]", "task.scores=[-elbo,kl,regret]")
    for name in ("test", "noise"):
        assert numbers[f"{name} -elbo/not_finite"] == 3
        assert numbers[f"{name} regret/not_finite"] == 20
        assert f"{name} kl/not_finite" not in numbers
        with np.load(folder / "scores.npz") as arrays:
            assert (arrays[f"{name}/-elbo"][:3] == INF).all()
            assert np.isfinite(arrays[f"{name}/-elbo"][3:]).all()
    assert numbers["noise regret/auroc"] == 0.5
    assert 0.8 < numbers["noise -elbo/auroc"] < 1
    assert "noise: of 20 images these scores are not finite" in caplog.text
    assert "most anomalous: -elbo of 3, regret of 20" in caplog.text
    json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)  # NaN and Infinity are no JSON


def test_own_images_that_make_the_model_overflow_are_the_most_anomalous(
    applied, finished, images, monkeypatch, tmp_path
):
    np.savez(tmp_path / "own.npz", images=images.test.images[:6])
    overflowing(monkeypatch, {"-elbo": [-INF, NAN], "kl": [NAN] * 20})
    options = [f"task.input={tmp_path}/own.npz", "task.invert=false", "task.scores=[-elbo,kl]"]
    numbers, folder = applied(finished, "task=anomaly", *QUICK, *options)
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["-elbo"] for row in rows[:2]] == ["inf", "inf"]
    assert [row["percentile of -elbo"] for row in rows[:2]] == ["95.00", "95.00"]  # above 18 of 20, equal to 2
    assert (numbers["-elbo/yours not finite"], numbers["-elbo/test not finite"]) == (2, 2)
    assert numbers["kl/median of yours"] == "not finite"
    json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_the_histogram_counts_the_values_beyond_its_axis():
    random = np.random.default_rng(0)
    normal = random.normal(100, 10, 500)
    other = np.concatenate([random.normal(150, 10, 495), [1738, 900, -1000, NAN, INF]])
    figure = pictures.histograms("a", {"kl": normal}, {"other": {"kl": other}}, {})
    assert {"◂ 1 down to −1,000", "2 up to 1,738, 2 ∞ ▸"} <= set(texts(figure))
    (axes,) = (axes for axes in figure.axes if axes.patches)
    low, high = axes.get_xlim()
    assert -200 < low < high < 300
    assert all(low < tick < high for tick in axes.get_xticks())
    hatched = [patch for patch in axes.patches if patch.get_hatch()]
    assert len(hatched) == 2


def test_the_histograms_count_the_images_and_name_the_units():
    test, yours = (dict.fromkeys(("-elbo", "mean_intensity", "png_size"), v) for v in (np.arange(500.0), np.ones(1)))
    words = texts(pictures.histograms("a", test, {"yours": yours}, {}))
    assert "yours\n1 image" in words
    assert {"\N{MINUS SIGN}elbo, nats", "mean intensity, 0 to 1", "png size, nats"} <= set(words)
    assert "anomaly scores of 500 test images, and of others" in words


@pytest.mark.parametrize(
    ("normal", "other"),
    [([1.0, 2, 3], [2.0, 3, 4]), ([1.0, 1], [1.0, 1]), ([INF, INF], [1.0, 2]), ([INF], [INF]), ([0.0, 1e30], [5.0, 7])],
)
def test_any_scores_can_be_drawn(normal, other):
    normal, other = np.array(normal), np.array(other)
    lines = texts(pictures.histograms("a", {"kl": normal}, {"other": {"kl": other}}, {}))
    infinite = int(np.isinf(normal).sum() + np.isinf(other).sum())
    assert sum(int(line.removesuffix(" ∞ ▸")) for line in lines if line.endswith(" ∞ ▸")) == infinite
    assert not any("up to" in line or "down to" in line for line in lines)


def test_the_axis_holds_the_tails_but_not_far_outliers():
    values = np.random.default_rng(0).normal(0, 1, 1000)
    assert span(values, values + 1) == (values.min(), values.max() + 1)
    low, high = span(values, np.append(values, 1000))
    assert (low, high) == (values.min(), values.max())


def test_auto_is_flips_noise_and_other_data_whose_files_exist(applied, finished):
    numbers, _ = applied(finished, "task=anomaly", *QUICK, "task.scores=[kl]")
    rows = {name.split("/")[0] for name in numbers if "/" in name}
    sets = ("flip_vertical", "flip_horizontal", "noise")
    assert rows == {f"{name} {score}" for name in sets for score in ("chance", "kl", *BASELINES)}


def test_a_class_that_was_held_out_is_detected(applied, run, small, caplog):
    caplog.set_level("INFO", "src.support.console")
    folder = run("data.exclude_labels=[2]", "likelihood=gaussian", "prior=vamp", "trainer.max_epochs=6")
    numbers, results = applied(folder, "task=anomaly", *QUICK, "task.images=100")
    with np.load(results / "scores.npz") as arrays:
        assert {name.split("/")[0] for name in arrays} == {"test", "held_out"}
        assert (len(arrays["test/kl"]), len(arrays["held_out/kl"])) == (31, 10)
    assert numbers["held_out -elbo/auroc"] > 0.9
    assert numbers["held_out chance/aupr"] == 10 / 41
    assert (numbers["test images"], numbers["held_out images"]) == (31, 10)
    said = [line for line in caplog.messages if re.match(r"\d of 2: ", line)]
    assert [line.partition(", about")[0] for line in said] == ["1 of 2: test, 31 images", "2 of 2: held_out, 10 images"]


def test_scores_of_a_flow_and_of_gray_levels(applied, run):
    folder = run("posterior=flow", "likelihood=logistic256", "trainer.max_epochs=1")
    numbers, _ = applied(folder, "task=anomaly", *QUICK, "task.against=rotate")
    assert {name.split("/")[0] for name in numbers if "/" in name} == {
        f"rotate {s}" for s in ("chance", *SCORES, *BASELINES)
    }


def test_own_images_are_scored(applied, finished, images, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    for i, image in enumerate(images.test.images[:6, 0]):
        Image.fromarray(255 - image).resize((56, 56)).save(own / f"{i}.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 90, 3), np.uint8)).save(own / "odd.jpg")
    numbers, folder = applied(finished, "task=anomaly", *QUICK, f"task.input={own}", "task.scores=[nll,-elbo]")
    assert {path.name for path in folder.iterdir()} >= {"scores.csv", "histograms.png", "images.png"}
    with (folder / "scores.csv").open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert {row["inverted"] for row in rows.values()} == {"true"}
    assert (numbers["images"], numbers["inverted"]) == (7, 7)
    assert rows["odd.jpg"]["percentile of nll"] == "100.00"
    assert max(rows, key=lambda name: float(rows[name]["nll"])) == "odd.jpg"
    assert set(rows["1.png"]) == {"file", "class", "verdict", "nll", "-elbo", "percentile of nll", "inverted"}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("task.scores=[-elbo,foo]", "task.scores must be a list, each element -elbo or nll"),
        ("task.scores=[]", "task.scores must be a list, each element -elbo or nll"),
        ("task.against=[noise,foo]", r"task\.against must be auto or some of"),
        ("task.against=null", "task.against must be text or a list"),
        ("task.against=held_out", "trained on all labels"),
        ("task.images=1", r"task\.images must be a whole number, 2 or more, got 1"),
        ("task.samples=0", r"task\.samples"),
        ("task.steps=1.5", r"task\.steps"),
        ("task.input=nowhere", "no such file or folder"),
    ],
)
def test_bad_options_are_rejected_and_nothing_is_written(applied, finished, option, message):
    before = sorted(finished.rglob("*"))
    with pytest.raises(UserError, match=message):
        applied(finished, "task=anomaly", option)
    assert sorted(finished.rglob("*")) == before


def test_images_of_another_shape_are_rejected(applied, run, tmp_path):
    random = np.random.default_rng(0)
    path = tmp_path / "colours.npz"
    np.savez(path, images=random.integers(0, 256, (60, 3, 12, 8)).astype(np.uint8))
    folder = run(f"data.path={path}", "data.shape=[3,12,8]", "data.batch_size=8", "trainer.max_epochs=1")
    for name in ("mnist5k", "rotate"):
        with pytest.raises(UserError, match=rf"task\.against={name}: images are .* the run's \[3, 12, 8\]"):
            applied(folder, "task=anomaly", f"task.against={name}")
    numbers, _ = applied(folder, "task=anomaly", *QUICK, "task.against=[blur]")
    assert numbers["blur recon/auroc"] >= 0
