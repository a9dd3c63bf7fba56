"""src/data/image_files.py: a user's own files."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data.image_files import Reading, read
from src.data.raster import as_levels, border, fit_to_shape, is_negative
from src.support.errors import UserError
from tests.helpers.own_images import saved

SHAPE = (1, 28, 28)


def only(path, shape=SHAPE, ground=0.0, invert=False):
    return read(str(path), shape, ground, invert).images[0]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "I;16", "I"])
def test_greys_come_through_every_mode_unchanged(ramp, mode, tmp_path):
    if mode.startswith("I"):
        picture = Image.fromarray(ramp.astype(np.uint16) * 257)
        picture = picture if mode == "I;16" else Image.fromarray(ramp.astype(np.int32) * 257)
    else:
        picture = Image.fromarray(ramp).convert(mode)
    file = tmp_path / ("a.tif" if mode == "I" else "a.png")
    picture.save(file)
    assert np.array_equal(only(file), ramp[None])
    assert np.array_equal(only(file, (3, 28, 28)), np.stack(3 * [ramp]))


@pytest.mark.parametrize("mode", ["1", "P", "CMYK"])
def test_black_and_white_come_through_odd_modes(mode, tmp_path):
    picture = Image.fromarray(np.where(np.arange(784).reshape(28, 28) % 28 < 14, 0, 255).astype(np.uint8))
    suffix = "jpg" if mode == "CMYK" else "png"
    picture.convert("RGB").convert(mode).save(tmp_path / f"a.{suffix}")
    found = only(tmp_path / f"a.{suffix}").astype(int)
    assert np.abs(found - np.asarray(picture)).max() < 12  # what JPEG costs


def test_a_camera_s_rotation_is_undone(ramp, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    Image.fromarray(ramp).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(only(tmp_path / "a.png")[0], np.rot90(ramp, -1))


@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (255, 0)])
def test_what_is_transparent_shows_the_ground_that_the_ink_stands_out_from(ink, ground):
    array = np.full((20, 20, 4), 0, np.uint8)
    array[5:15, 5:15] = (ink, ink, ink, 255)
    found = as_levels(Image.fromarray(array), 1)
    assert (found[0] == ground).all()
    assert (found[5:15, 5:15] == ink).all()


def test_proportions_are_kept_and_the_rest_is_border():
    image = np.full((40, 20, 3), (200, 100, 50), np.uint8)
    image[10:30, 5:15] = 0
    found = fit_to_shape(image, (3, 28, 28))
    assert (found[:, :, :6] == np.array([200, 100, 50])[:, None, None]).all()
    dark = found.max(0) < 25
    assert abs(dark.any(0).sum() - 7) <= 1
    assert abs(dark.any(1).sum() - 14) <= 1


def test_the_border_is_each_pixel_of_it_once():
    assert sorted(border(np.arange(12).reshape(1, 3, 4))[0]) == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("paper", "ground", "turned"), [(250, 0, True), (5, 0, False), (5, 255, True), (250, 255, False), (250, 120, False)]
)
def test_polarity_follows_the_border(paper, ground, turned):
    assert is_negative(np.full((1, 5, 5), paper, np.uint8), ground) is turned


def test_inversion_is_applied_where_it_is_due_and_told(ramp, tmp_path):
    paper = np.full((28, 28), 255, np.uint8)
    paper[10:18, 10:18] = 0
    Image.fromarray(paper).save(tmp_path / "a.png")
    Image.fromarray(255 - paper).save(tmp_path / "b.png")
    Image.fromarray(paper).save(tmp_path / "c.png")
    paths = [str(tmp_path)] * 3 + [str(tmp_path / "b.png"), str(tmp_path / "a.png")]
    wanted = [("auto", [True] * 3), (True, [True] * 3), (False, [False] * 3), ("auto", [False]), ("auto", [True])]
    originals = {"a.png": paper, "b.png": 255 - paper, "c.png": paper}
    for path, (invert, told) in zip(paths, wanted, strict=True):
        found = read(path, SHAPE, 0.0, invert)
        assert found.inverted.tolist() == told
        for turned, image, name in zip(told, found.images, found.names, strict=True):
            assert np.array_equal(image[0], 255 - originals[name] if turned else originals[name])


def test_a_negative_among_images_stays_one_and_is_told(tmp_path, caplog):
    dark = np.zeros((28, 28), np.uint8)
    dark[10:18, 10:18] = 255
    np.savez(tmp_path / "a.npz", images=np.stack([dark, dark, 255 - dark]))
    found = read(str(tmp_path / "a.npz"), SHAPE, 0.0, "auto")
    assert not found.inverted.any()
    assert "1 of your 3 images have a light border, the others a dark one: none are inverted" in caplog.text
    assert "task.invert=true inverts all" in caplog.text


def test_a_folder_is_read_with_those_in_it_and_other_files_are_not(ramp, tmp_path):
    (tmp_path / "sub").mkdir()
    Image.fromarray(ramp).save(tmp_path / "sub" / "A.PNG")
    pages = [Image.fromarray(image) for image in (ramp, ramp.T)]
    pages[0].save(tmp_path / "sub" / "pages.tif", save_all=True, append_images=pages[1:])
    np.savez(tmp_path / "many.npz", images=np.stack([ramp, ramp.T]))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_text("no image")
    found = read(str(tmp_path), SHAPE, 0.0, False)
    assert found.names == ["sub/A.PNG", "sub/pages.tif[0]", "sub/pages.tif[1]"]
    assert np.array_equal(found.images[:, 0], [ramp, ramp, ramp.T])
    found = read(str(tmp_path / "many.npz"), SHAPE, 0.0, False)
    assert found.names == ["many.npz[0]", "many.npz[1]"]
    assert np.array_equal(found.images[:, 0], [ramp, ramp.T])


def test_what_is_no_image_is_told_in_one_line(tmp_path):
    (tmp_path / "bad.png").write_text("this is no image")
    np.savez(tmp_path / "alpha.npz", images=np.zeros((2, 28, 28, 4), np.uint8))
    np.savez(tmp_path / "none.npz", images=np.zeros((0, 28, 28), np.uint8))
    np.savez(tmp_path / "other.npz", pictures=np.zeros(3))
    (tmp_path / "table.csv").write_text(2 * (",".join(["0"] * 785) + "\n"))
    Image.new("L", (60, 60)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    (tmp_path / "empty").mkdir()
    Image.fromarray(np.zeros((1, 999), np.uint8)).save(tmp_path / "thin.png")
    for name, words in {
        "bad.png": "is a text file, which is not read",
        "alpha.npz": "have an alpha channel",
        "none.npz": "there is no image in an array",
        "other.npz": "holds pictures: name the images",
        "table.csv": "all levels are 0: images without contrast",
        "cut.png": "1 of 1 files are no readable images, cut.png",
        "empty": "no image in it",
        "missing": "no such file or folder",
        "thin.png": "of which nothing is left",
    }.items():
        with pytest.raises(UserError, match=words) as error:
            only(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"task\.invert"):
        only(tmp_path / "bad.png", invert="maybe")


@pytest.mark.parametrize("mode", ["LAB", "HSV", "YCbCr", "CMYK", "RGBX"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_colour_space_comes_through(mode, channels):
    picture = Image.new("RGB", (28, 28), (200, 200, 200))
    picture = Image.new("LAB", (28, 28), (200, 128, 128)) if mode == "LAB" else picture.convert(mode)
    found = as_levels(picture, channels)
    assert found.shape == (28, 28, channels)
    assert abs(int(found[0, 0, 0]) - 200) < 12


def test_folders_are_no_images_and_tiffs_are(ramp, tmp_path):
    (tmp_path / "folder.png").mkdir()
    Image.fromarray(ramp).save(tmp_path / "a.tiff")
    assert read(str(tmp_path), SHAPE, 0.0, False).names == ["a.tiff"]


def test_loose_images_are_left_out_of_classes_and_broken_files_are_all_named(ramp, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for folder in ("good", "bad"):
        (tmp_path / folder).mkdir()
        saved(ramp, tmp_path / folder / "a.png")
    saved(ramp, tmp_path / "loose.png")
    found = read(str(tmp_path), SHAPE, 0.0, False)
    assert (found.names, found.classes) == (["bad/a.png", "good/a.png"], ("bad", "good"))
    assert found.labels.tolist() == [0, 1]
    assert "1 image (loose.png) outside the class folders left out" in caplog.text
    for folder in ("good", "bad"):
        (tmp_path / folder / "b.png").write_text("no image")
    wanted = r"2 of 4 files are no readable images, bad/b.png \(.*\), good/b.*, or task.skip_broken=true leaves"
    with pytest.raises(UserError, match=wanted):
        read(str(tmp_path), SHAPE, 0.0, False)
    assert read(str(tmp_path), SHAPE, 0.0, False, skip_broken=True).names == ["bad/a.png", "good/a.png"]
    assert "skipped: 2 of 4 files" in caplog.text


def test_the_names_of_the_runs_arrays_are_tried_first(ramp, tmp_path):
    np.savez(tmp_path / "a.npz", pics=[ramp, ramp.T], kind=["x", "y"])
    known = Reading("pics", "kind")
    assert read(str(tmp_path / "a.npz"), SHAPE, 0.0, False, known=known).classes == ("x", "y")
    np.savez(tmp_path / "b.npz", pics=[ramp, ramp.T])
    assert read(str(tmp_path / "b.npz"), SHAPE, 0.0, False, known=known).classes == ()
    np.savez(tmp_path / "c.npz", images=[ramp], labels=["z"])
    assert read(str(tmp_path / "c.npz"), SHAPE, 0.0, False, known=known).classes == ("z",)


def test_every_form_of_a_data_set_is_read_and_what_was_done_is_said(ramp, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for i, split in enumerate(("test", "val")):
        for kind in ("good", "bad"):
            (tmp_path / "own" / split / kind).mkdir(parents=True)
            saved(np.rot90(ramp, i), tmp_path / "own" / split / kind / "a.png")
    found = read(str(tmp_path / "own"), SHAPE, 0.0, False)
    assert found.classes == ("bad", "good") and len(found.names) == 4
    assert {Path(name).parts[0] for name in found.names} == {"test", "val"}
    np.savez(tmp_path / "a.npz", x_train=[ramp], y_train=[0], x_test=[ramp.T], y_test=[1])
    found = read(str(tmp_path / "a.npz"), SHAPE, 0.0, False)
    assert (found.names, found.classes) == (["a.npz train[0]", "a.npz test[0]"], ("0", "1"))
    (tmp_path / "color").mkdir()
    Image.new("RGB", (56, 30), (255, 200, 0)).save(tmp_path / "color" / "a.png")
    caplog.clear()
    only(tmp_path / "color")
    assert "1 images of 28 x 28, no classes" in caplog.text
    assert "1 image in color made gray" in caplog.text
    assert "30 x 56, fitted to 28 x 28" in caplog.text


def test_images_are_inverted_and_scaled_as_those_of_the_run_were(tmp_path):
    pixels = np.full((2, 28, 28), 6, np.uint8)
    pixels[0, 5:9] = 16
    pixels[1] = 12 - pixels[1] + np.eye(28, dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels)
    found = read(str(tmp_path / "a.npz"), SHAPE, 128.0, "auto", known=Reading(white=16, invert=True))
    assert np.array_equal(found.images[:, 0], 255 - (pixels * (255 / 16)).round())
    assert found.inverted.all()
    mixed = np.where(np.arange(2)[:, None, None] == 0, 255 * np.eye(28), 200 * np.ones((28, 28))).astype(np.uint8)
    np.savez(tmp_path / "b.npz", images=mixed)
    found = read(str(tmp_path / "b.npz"), SHAPE, 100.0, "auto", known=Reading(white=16, invert="light"))
    assert found.inverted.tolist() == [False, True]
    assert np.array_equal(found.images[0, 0], mixed[0])  # levels above the run's white have their own
    assert not read(str(tmp_path / "b.npz"), SHAPE, 100.0, False, known=Reading(invert=True)).inverted.any()
