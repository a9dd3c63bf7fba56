"""src/data/image_files.py: a user's own files."""

import numpy as np
import pytest
from PIL import Image

from src.data.image_files import read
from src.data.raster import as_levels, border, fit_to_shape, is_negative
from src.support.errors import UserError

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
    assert is_negative(np.full((5, 5, 1), paper, np.uint8), ground) is turned


def test_inversion_is_applied_where_it_is_due_and_told(ramp, tmp_path):
    paper = np.full((28, 28), 255, np.uint8)
    paper[10:18, 10:18] = 0
    Image.fromarray(paper).save(tmp_path / "a.png")
    Image.fromarray(255 - paper).save(tmp_path / "b.png")
    for invert, told in (("auto", [False, False]), (True, [True, True]), (False, [False, False])):
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
    assert found.names == ["sub/A.PNG", "sub/rgb.npz[0]"]
    (tmp_path / "sub" / "many.npz").symlink_to(tmp_path / "many.npz")
    found = read(str(tmp_path / "sub"), SHAPE, 0.0, False)
    assert found.names == ["A.PNG", "many.npz[0]", "many.npz[1]", "rgb.npz[0]"]
    assert all(
        np.array_equal(image[0], wanted) for image, wanted in zip(found.images, [ramp, ramp, ramp.T, ramp], strict=True)
    )


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
        "bad.png": "is a text file, but must be an image",
        "alpha.npz": "have an alpha channel",
        "none.npz": "there is no image in an array",
        "other.npz": "holds pictures: name the images",
        "table.csv": "all levels are 0: images without contrast",
        "cut.png": "can't be read as an image",
        "empty": "no image in it",
        "missing": "no such file or folder",
        "thin.png": "nothing is left",
    }.items():
        with pytest.raises(UserError, match=words) as error:
            only(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"task\.invert"):
        only(tmp_path / "bad.png", invert="maybe")


def saved(array: np.ndarray, path) -> str:
    """The path of an image file of an array, in the mode that Pillow gives its type."""
    Image.fromarray(array).save(path)
    return str(path)


DEEP = {
    # levels up to, type, what is white, or the words of the refusal
    "mask of 0 and 1": (1, np.uint8, "has no level but 0 and 1"),
    "digits of 0 to 16": (16, np.uint8, r"\(bytes\) is 16, in a.tif.*task.white=16, or 255"),
    "percent": (100, np.uint8, "task.white=100, or 255"),
    "bytes": (200, np.uint8, 255),
    "16 bits": (65535, np.uint16, 65535),
    "half of 16 bits": (40000, np.uint16, 65535),
    "12 bits": (4095, np.uint16, "task.white=4095, or 65535"),
    "10 bits": (900, np.uint16, "task.white=1023, or 65535"),
    "8 bits in 16": (255, np.uint16, "task.white=255, or 65535"),
    "8 bits in 32": (255, np.int32, 255),
    "16 bits in 32": (65535, np.int32, 65535),
    "12 bits in 32": (4095, np.int32, "task.white=4095"),
    "24 bits": (2**24 - 1, np.int32, "task.white=16777215"),
    "floats of 0 to 1": (1.0, np.float32, 1),
    "floats of 0 to 0.9": (0.9, np.float32, 1),
    "dark floats": (0.1, np.float32, "task.white=0.1, or 1"),
    "floats of 0 to 16": (16.0, np.float32, "task.white=16, or 255"),
    "floats of 0 to 255": (255.0, np.float32, 255),
    "floats of 0 to 65535": (65535.0, np.float32, 65535),
}


@pytest.mark.parametrize("case", DEEP)
def test_what_is_white_is_told_by_the_highest_level_or_asked(case, tmp_path, caplog):
    high, kind, white = DEEP[case]
    array = np.linspace(0, high, 28 * 28).reshape(28, 28)
    array = (array if kind == np.float32 else array.round()).astype(kind)
    path = saved(array, tmp_path / "a.tif")
    if isinstance(white, str):
        with pytest.raises(UserError, match=white):
            only(path)
        white = high
    else:
        found = only(path).astype(int)
        assert np.abs(found - array * (255 / white)).max() <= 0.5 + 1e-3
        assert (f"{white} is taken as white" in caplog.text) == (kind != np.uint8)
    found = read(path, SHAPE, 0.0, False, white=float(white)).images[0].astype(int)
    assert np.abs(found - array * (255 / white)).max() <= 0.5 + 1e-3
    if high > 1:
        with pytest.raises(UserError, match=r"above task\.white="):
            read(path, SHAPE, 0.0, False, white=0.9 * high)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.linspace(-1, 1, 784).reshape(28, 28).astype(np.float32), "has levels from -1 to 1: shift and scale"),
        (np.linspace(-9, 300, 784).reshape(28, 28).astype(np.int32), "has levels from -9 to 300: shift and scale"),
        (np.full((28, 28), np.nan, np.float32), "no finite numbers"),
        (np.full((28, 28), np.inf, np.float32), "no finite numbers"),
    ],
)
def test_levels_that_are_none_are_refused(array, words, tmp_path):
    with pytest.raises(UserError, match=words):
        only(saved(array, tmp_path / "a.tif"))


@pytest.mark.parametrize("mode", ["P", "LA", "RGB", "RGBA"])
def test_a_mask_is_one_in_every_mode(mode, tmp_path):
    Image.fromarray(np.eye(28, dtype=np.uint8)).convert(mode).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="has no level but 0 and 1"):
        only(tmp_path / "a.png")
    found = read(str(tmp_path), SHAPE, 0.0, False, white=1).images[0, 0]
    if mode in ("P", "RGB"):  # the others are not transparent, but could be
        assert np.array_equal(found, 255 * np.eye(28))


def test_bits_and_black_images_need_no_word(tmp_path, caplog):
    Image.fromarray(np.eye(28, dtype=bool)).save(tmp_path / "bits.png")
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "black.png")
    found = read(str(tmp_path), SHAPE, 0.0, False).images
    assert np.array_equal(found[0, 0], 255 * np.eye(28))
    assert not found[1].any()
    assert not caplog.text


def test_dark_images_among_others_are_named(ramp, tmp_path, caplog):
    for name, array in (("a", ramp), ("b", ramp // 8), ("c", ramp // 8)):
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    assert np.array_equal(read(str(tmp_path), SHAPE, 0.0, False).images[1, 0], ramp // 8)
    assert "no level of b.png and 1 others is above 64" in caplog.text


def test_an_npz_file_has_a_range_too(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.resize(np.arange(17), (4, 28, 28)).astype(np.uint8))
    with pytest.raises(UserError, match=r"task.white=16, or 255"):
        only(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", images=np.random.default_rng(0).random((4, 28, 28)))
    assert only(tmp_path / "b.npz").max() > 250


@pytest.mark.parametrize("mode", ["LAB", "HSV", "YCbCr", "CMYK", "RGBX"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_colour_space_comes_through(mode, channels):
    picture = Image.new("RGB", (28, 28), (200, 200, 200))
    picture = Image.new("LAB", (28, 28), (200, 128, 128)) if mode == "LAB" else picture.convert(mode)
    found = as_levels(picture, channels)
    assert found.shape == (28, 28, channels)
    assert abs(int(found[0, 0, 0]) - 200) < 12


@pytest.mark.parametrize("white", [0, -1, "bright", True, None, float("nan")])
def test_white_is_a_number(white, ramp, tmp_path):
    with pytest.raises(UserError, match=r"task\.white must be auto or a number above 0"):
        read(saved(ramp, tmp_path / "a.png"), SHAPE, 0.0, False, white=white)


def test_folders_are_no_images_and_tiffs_are(ramp, tmp_path):
    (tmp_path / "folder.png").mkdir()
    Image.fromarray(ramp).save(tmp_path / "a.tiff")
    assert read(str(tmp_path), SHAPE, 0.0, False).names == ["a.tiff"]


def test_loose_images_are_left_out_of_classes_and_broken_files_are_all_named(ramp, tmp_path, caplog):
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
    with pytest.raises(UserError, match=r"2 of 4 files are no readable images, remove them: bad/b.png is .*; good/b"):
        read(str(tmp_path), SHAPE, 0.0, False)


@pytest.mark.parametrize(("dark", "light", "told"), [(3, 2, False), (2, 3, True), (2, 2, False), (0, 3, True)])
def test_all_images_are_inverted_or_none_and_others_are_told(tmp_path, caplog, dark, light, told):
    image = np.zeros((28, 28), np.uint8)
    image[10:20, 10:20] = 255
    for i in range(dark + light):
        saved(image if i < dark else 255 - image, tmp_path / f"{i}.png")
    found = read(str(tmp_path), SHAPE, 0.0, "auto")
    assert found.inverted.tolist() == [told] * (dark + light)
    assert ("have another polarity than the others" in caplog.text) is (dark > 0)
