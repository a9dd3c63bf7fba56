"""task=anomaly on a user's own images with classes: verdicts, rates and AUROC."""

import csv
import logging

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from src.build import open_run
from src.data.image_files import UserImages, read
from src.support.errors import UserError
from src.support.statistics import flatten
from src.tasks.anomaly.scores import auroc_interval, detection, evaluate_scores, make_scores
from src.tasks.anomaly.verdicts import Truth, Verdicts, find_truth, judge, rates

QUICK = ["task=anomaly", "task.samples=5", "task.steps=2", "task.scores=[-elbo,kl]", "task.invert=false"]
INF = np.inf


def own(labels, classes) -> UserImages:
    labels = np.array(labels, np.int64)
    count = max(len(labels), 1)
    return UserImages([str(i) for i in range(count)], np.zeros((count, 1, 4, 4)), np.zeros(count), labels, classes)


@pytest.fixture
def folder(images, tmp_path):
    """Discs of the training in `Good`, noise in `bad 2` and negatives in `bad 10`."""
    discs, random = images.test.images[:, 0], np.random.default_rng(0)
    noise = random.integers(0, 256, (3, *discs.shape[1:]), np.uint8)
    for name, arrays in (("Good", discs[:8]), ("bad 2", noise), ("bad 10", 255 - discs[:5])):
        (tmp_path / "own" / name).mkdir(parents=True)
        for i, array in enumerate(arrays):
            Image.fromarray(array).save(tmp_path / "own" / name / f"{i}.png")
    return tmp_path / "own"


def rows(path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_sub_folders_are_classes_and_each_image_gets_a_verdict(applied, finished, folder, caplog):
    caplog.set_level(logging.INFO)
    numbers, results = applied(finished, *QUICK, f"task.input={folder}", "task.quantile=0.9")
    run = open_run(finished)
    scores = make_scores(["-elbo"], 5, 2)
    with tqdm(disable=True) as bar:
        validation = evaluate_scores(run, run.data.val.images, scores, bar)["-elbo"]
    threshold = np.quantile(validation, 0.9, method="inverted_cdf")
    assert numbers["threshold of -elbo"] == pytest.approx(threshold)
    table = rows(results / "scores.csv")
    assert {row["class"] for row in table} == {"Good", "bad 2", "bad 10"}
    scores = np.array([float(row["-elbo"]) for row in table])
    assert [row["verdict"] for row in table] == list(np.where(scores > threshold, "anomalous", "normal"))
    is_bad = np.array([row["class"] != "Good" for row in table])
    assert numbers["true_positive_rate"] == (scores[is_bad] > threshold).mean() == 1
    assert numbers["false_positive_rate"] == (scores[~is_bad] > threshold).mean()
    for name in ("-elbo", "kl"):
        values = np.array([float(row[name]) for row in table])
        wanted = flatten(detection(values[~is_bad], values[is_bad]))
        assert {key: numbers[f"{name}/{key}"] for key in wanted} == pytest.approx(wanted)
    assert numbers["chance/aupr"] == 0.5
    assert f"{(scores > threshold).sum()} of 16 of your images are anomalous (-elbo above" in caplog.text
    assert "the 90 % quantile of validation scores)" in caplog.text
    classes = rows(results / "classes.csv")
    assert [row["class"] for row in classes] == ["bad 2", "bad 10", "Good"]  # in natural order
    assert [row["truth"] for row in classes] == ["anomalous", "anomalous", "normal"]
    assert [int(row["images"]) for row in classes] == [3, 5, 8]
    assert float(classes[0]["-elbo auroc"]) == numbers["class bad 2/auroc"]
    assert numbers["class bad 2/aupr_chance"] == 3 / 11
    assert classes[2]["-elbo auroc"] == ""


def test_classes_of_which_none_is_known_to_be_normal_give_no_auroc_but_say_how(applied, finished, folder, caplog):
    caplog.set_level(logging.INFO)
    (folder / "Good").rename(folder / "discs")
    numbers, results = applied(finished, *QUICK, f"task.input={folder}")
    assert not any("auroc" in name or "rate" in name for name in numbers)
    assert "task.normal=NAME" in caplog.text
    assert numbers["class bad 2/anomalous"] == 3
    assert {row["truth"] for row in rows(results / "classes.csv")} == {""}
    numbers, _ = applied(finished, *QUICK, f"task.input={folder}", "task.normal=discs")
    assert numbers["-elbo/auroc"] > 0.9


def test_two_hundred_labels_of_a_file_are_classes_of_which_a_few_are_printed(applied, finished, images, tmp_path):
    names = np.array([f"{i} of a $name$ that is longer than the space beside a chart, 类 {i}" for i in range(200)])
    pixels = np.concatenate([images.train.images[:200], 255 - images.train.images[:2]])
    np.savez(tmp_path / "own.npz", images=pixels, labels=np.append(names, ["good", "good"]))
    numbers, results = applied(finished, *QUICK, f"task.input={tmp_path}/own.npz", "task.scores=[kl]")
    assert len({name.split("/")[0] for name in numbers if name.startswith("class ")}) == 20
    assert max(len(name.split("/")[0]) for name in numbers) <= 46
    assert len(rows(results / "classes.csv")) == 201
    with Image.open(results / "histograms.png") as picture:
        assert max(picture.size) < 3000


@pytest.mark.parametrize(
    ("normal", "labels", "anomalous"),
    [
        ("auto", ("Good", "bad"), [False, True]),
        ("auto", ("OK", "normal", "x"), [False, False, True]),
        ("bad", ("Good", "bad"), [True, False]),
        (0, ("0", "1"), [False, True]),
        ([1, "2"], ("0", "1", "2"), [True, False, False]),
        ("auto", ("auto", "x"), [False, True]),
        ("auto", ("good",), [False]),
    ],
)
def test_the_normal_classes_are_named_or_known_by_their_names(normal, labels, anomalous):
    truth = find_truth(own(range(len(labels)), labels), normal)
    assert truth.anomalous.tolist() == anomalous
    assert {*truth.normal, *truth.anomalies} == {*labels}


@pytest.mark.parametrize(
    ("normal", "classes", "message"),
    [
        ("fine", ("a", "b"), "task.normal=fine: no such class, your images have a, b"),
        (["a", 3], ("a", "b"), "task.normal=3: no such class"),
        ("a", (), "task.normal=a, but your images have no classes: put them into sub-folders"),
    ],
)
def test_a_class_that_is_missing_is_refused(normal, classes, message):
    with pytest.raises(UserError, match=message):
        find_truth(own(range(len(classes)), classes), normal)


def test_without_classes_there_is_no_truth():
    assert find_truth(own([], ()), "auto") is None


def test_the_threshold_leaves_the_share_of_validation_images_below_it(caplog):
    validation = np.arange(1.0, 101)
    verdicts = judge(np.array([94.0, 95, 95.5, INF]), validation, 0.95)
    assert verdicts.threshold == 95
    assert verdicts.anomalous.tolist() == [False, False, True, True]
    assert not caplog.records
    infinite = judge(np.array([1.0, INF]), np.array([1.0, INF, INF]), 0.5)
    assert infinite.threshold == INF
    assert infinite.anomalous.tolist() == [False, True]


@pytest.mark.parametrize(("quantile", "needed"), [(0.95, 20), (0.9, 10), (0.99, 100), (0.5, 2), (0.8, 5)])
def test_a_quantile_of_too_few_validation_images_gives_no_sound_verdict(quantile, needed, caplog):
    assert judge(np.array([0.0, 9]), np.arange(needed) / needed, quantile).are_sound
    assert not caplog.records
    verdicts = judge(np.array([0.0, 9]), np.arange(needed - 1) / needed, quantile)
    assert [verdicts.text(0), verdicts.text(1)] == ["normal?", "anomalous?"]
    (said,) = caplog.messages
    assert f"highest score of {needed - 1} validation images, which about 1 in {needed} normal images exceeds" in said
    if needed > 2:
        remedy = float(said.rpartition("task.quantile=")[2])
        assert judge(np.array([0.0]), np.arange(needed - 1.0), remedy).are_sound


def test_unsound_verdicts_are_marked_in_every_file(applied, finished, folder, caplog):
    numbers, results = applied(finished, *QUICK, f"task.input={folder}", "task.quantile=0.99")
    assert (numbers["verdicts"], numbers["validation images needed"]) == ("unsound", 100)
    count = numbers["validation images"]
    assert {row["verdict"] for row in rows(results / "scores.csv")} <= {"normal?", "anomalous?"}
    assert {row["verdicts"] for row in rows(results / "classes.csv")} == {"unsound"}
    assert "the verdicts are unsound" in caplog.text
    assert f"highest score of {count} validation images" in caplog.text


def test_rates_and_a_perfect_auroc_have_intervals_with_a_width():
    separate = flatten(detection(np.arange(20.0), np.arange(20.0, 30)))
    assert separate["auroc"] == separate["aupr"] == separate["auroc_high"] == 1
    assert 0.8 < separate["auroc_low"] < 0.95
    reverse = flatten(detection(np.arange(20.0, 30), np.arange(20.0)))
    assert (reverse["auroc"], reverse["auroc_low"]) == (0, 0)
    assert reverse["auroc_high"] == pytest.approx(1 - separate["auroc_low"])
    tied = flatten(detection(np.zeros(20), np.zeros(20)))
    assert tied["auroc_low"] == pytest.approx(1 - tied["auroc_high"]) and tied["auroc_low"] < 0.4
    ten = Verdicts(np.ones(10, bool), 0.0, 0.95, 20)
    rate = flatten(rates(ten, Truth(np.ones(10, bool), (), ("bad",))))
    assert rate["true_positive_rate"] == rate["true_positive_rate_high"] == 1
    assert rate["true_positive_rate_low"] == pytest.approx(0.7225, abs=1e-3)  # Wilson's


def test_an_auroc_s_interval_holds_the_truth_in_most_samples():
    random, held = np.random.default_rng(0), 0
    for _ in range(200):
        normal, anomalous = random.normal(size=15), random.normal(2.5, 1, size=8)  # the AUROC is 0.961
        mean = (anomalous[:, None] > normal).mean()
        interval = auroc_interval(mean, 15, 8)
        held += interval.low <= 0.9615 <= interval.high
    assert held >= 184  # 95 % of 200, less two standard deviations


def test_an_image_at_the_top_of_a_folder_is_left_out(folder):
    labels, classes = read(str(folder), (1, 28, 28), 0.0, False)[3:]
    assert classes == ("bad 2", "bad 10", "Good")
    assert np.bincount(labels).tolist() == [3, 5, 8]
    (folder / "Good" / "0.png").rename(folder / "0.png")
    labels, classes = read(str(folder), (1, 28, 28), 0.0, False)[3:]
    assert classes == ("bad 2", "bad 10", "Good")
    assert np.bincount(labels).tolist() == [3, 5, 7]


def test_one_anomaly_has_an_auroc_without_an_error():
    numbers = flatten(detection(np.arange(9.0), np.array([7.5])))
    assert numbers["auroc"] == 8 / 9 and "auroc_se" not in numbers
