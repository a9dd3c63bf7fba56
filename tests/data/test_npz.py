"""A user's own npz file: what is read, and what each other file is told to be."""

import bz2
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.data.user_images import images as npz
from src.support.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 6), np.uint8)


def refusal(path: Path, **options) -> str:
    """What is said of a file, in one line."""
    with pytest.raises(UserError) as error:
        npz(str(path), **options)
    (said,) = str(error.value).splitlines()
    assert f"{path}" in said
    return said


def csv(columns: int, header: str = "") -> str:
    return header + "\n".join(",".join(["7", *["0"] * (columns - 1)]) for _ in range(3)) + "\n"


def packed_npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, IMAGES)
    return buffer.getvalue()


def pictured(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(buffer, kind)
    return buffer.getvalue()


FILES = {
    "table.txt": (csv(64).replace(",", " ").encode(), "a table of text of 64 columns", "t.reshape(-1, 8, 8)"),
    "a.npy.bz2": (bz2.compress(packed_npy()), "one NumPy array (npy), compressed by bzip2", "np.load"),
    "data_batch_1": (pickle.dumps({"data": IMAGES}), "a pickle", "if you trust its author"),
    "old.pkl": (pickle.dumps({"data": IMAGES}, 0), "a pickle", "if you trust its author"),
    "a.mat": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(200), "a MAT-file of MATLAB", "scipy.io.loadmat"),
    "b.mat": (b"MATLAB 7.3 MAT-file, Platform".ljust(512) + b"\x89HDF\r\n\x1a\n", "MATLAB 7.3", "h5py"),
    "a.h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file", "h5py.File"),
    "a.png": (pictured("PNG"), "a single image (PNG)", "give the folder of such images"),
    "a.jpg": (pictured("JPEG"), "a single image (JPEG)", "folder"),
    "a.tif": (pictured("TIFF"), "a single image (TIFF)", "folder"),
    "a.webp": (pictured("WEBP"), "a single image (WebP)", "folder"),
    "a.tar": (bytes(257) + b"ustar\x00" + bytes(300), "a tar archive", "unpack"),
    "a.json": (json.dumps(IMAGES[:2].tolist()).encode(), "JSON", "json.load"),
    "a.html": (b"<!DOCTYPE html><html>", "a failed download", "download"),
    "lfs.npz": (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS", "git lfs pull"),
    "a.txt": ("höchst eigene Bilder\n".encode(), "a text file", "give a folder of images"),
    "empty.npz": (b"", "empty", "save the images again"),
    "noise.npz": (bytes([200, 1, 7, 0, 255] * 40), "no npz file with `images`", "np.savez"),
}


@pytest.mark.parametrize("name", FILES)
def test_another_file_is_told_what_it_is_and_what_makes_an_npz_of_it(name, tmp_path):
    content, what, remedy = FILES[name]
    (tmp_path / name).write_bytes(content)
    said = refusal(tmp_path / name)
    assert what in said and remedy in said


@pytest.mark.parametrize("name", ["table.txt", "old.pkl"])
def test_the_remedy_works(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(FILES[name][0])
    remedy = refusal(tmp_path / name).partition("is not read: ")[2].removeprefix("if you trust its author, ")
    remedy = remedy.replace("pickle.load(", "(lambda file: pickle.load(file)['data'])(")  # whose key nobody knows
    exec(remedy, {"np": np, "pickle": pickle})
    with np.load("my.npz") as arrays:
        assert arrays["images"].ndim == 3


def test_a_folder_a_missing_file_and_a_zip_of_images(tmp_path):
    assert "no such file" in refusal(tmp_path / "nowhere.npz")
    (tmp_path / "own").mkdir()
    assert "no image in it" in refusal(tmp_path / "own")
    (tmp_path / "own" / "a.png").write_bytes(pictured("PNG"))
    assert "holds 1 images to train on, too few" in refusal(tmp_path / "own")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.write(tmp_path / "own" / "a.png", "a.png")
    assert "a zip archive of other files (a.png)" in refusal(tmp_path / "a.zip")
    torch.save(torch.zeros(3), tmp_path / "a.pt")
    assert "a PyTorch file" in refusal(tmp_path / "a.pt")
    assert "no regular file" in refusal(Path("/dev/null"))


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.99])
def test_a_file_cut_short_is_told_so(kept, tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES)
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: int(kept * len(content))])
    assert "cut short or damaged" in refusal(tmp_path / "a.npz")


def test_changed_bytes_are_told(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "a.npz").write_bytes(content)
    assert "damaged (Bad CRC-32" in refusal(tmp_path / "a.npz")


@pytest.mark.parametrize("shape", [(2**31, 28, 28), (10**9, 1, 1), (-1, 28, 28), (39, 8, 6), (2**62, 4, 4)])
def test_nothing_is_made_of_a_shape_that_the_file_does_not_hold(shape, tmp_path):
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("images.npy", buffer.getvalue() + IMAGES.tobytes())
    assert "damaged (images is said to be uint8" in refusal(tmp_path / "a.npz")


def test_a_size_that_only_the_archive_claims_is_not_believed(tmp_path):
    header = {"descr": "|u1", "fortran_order": False, "shape": (3_000_000, 28, 28)}
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("images.npy", buffer.getvalue())
    content = (tmp_path / "a.npz").read_bytes()
    size = len(buffer.getvalue())
    claimed = (size + 3_000_000 * 784).to_bytes(4, "little")
    place = content.rindex(size.to_bytes(4, "little") * 2) + 4  # of the size unpacked, in the directory
    (tmp_path / "a.npz").write_bytes(content[:place] + claimed + content[place + 4 :])
    assert "damaged" in refusal(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"train_x": IMAGES, "labels": np.zeros(40)}, "holds labels, train_x: name the images, data.images=NAME"),
        ({}, "no array at all"),
        ({"images": IMAGES, "labels": np.arange(39)}, "labels of the shape (39,) for 40 images"),
        ({"images": IMAGES, "labels": np.arange(40.0) / 2}, "labels are float64, but must be integers or strings"),
        ({"images": IMAGES, "labels": np.ones((40, 3))}, "labels of the shape (40, 3) for 40 images"),
        ({"images": IMAGES, "labels": np.int64(3)}, "labels of the shape () for 40 images"),
        ({"images": IMAGES, "labels": np.array([None] * 40)}, "labels holds Python objects: save labels.astype(str)"),
        ({"images": IMAGES, "labels": np.zeros(40, "M8[D]")}, "must be integers or strings"),
        ({"images": np.array([IMAGES[0], IMAGES[1, :3]], object)}, "Python objects, as images of several sizes"),
        ({"images": np.zeros(40, [("a", "u1"), ("b", "u1")])}, "must be numbers"),
        ({"images": np.full((40, 8, 6), "a")}, "must be numbers"),
        ({"images": IMAGES.reshape(40, 48)}, "rows of 48 pixels are no squares: give their shape"),
        ({"images": np.resize(IMAGES, (40, 8, 8, 4))}, "1 channel or 3 are drawn: save images[..., :3]"),
        ({"images": np.resize(IMAGES, (40, 4, 8, 8))}, "images[:, :3]"),
        ({"images": np.resize(IMAGES, (40, 5, 8, 8))}, "neither 1 channel (grayscale) nor 3"),
        ({"images": IMAGES[:, :0]}, "there is no image in an array of the shape (40, 0, 6)"),
        ({"images": IMAGES[0, 0]}, "holds no images"),
        ({"images": IMAGES[:9]}, "holds 9 images to train on, too few to split 80/10/10"),
        ({"images": IMAGES.astype(np.uint16) * 16}, "levels from 0 to 4080 do not show what is white: data.white=4095"),
        ({"images": np.full((40, 8, 6), np.nan)}, "no finite numbers"),
        ({"images": (IMAGES.astype(np.float32) - 90) / 70}, "as standardised images have"),
        ({"images": IMAGES / 1000}, "are dark floats: data.white=0.255"),
    ],
)  # fmt: skip
def test_arrays_that_are_of_no_use_are_told_the_remedy(arrays, words, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    assert words in refusal(tmp_path / "a.npz", white="auto")


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path(tmp_path, "gone off").touch, ())

    np.savez(tmp_path / "a.npz", images=IMAGES, labels=np.array([Bomb()] * 40))
    refusal(tmp_path / "a.npz")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Bomb()))
    refusal(tmp_path / "a.pkl")
    assert not Path(tmp_path, "gone off").exists()


@pytest.mark.parametrize(
    ("low", "high", "remedy"),
    [
        (0, 16, "data.white=16, if that is white"),
        (0, 100, "data.white=100, if"),
        (0, 127, "data.white=127, if"),
        (128, 255, "save np.round((images - 128) / 127 * 255).astype(np.uint8)"),
        (90, 140, "save np.round((images - 90) / 50 * 255)"),
    ],
)
def test_levels_of_another_range_are_refused_and_scaled_where_that_is_asked(low, high, remedy, tmp_path):
    levels = np.resize(np.arange(low, high + 1), (40, 8, 6)).astype(np.uint8)
    np.savez(tmp_path / "a.npz", images=levels)
    said = refusal(tmp_path / "a.npz", white="auto")
    assert remedy in said and "data.white=255 if they are meant to be so" in said
    assert np.array_equal(gathered(npz(str(tmp_path / "a.npz"), white=255)), np.sort(levels, None))
    if low == 0:
        scaled = np.round(levels.astype(float) * 255 / high).astype(np.uint8)
        assert np.array_equal(gathered(npz(str(tmp_path / "a.npz"), white=high)), np.sort(scaled, None))
    assert f"the levels go up to {high}, above data.white={high - 1}" in refusal(tmp_path / "a.npz", white=high - 1)


def gathered(images) -> np.ndarray:
    """All levels of a data set, sorted."""
    return np.sort(np.concatenate([split.images.ravel() for split in (images.train, images.val, images.test)]))


def test_negative_numbers_cast_to_bytes_are_noticed_and_binary_images_are_not(tmp_path):
    signs = np.random.default_rng(0).choice([-1, 0, 1], (40, 8, 6))
    np.savez(tmp_path / "cast.npz", images=signs.astype(np.int8).astype(np.uint8))
    assert "as numbers around 0 cast to bytes do" in refusal(tmp_path / "cast.npz", white="auto")
    np.savez(tmp_path / "binary.npz", images=(signs > 0).astype(np.uint8) * 255)
    assert npz(str(tmp_path / "binary.npz"), white="auto").train.images.max() == 255


@pytest.mark.parametrize("white", [0, -1, "bright", True, None, float("nan")])
def test_white_is_a_number(white, tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES)
    with pytest.raises(UserError) as refusal:
        npz(str(tmp_path / "a.npz"), white)
    assert f"data.white must be auto or a number above 0, got {white}" in str(refusal.value)


def test_new_runs_ask_and_older_ones_take_levels_as_they_were(composed):
    assert composed("data=npz", "data.path=a.npz").data.source.white == "auto"
