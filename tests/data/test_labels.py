"""data.exclude_labels: labels are what they are called."""

import numpy as np
import pytest

from src import build
from src.data.labels import exclude_labels, labels_for_npz, numbers_of
from src.data.official import GARMENTS
from src.data.sources import DIGITS, Images, Split
from src.data.user_images import images as npz
from src.support.errors import UserError
from src.tasks.compare.task import images_of

EMPTY = Split(np.zeros((0, 1, 4, 4), np.uint8), np.zeros(0, np.int64))


def classes(*names: str, numbered: bool = False) -> Images:
    return Images("mine", "here", names, EMPTY, EMPTY, EMPTY, numbered=numbered)


def own(tmp_path, labels) -> Images:
    """A file of 20 images of each of these labels."""
    images = np.random.default_rng(0).integers(0, 256, (20 * len(labels), 6, 6), np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=np.repeat(labels, 20))
    return npz(str(tmp_path / "own.npz"))


@pytest.mark.parametrize(
    ("labels", "excluded", "gone"),
    [
        (range(1, 11), [4], {"4"}),
        (range(1, 11), ["4", 10], {"4", "10"}),
        (range(-3, 3), [-3, 0], {"-3", "0"}),
        ([str(i) for i in range(12)], [2], {"2"}),
        ([str(i) for i in range(12)], ["10"], {"10"}),
        (["cat", "dog", "red fox"], ["red fox", "cat", "cat"], {"red fox", "cat"}),
        (["01", "1"], ["01"], {"01"}),
        ([False, True], [True], {"True"}),
        (range(5), 3, {"3"}),
        (["cat", "dog"], "dog", {"dog"}),
        (range(5), None, set()),
        (range(5), [], set()),
    ],
)
def test_labels_of_an_own_file_are_known_by_name(labels, excluded, gone, tmp_path):
    images = own(tmp_path, list(labels))
    left = exclude_labels(images, excluded)
    assert set(left.without) == gone
    for before, after in zip((images.train, images.val, images.test), (left.train, left.val, left.test), strict=True):
        names = np.array(images.classes)
        keep = ~np.isin(names[before.labels], list(gone))
        assert np.array_equal(after.images, before.images[keep])
        assert set(names[after.labels]) == set(map(str, labels)) - gone


@pytest.mark.parametrize(
    ("images", "labels", "numbers"),
    [
        (classes(*DIGITS, numbered=True), [4, "7", 4], [4, 7]),
        (classes(*GARMENTS, numbered=True), [1, "Trouser", "Ankle boot"], [1, 9]),
        (classes(*GARMENTS, numbered=True), "5", [5]),
        (classes("1", "2", "0", numbered=True), [1], [0]),  # a name comes before a number
    ],
)
def test_official_labels_are_known_by_number_too(images, labels, numbers):
    assert numbers_of(images, labels) == numbers


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (classes("1", "2", "3"), [0], "mine has no label 0, but 1, 2, 3"),
        (classes("cat", "dog"), [0], "mine has no label 0, but cat, dog"),
        (classes("cat", "dog"), ["Cat"], "no label 'Cat', but cat, dog"),
        (classes("1", "2"), [1.0], "no label 1.0, but 1, 2"),
        (classes("1", "2"), [[1, 2]], r"no label \[1, 2\], but 1, 2"),
        (classes("1", "2"), [None], "no label None"),
        (classes(*map(str, range(99))), ["a"], "18, 19, ...$"),
        (classes(*GARMENTS, numbered=True), ["Trousers"], r"Ankle boot \(or their numbers, 0 to 9\)"),
        (classes(*DIGITS, numbered=True), [10], "no label 10, but 0, 1, 2, 3, 4, 5, 6, 7, 8, 9$"),
    ],
)
def test_a_label_that_there_is_not_is_told_the_names(images, labels, words):
    with pytest.raises(UserError, match=words):
        exclude_labels(images, labels)


def test_a_part_without_images_is_refused(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 6, 6), np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=np.arange(20) // 19)
    two = npz(str(tmp_path / "own.npz"))
    with pytest.raises(UserError, match="leaves no validation image: of 2 all"):
        exclude_labels(two, [0])
    with pytest.raises(UserError, match="leaves no class of 0, 1"):
        exclude_labels(two, [0, 1])


def test_a_run_leaves_its_labels_out_by_name_everywhere(run, applied, small, tmp_path):
    with np.load(next(word for word in small if word.startswith("data.path=")).partition("=")[2]) as arrays:
        np.savez(tmp_path / "own.npz", images=arrays["images"], labels=10 * arrays["labels"] + 1)
    folder = run(f"data.path={tmp_path}/own.npz", "data.exclude_labels=[11,21]")
    made = build.open_run(folder)
    assert made.excluded_labels == [1, 2]
    assert {made.data.source.classes[label] for label in made.data.test.labels} == {"1", "31"}
    assert images_of(made)["data.exclude_labels"] == "[11, 21]"
    assert made.data.description()["without"] == ["11", "21"]
    _numbers, results = applied(folder, "task=anomaly", "task.scores=[kl]", "task.samples=2", "task.steps=1")
    with np.load(results / "scores.npz") as arrays:
        assert len(arrays["held_out/kl"]) == np.isin(made.complete.test.labels, [1, 2]).sum() > 0
    _, results = applied(folder, "task=synthesize", "task.per_class=20", "task.judge=false", "task.sizes=[all]")
    assert npz(str(results / "synthetic.npz")).classes == ("1", "31")


def test_runs_from_before_keep_what_they_left_out(run, resume, small, tmp_path):
    """They left labels out by their place among all."""
    import torch

    with np.load(next(word for word in small if word.startswith("data.path=")).partition("=")[2]) as arrays:
        np.savez(tmp_path / "own.npz", images=arrays["images"], labels=arrays["labels"] + 1)  # 1, 2, 3, 4
    folder = run(f"data.path={tmp_path}/own.npz", "data.exclude_labels=[3]")
    for name in ("best", "last"):
        path = folder / "checkpoints" / f"{name}.ckpt"
        state = torch.load(path, weights_only=True)
        del state["run"]["data"]
        torch.save(state, path)
    assert build.open_run(folder).data.source.without == ("4",)
    resume(folder, "trainer.max_epochs=3")
    assert build.open_run(folder, "last").data.source.without == ("4",)
    assert build.open_run(folder, "last").data_record["without"] == ["4"]
    resume(folder, "trainer.max_epochs=4")
    assert build.open_run(folder, "last").data_record["without"] == ["4"]


def test_labels_are_written_as_they_are_read():
    labels = np.array([0, 2, 1])
    assert labels_for_npz(classes(*GARMENTS, numbered=True), labels).tolist() == [0, 2, 1]
    assert labels_for_npz(classes("-1", "7", "10"), labels).tolist() == [-1, 10, 7]
    assert labels_for_npz(classes("01", "1", "cat"), labels).tolist() == ["01", "cat", "1"]
