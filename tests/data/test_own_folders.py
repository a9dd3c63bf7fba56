"""data=images: what is left out, fitted, scaled, inverted, split and cached of a user's own images, and said."""

import numpy as np
import pytest
from PIL import Image

from src.data import folders, image_cache, user_images
from tests.helpers.own_images import (
    X_TEST,
    X,
    Y,
    images,
    png,
    refusal,
    savez,
    write_folder,
)


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
    assert "2 of 62 files are no readable images, class 1/bad.png" in said and "data.skip_broken=true" in said
    found = images(own, skip_broken=True)
    assert sum(len(split.images) for split in found[3:6]) == 60
    assert any("skipped: 2 of 62 files" in note for note in found.notes)


def test_images_of_several_sizes_are_fitted(tmp_path):
    own = write_folder(tmp_path / "own", X[:20], None)
    Image.new("RGB", (300, 200), (255, 0, 0)).save(own / "red.png")
    found = images(own)
    assert found.train.images.shape[1:] == (3, 8, 8)
    assert any("2 sizes, such as 200 x 300 of red.png, fitted to 8 x 8" in note for note in found.notes)
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
    assert "1 image (loose.png) outside the class folders left out" in images(tmp_path / "d").notes


def test_a_disk_without_images_is_not_searched_and_many_images_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "MOST_OTHERS", 10)
    own = write_folder(tmp_path / "own")
    assert sum(len(split.images) for split in images(own)[3:6]) == 60
    for i in range(20):
        (tmp_path / f"{i}.txt").touch()
    assert "no image is among its first 10 files" in refusal(tmp_path)


def write_metadata(top, rows, column="label"):
    top.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(X):
        (top / f"{i}.png").write_bytes(png(image))
    (top / "metadata.csv").write_text("\n".join([f"file_name,{column}", *rows]))


def test_labels_in_hugging_faces_metadata_are_read(tmp_path):
    write_metadata(tmp_path / "own", [f"{i}.png,class {10 * label}" for i, label in enumerate(Y)])
    found = images(tmp_path / "own")
    assert found.classes == ("class 0", "class 10", "class 20")
    labels = {image.tobytes(): label for split in found[3:6] for image, label in zip(*split, strict=True)}
    assert labels == {image.tobytes(): label for image, label in zip(X, Y, strict=True)}
    assert images(tmp_path / "own", labels="none").classes == ("all",)
    write_metadata(tmp_path / "splits" / "train", [f"{i}.png,{label}" for i, label in enumerate(Y)])
    write_metadata(tmp_path / "splits" / "test", [f"{i}.png,{label}" for i, label in enumerate(Y)])
    found = images(tmp_path / "splits")
    assert found.classes == ("0", "1", "2") and np.array_equal(np.bincount(found.test.labels), np.bincount(Y))


def test_metadata_without_labels_or_with_gaps(tmp_path):
    write_metadata(tmp_path / "own", [f"{i}.png,words" for i in range(60)], column="text")
    assert images(tmp_path / "own").classes == ("all",)
    write_metadata(tmp_path / "own", [f"{i}.png,{label}" for i, label in enumerate(Y[:-1])])
    assert "metadata.csv has no label for 59.png" in refusal(tmp_path / "own")
    (tmp_path / "own" / "metadata.csv").write_bytes(b"file_name,label\n0.png,\xff\n")
    assert "metadata.csv can't be read" in refusal(tmp_path / "own")


def test_the_cache_notices_new_labels_in_metadata(tmp_path, monkeypatch):
    monkeypatch.setattr(user_images, "SLOW", 0.0)
    for names in (("a", "b", "c"), ("c", "d", "e")):
        write_metadata(tmp_path / "own", [f"{i}.png,{names[label]}" for i, label in enumerate(Y)])
        image_cache.latest.clear()
        assert images(tmp_path / "own").classes == names
