"""data=images: what would silently give wrong levels, labels or splits is found, said or refused."""

import json

import numpy as np
import pytest
from PIL import Image

from src.data import image_cache, user_images
from tests.helpers.own_images import (
    CSV,
    HEADER,
    X_TEST,
    Y_TEST,
    X,
    Y,
    images,
    npy,
    png,
    refusal,
    savez,
    write,
    write_files,
    write_folder,
)

F = (X / 255).astype(np.float32)


def kept(found) -> bool:
    """Whether the training and validation images are X with the labels Y, and the test images X_TEST with Y_TEST."""
    own = {i.tobytes(): y for split in (found.train, found.val) for i, y in zip(*split, strict=True)}
    test = {i.tobytes(): y for i, y in zip(*found.test, strict=True)}
    return own == known(X, Y) and test == known(X_TEST, Y_TEST)


def known(pixels, labels) -> dict:
    return {image.tobytes(): label for image, label in zip(pixels, labels, strict=True)}


def label_of(found) -> dict:
    return {i.tobytes(): found.classes[y] for split in found[3:6] for i, y in zip(*split, strict=True)}


@pytest.mark.parametrize(("train", "test"), [(F, X_TEST), (X, X_TEST / 255), (X / 127.5 - 1, X_TEST)])
def test_splits_of_different_ranges_are_refused(train, test, tmp_path):
    said = refusal(savez(x_train=train, x_test=test)(tmp_path))
    assert "the levels of its splits are" in said and "save them with one range" in said


def test_floats_that_overshoot_are_not_taken_for_minus_one_to_one(tmp_path):
    said = refusal(savez(images=np.where(F < 0.01, -0.02, F))(tmp_path))
    assert "levels from -0.02 to 1" in said and "save images.clip(0, 1)" in said


def test_a_thin_image_of_an_array_is_refused_and_one_of_a_folder_can_be_skipped(tmp_path):
    said = refusal(
        savez(images=np.tile(np.arange(1000) % 256, (12, 1, 1, 1)).astype(np.uint8))(tmp_path), shape=[1, 28, 28]
    )
    assert "image 0 is 1000 x 1, of which nothing is left in 28 x 28" in said
    own = write_folder(tmp_path / "own")
    Image.fromarray(np.full((1, 3000), 200, np.uint8)).save(own / "class 1" / "thin.png")
    assert "class 1/thin.png" in refusal(own, shape=[1, 8, 8])
    assert len(label_of(images(own, shape=[1, 8, 8], skip_broken=True))) == 60


KEPT = {
    "capitals": (savez(X_train=X, y_train=Y, X_test=X_TEST, y_test=Y_TEST), {}),
    "capitals, named": (
        savez(X_train=X, y_train=Y, X_test=X_TEST, y_test=Y_TEST),
        {"images": "X_train", "labels": "y_train"},
    ),
    "labels named": (savez(x_train=X, y_train=Y, x_test=X_TEST, y_test=Y_TEST), {"labels": "y_train"}),
    "types of labels": (
        savez(x_train=X, y_train=Y.astype(np.uint64), x_test=X_TEST, y_test=Y_TEST.astype(np.int64)),
        {},
    ),
}


@pytest.mark.parametrize("form", KEPT)
def test_splits_and_labels_of_arrays_are_kept(form, tmp_path):
    make, options = KEPT[form]
    found = images(make(tmp_path), **options)
    assert kept(found) and found.classes == ("0", "1", "2")


def test_arrays_that_are_not_read_are_said(tmp_path):
    unread = images(savez(images=X, label=Y)(tmp_path))
    assert "arrays that are not read: label; data.labels=NAME reads labels" in unread.notes
    assert "arrays that are not read: more" in images(savez(images=X, labels=Y, more=Y)(tmp_path)).notes


def test_labels_of_one_file_are_not_given_to_another(tmp_path):
    write_files(tmp_path, {"train.npy": npy(X[:12]), "test.npy": npy(X_TEST), "lab.npy": npy(Y[:12])})
    found = images(tmp_path / "train.npy", labels="lab.npy")
    assert "test.npy beside it left out, since only one of them has labels" in found.notes
    assert len(label_of(found)) == 12
    write_files(tmp_path, {"train_lab.npy": npy(Y[:12]), "test_lab.npy": npy(Y_TEST[::-1])})
    found = images(tmp_path / "train.npy", labels=str(tmp_path / "train_lab.npy"))  # a whole path is as good
    assert {i.tobytes(): y for i, y in zip(*found.test, strict=True)} == known(X_TEST, Y_TEST[::-1])


@pytest.mark.parametrize(
    ("name", "labels", "content"),
    [
        ("train-images.idx3.npy", "train-labels.idx1.npy", npy(Y)),
        ("X.npy", "y.npy", npy(Y)),
        ("all_x.npy", "all_y.npy", npy(Y)),
        ("a.npy", "labels.csv", "\n".join(["file,label", *(f"{i}.png,{y}" for i, y in enumerate(Y))]).encode()),
        ("a.npy", "labels.txt", "\n".join(map(str, Y)).encode()),
    ],
)
def test_labels_beside_arrays_are_read(name, labels, content, tmp_path):
    write_files(tmp_path, {name: npy(X), labels: content})
    found = images(tmp_path / name, **({"labels": labels} if name == "a.npy" else {}))
    assert label_of(found) == known(X, Y.astype(str))


def test_the_cache_knows_the_files_of_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(user_images, "SLOW", 0.0)
    write_files(tmp_path, {"a.npy": npy(X), "lab.npy": npy(Y)})
    images(tmp_path / "a.npy", labels="lab.npy")
    write_files(tmp_path, {"lab.npy": npy(Y[::-1])})
    image_cache.latest.clear()
    assert label_of(images(tmp_path / "a.npy", labels="lab.npy")) == known(X, Y[::-1].astype(str))


def test_labels_can_be_left_unread(tmp_path):
    several = savez(images=X, labels=np.ones((60, 14), int))(tmp_path)
    assert "data.labels=none reads none" in refusal(several)
    assert images(several, labels="none").classes == ("all",)
    assert images(write("a.csv", "\n".join([HEADER, *CSV]))(tmp_path), labels="none").classes == ("all",)
    assert images(write_folder(tmp_path / "own"), labels="none").classes == ("all",)


@pytest.mark.parametrize(
    "names", [("training", "testing"), ("train", "evaluation"), ("seg_train", "seg_test"), ("Train set", "Test set")]
)
def test_splits_by_other_names_are_splits(names, tmp_path):
    write_folder(tmp_path / "own" / names[0])
    write_folder(tmp_path / "own" / names[1], X_TEST, Y_TEST)
    assert kept(images(tmp_path / "own"))
    assert not kept(images(write_folder(tmp_path / "train of thought") and tmp_path / "own" / names[0]))


def test_a_folder_that_holds_only_a_folder_of_folders_is_that(tmp_path):
    write_folder(tmp_path / "own" / "archive" / "train")
    write_folder(tmp_path / "own" / "archive" / "test", X_TEST, Y_TEST)
    found = images(tmp_path / "own")
    assert kept(found) and "read from its folder archive" in found.notes
    write_folder(tmp_path / "one" / "cat", X, None)
    assert images(tmp_path / "one").classes == ("cat",)


def test_a_link_to_the_folder_that_it_is_in_is_not_followed(tmp_path):
    own = write_folder(tmp_path / "own")
    (own / "class 1" / "up").symlink_to(own)
    assert sum(len(split.images) for split in images(own)[3:6]) == 60


def test_files_of_other_kinds_are_said(tmp_path):
    own = write_folder(tmp_path / "own")
    (own / "class 1" / "a.heic").write_bytes(b"x")
    assert "other files left out: 1 .heic" in images(own).notes
    write_files(tmp_path, {})
    (tmp_path / "arrays").mkdir()
    (tmp_path / "arrays" / "x_train.npy").write_bytes(npy(X))
    assert "but 1 .npy: give one of its files, such as" in refusal(tmp_path / "arrays")


def test_rotated_images_and_all_pages_decide_the_shape(tmp_path):
    for folder in ("turned", "pages"):
        (tmp_path / folder).mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    colors = [np.stack([X[i], X[i] // 2, X[i] // 3], -1) for i in (1, 2)]
    pages = [Image.fromarray(array) for array in (X[0], *colors)]
    for i in range(12):
        Image.fromarray(X[i][:5]).save(tmp_path / "turned" / f"{i}.png", exif=exif)
        pages[0].save(tmp_path / "pages" / f"{i}.tif", save_all=True, append_images=pages[1:])
    assert images(tmp_path / "turned").train.images.shape[1:] == (1, 8, 5)
    found = images(tmp_path / "pages")
    assert found.train.images.shape[1:] == (3, 8, 8)
    assert any(note.startswith("12 files hold several images") for note in found.notes)


def csv_rows(labels, last: bool = False) -> str:
    rows = [",".join(map(str, image.ravel())) for image in X]
    pairs = zip(rows, labels, strict=True)
    return "\n".join(f"{row},{label}" if last else f"{label},{row}" for row, label in pairs)


def test_columns_of_labels_without_a_header(tmp_path):
    for labels in (Y, np.array(["cat", "dog", "eel"])[Y]):
        for last in (True, False):
            found = images(write("a.csv", csv_rows(labels, last))(tmp_path))
            assert label_of(found) == known(X, labels.astype(str))
    assert "labels are in the last column" in images(write("b.csv", csv_rows(Y, last=True))(tmp_path)).notes
    assert label_of(images(write("c.csv", csv_rows(Y, last=True))(tmp_path), labels="64")) == known(X, Y.astype(str))


def test_labels_of_a_table_are_whole_numbers_or_text(tmp_path):
    said = refusal(write("a.csv", csv_rows(Y + 0.5))(tmp_path), labels="0")
    assert "has the label 0.5, and labels are whole numbers or names" in said
    said = refusal(write("a.csv", csv_rows(np.where(Y, Y, np.nan)))(tmp_path), labels="0")
    assert "line 1 has no label in column 0" in said
    big = images(write("b.csv", csv_rows(Y + 2**24))(tmp_path), labels="0")
    assert big.classes == tuple(map(str, range(2**24, 2**24 + 3)))
    said = refusal(write("c.csv", "\n".join([HEADER, *CSV[:20], CSV[20][:9]]))(tmp_path))
    assert "line 22, column pixel2 is empty: correct or remove that line" in said
    numbered = "\n".join(["ImageId," + HEADER, *(f"{i},{row}" for i, row in enumerate(CSV))])
    assert label_of(images(write("d.csv", numbered)(tmp_path))) == known(X, Y.astype(str))


@pytest.fixture
def parquet(tmp_path):
    """parquet(path, pixels, labels): writes a Parquet file as Hugging Face does, of the classes zero, one and two."""
    pyarrow, module = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    names = {"info": {"features": {"label": {"names": ["zero", "one", "two"], "_type": "ClassLabel"}}}}

    def write_table(path, pixels, labels):
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        cells = [None if image is None else {"bytes": png(image), "path": None} for image in pixels]
        table = pyarrow.table({"image": cells, "label": list(labels)})
        module.write_table(table.replace_schema_metadata({"huggingface": json.dumps(names)}), tmp_path / path)

    return write_table


def test_labels_that_mean_none(parquet, tmp_path):
    parquet("a/train-0.parquet", X, Y.tolist())
    for labels in ([-1] * 12, [None] * 12):
        parquet("a/test-0.parquet", X_TEST, labels)
        found = images(tmp_path / "a")
        assert "the images of test, which have no labels, left out" in found.notes
        assert found.classes == ("zero", "one", "two") and len(label_of(found)) == 60
        assert images(tmp_path / "a" / "test-0.parquet").classes == ("all",)
    parquet("b.parquet", X, [-1, None, *Y[2:].tolist()])
    assert "row 1 has the label -1, which means none: remove such rows" in refusal(tmp_path / "b.parquet")
    parquet("c.parquet", X, [[0, 1]] * 60)
    assert "holds several labels for an image" in refusal(tmp_path / "c.parquet")
    assert images(tmp_path / "c.parquet", labels="none").classes == ("all",)
    bare = savez(x_train=X, y_train=Y, x_test=X_TEST, y_test=np.full(12, -1))(tmp_path)
    assert images(bare).classes == ("0", "1", "2")


def test_splits_of_parquet_files_by_folder_and_others_left_out(parquet, tmp_path):
    parquet("own/train/0000.parquet", X, Y.tolist())
    parquet("own/test/0000.parquet", X_TEST, Y_TEST.tolist())
    parquet("own/extra.parquet", X[:5] // 2, [0] * 5)
    found = images(tmp_path / "own")
    assert kept(found) and "files outside the splits left out: extra.parquet" in found.notes


def test_the_first_row_does_not_decide_what_a_column_holds(parquet, tmp_path):
    parquet("a.parquet", [None, *X[1:]], Y.tolist())
    assert "1 of 60 files" in refusal(tmp_path / "a.parquet")
    assert len(label_of(images(tmp_path / "a.parquet", skip_broken=True))) == 59


@pytest.mark.parametrize("last", [True, False])
def test_rows_of_colors_are_read_in_the_order_in_which_they_are_smooth(last, tmp_path):
    pixels = np.stack([np.outer(np.sin(np.arange(12) / 3 + i), np.cos(np.arange(10) / 3)) for i in range(20)])
    colors = (127 + 120 * np.stack([pixels, -pixels, pixels**2], 1)).astype(np.uint8)
    rows = (colors.transpose(0, 2, 3, 1) if last else colors).reshape(20, -1)
    found = images(savez(images=rows)(tmp_path), shape=[3, 12, 10])
    read = {image.tobytes() for split in found[3:6] for image in split.images}
    assert read == {image.tobytes() for image in colors}
    assert f"rows taken as {'(H, W, 3)' if last else '(3, H, W)'}" in found.notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"shape": [32, 32, 3]},
            "data.shape=[32, 32, 3] is (C, H, W), of which C is 1 for gray",
        ),
        ({"labels": "foo"}, "data.labels=foo: the classes of a folder are its sub-folders"),
        ({"images": "foo"}, "data.images=foo"),
    ],
)
def test_options_that_a_folder_has_no_use_for_are_refused(options, message, tmp_path):
    assert message in refusal(write_folder(tmp_path / "own"), **options)


def test_files_of_masks_among_others_are_said(tmp_path):
    own = write_folder(tmp_path / "own")
    (own / "class 1" / "mask.png").write_bytes(png((X[0] > 99).astype(np.uint8)))
    assert any(
        note.startswith("1 files, such as class 1/mask.png, hold the levels 0 and 1") for note in images(own).notes
    )


def test_a_stray_file_beside_is_refused_with_the_reason_why_it_is_read(tmp_path):
    write_files(tmp_path, {"train.npy": npy(X), "test.npy": b"junk"})
    assert "it is read as the test images of train.npy: rename or move it" in refusal(tmp_path / "train.npy")
