"""A user's own npz file: what is read, and what each other file is told to be."""

import bz2
import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.data.sources import npz
from src.support.errors import UserError
from tests.helpers.official_files import idx

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
    "table.csv": (csv(785).encode(), "a CSV file of 785 columns", "t[:, 1:].reshape(-1, 28, 28), labels=t[:, 0]"),
    "plain.csv": (csv(64).encode(), "a CSV file of 64 columns", "t.reshape(-1, 8, 8)"),
    "headed.csv": (csv(785, "label," + ",".join(f"p{i}" for i in range(784)) + "\n").encode(), "CSV", "skiprows=1"),
    "last.csv": (csv(17, ",".join(f"p{i}" for i in range(16)) + ",class\n").encode(), "CSV", "labels=t[:, -1]"),
    "table.tsv": (csv(64).replace(",", "\t").encode(), "a table of text of 64 columns", r"delimiter='\t'"),
    "table.csv.gz": (gzip.compress(csv(785).encode()), "CSV file of 785 columns, compressed by gzip", "gzip.open"),
    "train-images-idx3-ubyte": (idx(IMAGES), "an IDX file of 40 x 8 x 6", "offset=16).reshape((40, 8, 6))"),
    "images.gz": (gzip.compress(idx(IMAGES)), "an IDX file of 40 x 8 x 6 numbers, compressed by gzip", "gzip.open("),
    "train-labels-idx1-ubyte": (idx(IMAGES[:, 0, 0]), "an IDX file of 40 labels", "labels=np.frombuffer"),
    "a.npy": (packed_npy(), "one NumPy array", "images=np.load("),
    "a.npy.bz2": (bz2.compress(packed_npy()), "one NumPy array (npy), compressed by bzip2", "np.load"),
    "data_batch_1": (pickle.dumps({"data": IMAGES}), "a pickle", "if you trust its author"),
    "old.pkl": (pickle.dumps({"data": IMAGES}, 0), "a pickle", "if you trust its author"),
    "a.mat": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(200), "a MAT-file of MATLAB", "scipy.io.loadmat"),
    "b.mat": (b"MATLAB 7.3 MAT-file, Platform".ljust(512) + b"\x89HDF\r\n\x1a\n", "MATLAB 7.3", "h5py"),
    "a.h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file", "h5py.File"),
    "a.png": (pictured("PNG"), "a single image (PNG)", "np.stack"),
    "a.jpg": (pictured("JPEG"), "a single image (JPEG)", "np.stack"),
    "a.tif": (pictured("TIFF"), "a single image (TIFF)", "np.stack"),
    "a.webp": (pictured("WEBP"), "a single image (WebP)", "np.stack"),
    "a.parquet": (b"PAR1" + bytes(50), "a Parquet file", "read_parquet"),
    "a.tar": (bytes(257) + b"ustar\x00" + bytes(300), "a tar archive", "unpack"),
    "a.json": (json.dumps(IMAGES[:2].tolist()).encode(), "JSON", "json.load"),
    "a.html": (b"<!DOCTYPE html><html>", "a failed download", "download"),
    "lfs.npz": (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS", "git lfs pull"),
    "a.txt": ("höchst eigene Bilder\n".encode(), "a text file", "npz"),
    "empty.npz": (b"", "empty", "save the images again"),
    "noise.npz": (bytes([200, 1, 7, 0, 255] * 40), "no npz file with `images`", "np.savez"),
}


@pytest.mark.parametrize("name", FILES)
def test_another_file_is_told_what_it_is_and_what_makes_an_npz_of_it(name, tmp_path):
    content, what, remedy = FILES[name]
    (tmp_path / name).write_bytes(content)
    said = refusal(tmp_path / name)
    assert what in said and remedy in said


@pytest.mark.parametrize(
    "name", ["table.csv", "headed.csv", "last.csv", "table.tsv", "images.gz", "a.npy", "old.pkl", "table.csv.gz"]
)
def test_the_remedy_works(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(FILES[name][0])
    remedy = refusal(tmp_path / name).partition("with `images`: ")[2].removeprefix("if you trust its author, ")
    remedy = remedy.replace("pickle.load(", "(lambda file: pickle.load(file)['data'])(")  # whose key nobody knows
    exec(remedy, {"np": np, "gzip": gzip, "pickle": pickle})
    with np.load("my.npz") as arrays:
        assert arrays["images"].dtype == np.uint8 and arrays["images"].ndim == 3
        assert "labels" not in arrays.files or (arrays["labels"] == (0 if name == "last.csv" else 7)).all()


def test_a_folder_a_missing_file_and_a_zip_of_images(tmp_path):
    assert "no such file" in refusal(tmp_path / "nowhere.npz")
    (tmp_path / "own").mkdir()
    assert "is a folder" in refusal(tmp_path / "own")
    (tmp_path / "own" / "a.png").write_bytes(pictured("PNG"))
    said = refusal(tmp_path / "own")
    assert "a folder of 1 images" in said and '.rglob("*.png")' in said
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
        ({"x_train": IMAGES, "y_train": np.zeros(40)}, "but x_train, y_train: np.savez("),
        ({}, "no array at all"),
        ({"images": IMAGES, "labels": np.arange(39)}, "must be (40,) integers or strings: save one label for each"),
        ({"images": IMAGES, "labels": np.arange(40.0)}, "save labels.astype(int)"),
        ({"images": IMAGES, "labels": np.eye(40)}, "of one-hot rows, save labels.argmax(1)"),
        ({"images": IMAGES, "labels": np.zeros((40, 1), int)}, "save labels[:, 0]"),
        ({"images": IMAGES, "labels": np.int64(3)}, "save one label for each"),
        ({"images": IMAGES, "labels": np.array([b"a"] * 40)}, "save labels.astype(str)"),
        ({"images": IMAGES, "labels": np.array([None] * 40)}, "Python objects (40,), but"),
        ({"images": IMAGES, "labels": np.zeros(40, "M8[D]")}, "save strings or whole numbers"),
        ({"images": np.array([IMAGES[0], IMAGES[1, :3]], object)}, "holds Python objects, as images of several sizes"),
        ({"images": np.zeros(40, [("a", "u1"), ("b", "u1")])}, "must be uint8"),
        ({"images": np.full((40, 8, 6), "a")}, "must be uint8"),
        ({"images": IMAGES.reshape(40, 48)}, "must be (N, H, W) or (N, C, H, W)"),
        ({"images": np.resize(IMAGES, (40, 64))}, "images.reshape(-1, 8, 8)"),
        ({"images": np.resize(IMAGES, (40, 8, 8, 3))}, "images.transpose(0, 3, 1, 2)"),
        ({"images": np.resize(IMAGES, (40, 8, 8, 4))}, "images[..., :3].transpose(0, 3, 1, 2)"),
        ({"images": np.resize(IMAGES, (40, 4, 8, 8))}, "images[:, :3]"),
        ({"images": np.resize(IMAGES, (40, 5, 8, 8))}, "has 5 channels"),
        ({"images": IMAGES[:, :0]}, "reshape it"),
        ({"images": IMAGES[:9]}, "holds 9 images, too few to split 80/10/10"),
        ({"images": IMAGES / 255}, "images = np.round(images * 255).astype(np.uint8)"),
        ({"images": IMAGES / 127.5 - 1}, "images = np.round((images + 1) * 127.5).astype(np.uint8)"),
        ({"images": IMAGES.astype(float)}, "images = images.round().astype(np.uint8)"),
        ({"images": IMAGES.astype(int)}, "images = images.round().astype(np.uint8)"),
        ({"images": IMAGES > 9}, "images = images.astype(np.uint8) * 255"),
        ({"images": IMAGES.astype(np.uint16) * 16}, "images = np.round(images / 4095 * 255).astype(np.uint8)"),
        ({"images": IMAGES.astype(np.uint16) * 257}, "images / 65535 * 255"),
        ({"images": np.full((40, 8, 6), np.nan)}, "no finite numbers"),
        ({"images": IMAGES.astype(np.float32) - 90}, "(images.astype(float) - -90) / 255 * 255"),
    ],
)  # fmt: skip
def test_arrays_that_are_of_no_use_are_told_the_remedy(arrays, words, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    assert words in refusal(tmp_path / "a.npz")


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
        (0, 1, "data.white=1, if 1 is white"),
        (0, 16, "data.white=16, if 16 is white"),
        (0, 100, "data.white=100, if"),
        (0, 127, "data.white=127, if"),
        (128, 255, "save np.round((images - 128.0) / 127 * 255).astype(np.uint8)"),
        (90, 140, "save np.round((images - 90.0) / 50 * 255)"),
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
    if high > 1:
        assert f"goes up to {high}, above data.white={high - 1}" in refusal(tmp_path / "a.npz", white=high - 1)


def gathered(images) -> np.ndarray:
    """All levels of a data set, sorted."""
    return np.sort(np.concatenate([split.images.ravel() for split in (images.train, images.val, images.test)]))


def test_negative_numbers_cast_to_bytes_are_noticed_and_binary_images_are_not(tmp_path):
    signs = np.random.default_rng(0).choice([-1, 0, 1], (40, 8, 6))
    np.savez(tmp_path / "cast.npz", images=signs.astype(np.int8).astype(np.uint8))
    assert "as numbers around 0 cast to bytes do" in refusal(tmp_path / "cast.npz", white="auto")
    np.savez(tmp_path / "binary.npz", images=(signs > 0).astype(np.uint8) * 255)
    assert npz(str(tmp_path / "binary.npz"), white="auto").train.images.max() == 255


@pytest.mark.parametrize("white", [0, 256, 16.0, "bright", True, None])
def test_white_is_a_level(white, tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES)
    with pytest.raises(UserError) as refusal:
        npz(str(tmp_path / "a.npz"), white)
    assert f"data.white must be auto or a level from 1 to 255, got {white}" in str(refusal.value)


def test_new_runs_ask_and_older_ones_take_levels_as_they_were(composed):
    assert composed("data=npz", "data.path=a.npz").data.source.white == "auto"
