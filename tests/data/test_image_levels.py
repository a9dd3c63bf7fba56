"""src/data/image_files.py: which level of a user's own images is white, and what is said of dark ones."""

import logging

import numpy as np
import pytest
from PIL import Image

from src.data.image_files import read
from src.support.errors import UserError
from tests.helpers.own_images import saved

SHAPE = (1, 28, 28)


def only(path, shape=SHAPE, ground=0.0, invert=False):
    return read(str(path), shape, ground, invert).images[0]


DEEP = {
    # levels up to, type, what is white, or the words of the refusal
    "mask of 0 and 1": (1, np.uint8, 1),
    "digits of 0 to 16": (16, np.uint8, "no level is above 16 of 255: task.white=16, if that is white, or 255"),
    "percent": (100, np.uint8, "task.white=100, if that is white, or 255"),
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
    caplog.set_level(logging.INFO)
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
        assert (f"{white} is white" in caplog.text) == (case != "bytes")
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
    for white in ("auto", 1):
        found = read(str(tmp_path), SHAPE, 0.0, False, white=white).images[0, 0]
        assert np.array_equal(found, 255 * np.eye(28))


def test_bits_and_black_images_need_no_word(tmp_path, caplog):
    Image.fromarray(np.eye(28, dtype=bool)).save(tmp_path / "bits.png")
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "black.png")
    found = read(str(tmp_path), SHAPE, 0.0, False).images
    assert np.array_equal(found[0, 0], 255 * np.eye(28))
    assert not found[1].any()
    assert not [record for record in caplog.records if record.levelname != "INFO"]


def test_dark_images_among_others_are_named(ramp, tmp_path, caplog):
    for name, array in (("a", ramp), ("b", ramp // 8), ("c", ramp // 8)):
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    assert np.array_equal(read(str(tmp_path), SHAPE, 0.0, False).images[1, 0], ramp // 8)
    assert "no level of b.png and 1 others is above 64" in caplog.text


def test_an_npz_file_has_a_range_too(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.resize(np.arange(17), (4, 28, 28)).astype(np.uint8))
    with pytest.raises(UserError, match=r"task\.white=16, if that is white, or task\.white=255"):
        only(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", images=np.random.default_rng(0).random((4, 28, 28)))
    assert only(tmp_path / "b.npz").max() > 250


@pytest.mark.parametrize("white", [0, -1, "bright", True, None, float("nan")])
def test_white_is_a_number(white, ramp, tmp_path):
    with pytest.raises(UserError, match=r"task\.white must be auto or a number above 0"):
        read(saved(ramp, tmp_path / "a.png"), SHAPE, 0.0, False, white=white)
