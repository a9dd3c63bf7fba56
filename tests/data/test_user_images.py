"""data=images: the same images in each form that the field keeps them in, and what is said of them."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data import image_cache, user_images
from src.data.sources import Images
from src.support.errors import UserError
from tests.helpers.official_files import idx

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.integers(0, 256, (60, 8, 8), np.uint8), np.arange(60) % 3
X_TEST, Y_TEST = RANDOM.integers(0, 256, (12, 8, 8), np.uint8), np.arange(12) % 3
CSV = [f"{label},{','.join(map(str, image.ravel()))}" for image, label in zip(X, Y, strict=True)]
HEADER = ",".join(["label", *(f"pixel{i}" for i in range(64))])


def images(path: Path, **options) -> Images:
    return user_images.images(str(path), **{"white": "auto", **options})


def refusal(path: Path, **options) -> str:
    with pytest.raises(UserError) as error:
        images(path, **options)
    (said,) = str(error.value).splitlines()
    return said


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(top: Path, pixels: np.ndarray = X, labels: np.ndarray | None = Y) -> Path:
    for i, image in enumerate(pixels):
        folder = top if labels is None else top / f"class {labels[i]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.png").write_bytes(png(image))
    return top


def write_files(top: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        (top / name).write_bytes(content)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def write_kuzushiji(top: Path) -> Path:
    arrays = {"train-imgs": X, "train-labels": Y, "test-imgs": X_TEST, "test-labels": Y_TEST}
    for name, array in arrays.items():
        np.savez(top / f"k49-{name}.npz", array)
    return top / "k49-train-imgs.npz"


def write_idx(top: Path) -> Path:
    files = {"train-images-idx3-ubyte": X, "train-labels-idx1-ubyte": Y.astype(np.uint8)}
    write_files(top, {name: idx(array) for name, array in files.items()})
    tests = {"t10k-images-idx3-ubyte.gz": X_TEST, "t10k-labels-idx1-ubyte.gz": Y_TEST.astype(np.uint8)}
    write_files(top, {name: gzip.compress(idx(array)) for name, array in tests.items()})
    return top / "train-images-idx3-ubyte"


def write_splits(top: Path) -> Path:
    write_folder(top / "own" / "train")
    write_folder(top / "own" / "test", X_TEST, Y_TEST)
    return top / "own"


def savez(**arrays: np.ndarray) -> Callable[[Path], Path]:
    def write(top: Path) -> Path:
        np.savez(top / "a.npz", **arrays)
        return top / "a.npz"

    return write


def write(name: str, content: bytes | str) -> Callable[[Path], Path]:
    def write_one(top: Path) -> Path:
        (top / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return top / name

    return write_one


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
    assert any("6 of 6 test" in note or "validation" in note for note in found.notes) is False


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


def test_hidden_files_are_left_out_links_are_followed_and_pages_are_images(tmp_path):
    own = write_folder(tmp_path / "own", X[:20], None)
    for hidden in (".ipynb_checkpoints", "__MACOSX"):
        (own / hidden).mkdir()
        (own / hidden / "a.png").write_bytes(png(X[0]))
    (own / "._0.png").write_text("no image")
    (own / "notes.txt").write_text("no image")
    (own / "linked.PNG").symlink_to(write_folder(tmp_path / "other", X[20:21], None) / "0.png")
    (own / "circle").symlink_to(own)
    pages = [Image.fromarray(image) for image in X[21:24]]
    pages[0].save(own / "pages.tif", save_all=True, append_images=pages[1:])
    found = images(own)
    assert {i.tobytes() for split in found[3:6] for i in split.images} == {i.tobytes() for i in X[:24]}


def test_broken_files_are_named_and_skipped_where_that_is_asked(tmp_path):
    own = write_folder(tmp_path / "own")
    (own / "class 1" / "bad.png").write_text("no image")
    (own / "class 1" / "cut.png").write_bytes(png(X[0])[:50])
    said = refusal(own)
    assert "2 of 62 files are no readable images, class 1/bad.png" in said and said.endswith("data.skip_broken=true")
    found = images(own, skip_broken=True)
    assert sum(len(split.images) for split in found[3:6]) == 60
    assert any("skipped: 2 of 62 files" in note for note in found.notes)


def test_images_of_several_sizes_are_fitted(tmp_path):
    own = write_folder(tmp_path / "own", X[:20], None)
    Image.new("RGB", (300, 200), (255, 0, 0)).save(own / "red.png")
    found = images(own)
    assert found.train.images.shape[1:] == (3, 8, 8)
    assert any("2 sizes, fitted to 8 x 8" in note for note in found.notes)
    assert images(own, shape=[1, 12, 10]).train.images.shape[1:] == (1, 12, 10)


@pytest.mark.parametrize(("colour", "channels"), [((9, 9, 9), 1), ((9, 9, 8), 3)])
def test_colours_make_three_channels_and_grays_one(colour, channels, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    for i in range(12):
        pixels = np.repeat(X[i][..., None], 3, -1)
        pixels[0, 0] = colour
        Image.fromarray(pixels).save(own / f"{i}.png")
    assert images(own).train.images.shape[1:] == (channels, 8, 8)


def test_the_ground_is_turned_where_that_is_asked_and_a_mixture_is_said(tmp_path):
    dark = np.zeros((20, 8, 8), np.uint8)
    dark[:, 3:5, 3:5] = np.arange(200, 220)[:, None, None]
    mixed = savez(images=np.concatenate([dark[:15], 255 - dark[15:]]))(tmp_path)
    found = images(mixed)
    assert any("5 of 20 images are dark on light" in note for note in found.notes)
    turned = images(mixed, invert="auto")
    assert all((each[0, 0, 0] == 0) for split in turned[3:6] for each in split.images)
    assert "5 of 20 inverted" in turned.notes
    whole = images(mixed, invert=True)
    assert np.array_equal(whole.train.images, 255 - found.train.images)


def test_masks_are_scaled_in_files_and_arrays(tmp_path):
    mask = (X[:20] > 99).astype(np.uint8)
    found = images(savez(imgs=mask, latents_classes=np.tile(Y[:20, None], 6))(tmp_path))
    assert set(np.unique(found.train.images)) == {0, 255}
    assert {"labels are the shapes", "levels 0 and 1: 1 is white"} <= set(found.notes)
    own = write_folder(tmp_path / "own", mask, None)
    assert set(np.unique(images(own).train.images)) == {0, 255}
    deep = tmp_path / "deep"
    deep.mkdir()
    for i, image in enumerate(X[:12]):
        Image.fromarray(image.astype(np.uint16) * 257).save(deep / f"{i}.png")
    known = {image.tobytes() for image in X[:12]}
    assert {image.tobytes() for split in images(deep)[3:6] for image in split.images} == known
    assert "data.white=15" in refusal(write_folder(tmp_path / "dim", X[:12] // 17, None))


def test_ten_images_of_ten_classes_leave_no_split_empty(tmp_path):
    found = images(savez(images=X[:10], labels=np.arange(10))(tmp_path))
    assert [len(split.images) for split in found[3:6]] == [8, 1, 1]
    assert "2 classes have no training image" in found.notes
    few = images(savez(images=X[:40], labels=np.repeat(np.arange(20), 2))(tmp_path))
    assert set(few.train.labels) == set(range(20))


def test_what_a_slow_folder_held_is_cached_until_it_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(user_images, "SLOW", 0.0)
    own = write_folder(tmp_path / "own")
    first = images(own)
    for shape in ("auto", [1, 8, 8]):
        image_cache.latest.clear()
        with monkeypatch.context() as patch:
            patch.setattr(user_images, "read_parts", None)  # would be called
            again = images(own, shape=shape)
        assert again.classes == first.classes and again.notes == first.notes
        assert all(np.array_equal(a, b) for i in (3, 4, 5) for a, b in zip(first[i], again[i], strict=True))
    (own / "class 1" / "1.png").write_bytes(png(255 - X[1]))
    assert not np.array_equal(images(own).train.images, first.train.images)


def test_a_damaged_entry_of_the_cache_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(user_images, "SLOW", 0.0)
    own = write_folder(tmp_path / "own")
    first = images(own)
    options = {"white": "auto", "shape": None, "images": None, "labels": None, "skip_broken": False}
    entry = image_cache.entry_of(own, options)
    entry.write_bytes(entry.read_bytes()[:200])
    image_cache.latest.clear()
    assert np.array_equal(images(own).train.images, first.train.images)


def test_folders_that_do_not_say_what_they_are(tmp_path):
    write_folder(tmp_path / "a" / "valid")
    write_folder(tmp_path / "a" / "test")
    assert "holds the splits test, valid, but no train" in refusal(tmp_path / "a")
    write_folder(tmp_path / "b" / "train")
    write_folder(tmp_path / "b" / "val")
    write_folder(tmp_path / "b" / "validation")
    assert "holds val and validation, which are one split" in refusal(tmp_path / "b")
    write_folder(tmp_path / "c" / "train")
    write_folder(tmp_path / "c" / "test", X_TEST, None)
    assert "the 12 images of test, which has no class folders, left out" in images(tmp_path / "c").notes
    write_folder(tmp_path / "d")
    (tmp_path / "d" / "loose.png").write_bytes(png(X[0]))
    assert "1 images outside the class folders left out" in images(tmp_path / "d").notes
