"""src/foreign.py: a user's own files."""

import numpy as np
import pytest
from PIL import Image

from src.errors import UserError
from src.foreign import border, fitted, levels, negative, read

SHAPE = (1, 28, 28)


@pytest.fixture
def ramp() -> np.ndarray:
    return np.linspace(0, 255, 28 * 28).round().astype(np.uint8).reshape(28, 28)


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
    found = levels(Image.fromarray(array), 1)
    assert (found[0] == ground).all()
    assert (found[5:15, 5:15] == ink).all()


def test_proportions_are_kept_and_the_rest_is_border():
    image = np.full((40, 20, 3), (200, 100, 50), np.uint8)
    image[10:30, 5:15] = 0
    found = fitted(image, (3, 28, 28))
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
    assert negative(np.full((5, 5, 1), paper, np.uint8), ground) is turned


def test_inversion_is_applied_where_it_is_due_and_told(ramp, tmp_path):
    paper = np.full((28, 28), 255, np.uint8)
    paper[10:18, 10:18] = 0
    Image.fromarray(paper).save(tmp_path / "a.png")
    Image.fromarray(255 - paper).save(tmp_path / "b.png")
    for invert, told in (("auto", [True, False]), (True, [True, True]), (False, [False, False])):
        found = read(str(tmp_path), SHAPE, 0.0, invert)
        assert found.inverted.tolist() == told
        for turned, image, original in zip(told, found.images, (paper, 255 - paper), strict=True):
            assert np.array_equal(image[0], 255 - original if turned else original)


def test_a_folder_is_read_with_those_in_it_and_other_files_are_not(ramp, tmp_path):
    (tmp_path / "sub").mkdir()
    Image.fromarray(ramp).save(tmp_path / "sub" / "A.PNG")
    np.savez(tmp_path / "many.npz", images=np.stack([ramp, ramp.T]))
    np.savez(tmp_path / "sub" / "rgb.npz", images=np.stack([ramp, ramp, ramp])[None])
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_text("no image")
    found = read(str(tmp_path), SHAPE, 0.0, False)
    assert found.names == ["many.npz[0]", "many.npz[1]", "sub/A.PNG", "sub/rgb.npz[0]"]
    assert all(
        np.array_equal(image[0], wanted) for image, wanted in zip(found.images, [ramp, ramp.T, ramp, ramp], strict=True)
    )


def test_what_is_no_image_is_told_in_one_line(tmp_path):
    (tmp_path / "bad.png").write_text("this is no image")
    np.savez(tmp_path / "last.npz", images=np.zeros((2, 28, 28, 3), np.uint8))
    np.savez(tmp_path / "none.npz", images=np.zeros((0, 28, 28), np.uint8))
    np.savez(tmp_path / "other.npz", pictures=np.zeros(3))
    (tmp_path / "empty").mkdir()
    Image.fromarray(np.zeros((1, 999), np.uint8)).save(tmp_path / "thin.png")
    for name, words in {
        "bad.png": "can't be read as an image",
        "last.npz": r"must be uint8 \(N, H, W\)",
        "none.npz": "N above 0",
        "other.npz": "with `images`",
        "empty": "no image in it",
        "missing": "no such file or folder",
        "thin.png": "nothing of it is left",
    }.items():
        with pytest.raises(UserError, match=words) as error:
            only(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"task\.invert"):
        only(tmp_path / "bad.png", invert="maybe")
