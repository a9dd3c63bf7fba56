"""data=images: the same images in each form that the field keeps them in."""

import gzip
import json
from zipfile import ZipFile

import numpy as np
import pytest

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
    write_idx,
    write_kuzushiji,
    write_splits,
)

WHOLE = {
    "ours": (savez(images=X, labels=Y), {}),
    "channels first": (savez(images=X[:, None], labels=Y), {}),
    "channels last": (savez(images=X[..., None], labels=Y), {}),
    "rows": (savez(images=X.reshape(60, 64), labels=Y[:, None]), {}),
    "one-hot labels": (savez(images=X, labels=np.eye(3)[Y]), {}),
    "labels of bytes": (savez(images=X, labels=Y.astype("S1")), {}),
    "whole floats": (savez(images=X.astype(float), labels=Y.astype(float)), {}),
    "floats of 0 to 1": (savez(images=(X / 255).astype(np.float32), labels=Y), {}),
    "floats of -1 to 1": (savez(images=X / 127.5 - 1, labels=Y), {}),
    "16 bits": (savez(images=X.astype(np.uint16) * 257, labels=Y), {}),
    "without names": (savez(arr_0=X, arr_1=Y), {}),
    "other names": (savez(pixels=X, kind=Y), {"images": "pixels", "labels": "kind"}),
    "npy": (lambda top: [write_files(top, {"a.npy": npy(X), "b.npy": npy(Y)}), top / "a.npy"][1], {"labels": "b.npy"}),
    "x_ and y_": (lambda top: [write_files(top, {"x_all.npy": npy(X), "y_all.npy": npy(Y)}), top / "x_all.npy"][1], {}),
    "CSV": (write("a.csv", "\n".join([HEADER, *CSV])), {}),
    "CSV without header": (write("a.csv", "\n".join(CSV)), {}),
    "CSV, gzipped": (write("a.csv.gz", gzip.compress("\n".join([HEADER, *CSV]).encode())), {}),
    "CSV, semicolons": (write("a.csv", "\n".join([HEADER, *CSV]).replace(",", ";")), {}),
    "CSV, column named": (write("a.csv", "\n".join([HEADER.replace("label", "what"), *CSV])), {"labels": "what"}),
    "CSV, numbered": (
        write("a.csv", "\n".join([f"id,{HEADER}", *(f"{i},{row}" for i, row in enumerate(CSV))])),
        {},
    ),
}


@pytest.mark.parametrize("form", WHOLE)
def test_the_same_images_in_any_form_are_the_same(form, tmp_path):
    make, options = WHOLE[form]
    (tmp_path / "npz").mkdir()
    wanted, found = images(savez(images=X, labels=Y)(tmp_path / "npz")), images(make(tmp_path), **options)
    assert found.classes == ("0", "1", "2")
    for one, other in zip(wanted[3:6], found[3:6], strict=True):
        assert np.array_equal(one.labels, other.labels)
        assert np.array_equal(one.images, other.images)


def test_a_folder_is_the_npz_file_of_its_images_in_natural_order(tmp_path):
    order = np.argsort(Y, kind="stable")
    wanted = images(savez(images=X[order], labels=Y[order])(tmp_path))
    found = images(write_folder(tmp_path / "own"))
    assert found.classes == ("class 0", "class 1", "class 2")
    assert all(
        np.array_equal(a, b)
        for one, other in zip(wanted[3:6], found[3:6], strict=True)
        for a, b in zip(one, other, strict=True)
    )


SPLIT = {
    "Keras": savez(x_train=X, y_train=Y, x_test=X_TEST, y_test=Y_TEST),
    "Kuzushiji": write_kuzushiji,
    "IDX": write_idx,
    "folder": write_splits,
    "MedMNIST without validation": savez(
        train_images=X, train_labels=Y[:, None], test_images=X_TEST, test_labels=Y_TEST[:, None]
    ),
}


@pytest.mark.parametrize("form", SPLIT)
def test_splits_of_the_file_are_kept_and_validation_is_a_tenth_of_training(form, tmp_path):
    found = images(SPLIT[form](tmp_path))
    assert {each.tobytes() for each in found.test.images} == {each.tobytes() for each in X_TEST}
    known = {image.tobytes(): label for image, label in zip(X, Y, strict=True)}
    seen = {i.tobytes(): y for split in (found.train, found.val) for i, y in zip(*split, strict=True)}
    assert seen == known
    assert np.bincount(found.val.labels).tolist() == [2, 2, 2]
    assert "a tenth of the training images is for validation" in found.notes


def test_own_validation_images_are_kept(tmp_path):
    arrays = {"train_images": X, "train_labels": Y, "val_images": X_TEST, "val_labels": Y_TEST}
    found = images(savez(**arrays, test_images=X_TEST[:6], test_labels=Y_TEST[:6])(tmp_path))
    assert np.array_equal(found.train.images[:, 0], X) and np.array_equal(found.val.images[:, 0], X_TEST)
    assert found.notes[1:] == ("6 of 6 test images are among the validation images too",)


def test_images_that_are_in_two_splits_are_counted(tmp_path):
    arrays = {"x_train": X, "y_train": Y, "x_test": np.concatenate([X_TEST, X[:5]]), "y_test": np.arange(17) % 3}
    notes = images(savez(**arrays)(tmp_path)).notes
    assert any(note.endswith("of 17 test images are among the training images too") for note in notes)


def test_the_order_of_classes_is_natural_and_said_by_the_file_where_it_knows(tmp_path):
    for name in ("class 10", "class 9", "Class 2"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for i in range(4):
            (tmp_path / "own" / name / f"{i}.png").write_bytes(png(X[i]))
    assert images(tmp_path / "own").classes == ("Class 2", "class 9", "class 10")
    (tmp_path / "list.csv").write_text(
        "\n".join([HEADER, *(f"{'zebra' if i % 2 else 'ant'}{row[1:]}" for i, row in enumerate(CSV))])
    )
    assert images(tmp_path / "list.csv").classes == ("ant", "zebra")


def test_hugging_face_parquet(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    names = {"info": {"features": {"label": {"names": ["zero", "one", "two"], "_type": "ClassLabel"}}}}
    for split, pixels, labels in (("train", X, Y), ("test", X_TEST, Y_TEST)):
        cells = [{"bytes": png(image), "path": None} for image in pixels]
        table = pyarrow.table({"image": cells, "label": labels}).replace_schema_metadata(
            {"huggingface": json.dumps(names)}
        )
        parquet.write_table(table, tmp_path / f"{split}-00000-of-00001.parquet")
    found = images(tmp_path)
    assert found.classes == ("zero", "one", "two")
    assert {each.tobytes() for each in found.test.images} == {each.tobytes() for each in X_TEST}
    assert len(images(tmp_path / "train-00000-of-00001.parquet").train.images) == 48
    (tmp_path / "train-00000-of-00001.parquet").write_bytes(b"PAR1" + bytes(50))
    assert "is damaged" in refusal(tmp_path)


def test_a_shape_that_is_not_channels_first_is_told_the_order(tmp_path):
    for shape in ([8, 8, 3], [2, 8, 8], [4, 8, 8]):
        assert "is not (C, H, W), C being 1, or 3 of colors" in refusal(savez(images=X)(tmp_path), shape=shape)


def test_an_empty_path_is_not_the_current_folder(tmp_path, monkeypatch):
    write_folder(tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    assert "data.path is empty: give the path of a folder or of a file" in refusal("")


def test_floats_just_above_255_are_of_0_to_255_and_signed_bytes_are_told_their_remedy(tmp_path):
    wanted = images(savez(images=X, labels=Y)(tmp_path))
    found = images(savez(images=np.where(X.max() == X, 255.001, X.astype(float)), labels=Y)(tmp_path))
    assert found.train.images.max() == 255 and np.abs(found.train.images.astype(int) - wanted.train.images).max() < 9
    assert "bytes with a sign: save images.view(np.uint8)" in refusal(savez(images=X.view(np.int8))(tmp_path))


def test_images_in_several_classes_are_counted(tmp_path):
    twice = savez(images=np.concatenate([X, X[:7]]), labels=np.concatenate([Y, (Y[:7] + 1) % 3]))(tmp_path)
    assert "7 images are in several classes" in images(twice).notes


def test_an_archive_of_images_is_refused_with_the_remedy(tmp_path):
    with ZipFile(tmp_path / "pics.zip", "w") as archive:
        archive.writestr("cat/0.png", png(X[0]))
    assert refusal(tmp_path / "pics.zip").endswith("which is not read: unpack it and give its folder")
