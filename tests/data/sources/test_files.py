"""The official files of MNIST and Fashion-MNIST: found, read, split, and refused where they are damaged."""

import os
from pathlib import Path

import numpy as np
import pytest

from src.data.official import PUBLISHED, fashion_mnist, mnist
from tests.helpers.official_files import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    check_splits,
    idx,
    refusal,
    write_files,
)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("source", "dataset", "first"),
    [(mnist, "MNIST", "0"), (fashion_mnist, "FashionMNIST", "T-shirt")],
)
def test_files_are_read_and_split(source, dataset, first, zipped, official, tmp_path):
    folder = write_files(tmp_path / dataset / "raw", official, zipped)
    images = source(str(tmp_path))
    check_splits(images, official)
    assert (images.name, images.origin, images.classes[0]) == (source.__name__, str(folder), first)
    assert len(images.classes) == 10
    assert images.train.images.base is not None  # a view of what was read, no copy
    assert images.train.images.flags.writeable  # torch.from_numpy warns of anything else


def test_relative_root_and_home(official, tmp_path, monkeypatch):
    write_files(tmp_path / "here" / "MNIST" / "raw", official)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for root in ("here", "~/here"):
        assert mnist(root).origin == str(tmp_path / "here" / "MNIST" / "raw")


def test_root_that_is_no_path(official):
    for root in (2024, "~no-such-user-here/data"):
        assert "Give the whole path" in refusal(mnist, root)


def test_debian_folder(official, mirrors, tmp_path, monkeypatch):
    """Its files stand in for those that root lacks, however they are compressed."""
    debian = write_files(tmp_path / "debian", official, zipped=True)
    monkeypatch.setitem(PUBLISHED, "fashion_mnist", PUBLISHED["fashion_mnist"]._replace(elsewhere=(debian,)))
    images = fashion_mnist(str(tmp_path / "root"))
    check_splits(images, official)
    assert images.origin == str(debian)
    raw = write_files(tmp_path / "root" / "FashionMNIST" / "raw", {TEST_LABELS: official[TEST_LABELS]})
    assert fashion_mnist(str(tmp_path / "root")).origin == f"{debian}, {raw}"
    assert not (tmp_path / "root" / "MNIST").exists()
    assert [path for server in mirrors for path in server.asked] == []


def flipped(data: bytes) -> bytes:
    return data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]


DAMAGES = {
    "empty": (TRAIN_IMAGES, lambda data: b"", "does not begin like an IDX file"),
    "a web page": (
        TRAIN_IMAGES,
        lambda data: b"<html>" + bytes(len(data)),
        "does not begin like an IDX file",
    ),
    "cut short": (TRAIN_IMAGES, lambda data: data[:-1], "cut short"),
    "too long": (TEST_IMAGES, lambda data: data + b"\0", "too long"),
    "a flipped bit": (TEST_IMAGES, flipped, "MD5 differs"),
    "other dimensions": (
        TEST_IMAGES,
        lambda data: idx(np.zeros((20, 14, 56))),
        "IDX file of 20 x 28 x 28 bytes",
    ),
    "too few labels": (TRAIN_LABELS, lambda data: idx(np.zeros(10)), "IDX file of 60 bytes"),
    "a label of 10": (TEST_LABELS, lambda data: data[:-1] + b"\x0a", "label 10, beyond 0 to 9"),
    "a swapped label": (TEST_LABELS, lambda data: data[:-2] + data[:-3:-1], "MD5 differs"),
    "images as labels": (
        TEST_LABELS,
        lambda data: idx(np.zeros((20, 28, 28))),
        "does not begin like an IDX file",
    ),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_refused_and_kept(damage, zipped, official, mirrors, tmp_path):
    file, change, fault = DAMAGES[damage]
    damaged = change(official[file])
    raw = write_files(tmp_path / "MNIST" / "raw", official | {file: damaged}, zipped)
    before = {path.name: path.read_bytes() for path in raw.iterdir()}
    message = refusal(mnist, str(tmp_path))
    assert fault in message
    assert str(raw / file) in message
    assert f"copy the four files to {raw}" in message
    assert "data=mnist5k" in message
    assert "apt install" not in message
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == before
    assert mirrors[0].asked == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda zipped: zipped[: len(zipped) // 2], "ended before"),
        (lambda zipped: b"", "does not begin"),
        (lambda zipped: b"PK" + zipped, "Not a gzipped file"),
        (lambda zipped: zipped[:-8] + bytes(8), "CRC check failed"),
        (lambda zipped: zipped[:10] + b"\xff" + zipped[11:], "invalid block type"),
    ],
)
def test_damaged_gzip_is_refused_and_kept(change, fault, official, tmp_path):
    raw = write_files(tmp_path / "FashionMNIST" / "raw", official, zipped=True)
    path = raw / f"{TRAIN_IMAGES}.gz"
    damaged = change(path.read_bytes())
    path.write_bytes(damaged)
    message = refusal(fashion_mnist, str(tmp_path))
    assert str(path) in message
    assert fault in message
    assert "apt install dataset-fashion-mnist" in message
    assert path.read_bytes() == damaged


def test_damage_is_no_reason_to_download_the_rest(official, mirrors, tmp_path):
    raw = write_files(tmp_path / "MNIST" / "raw", {TEST_LABELS: b"spoilt"})
    assert str(raw / TEST_LABELS) in refusal(mnist, str(tmp_path))
    assert [path.name for path in raw.iterdir()] == [TEST_LABELS]
    assert mirrors[0].asked == []


def test_what_is_no_file_is_refused_and_kept(official, mirrors, tmp_path):
    raw = write_files(tmp_path / "MNIST" / "raw", official)
    (raw / TEST_LABELS).unlink()
    (raw / TEST_LABELS).symlink_to("gone")
    assert str(raw / TEST_LABELS) in refusal(mnist, str(tmp_path))
    (raw / TEST_LABELS).unlink()
    (raw / TEST_LABELS).mkdir()
    assert str(raw / TEST_LABELS) in refusal(mnist, str(tmp_path))
    assert (raw / TEST_LABELS).is_dir()
    assert mirrors[0].asked == []


needs_data = pytest.mark.skipif(not os.environ.get("DATA_ROOT"), reason="DATA_ROOT names no real data")


@needs_data
@pytest.mark.parametrize(("source", "dataset"), [(mnist, "MNIST"), (fashion_mnist, "FashionMNIST")])
def test_real_files(source, dataset):
    images = source(os.environ["DATA_ROOT"])
    assert [split.images.shape for split in images[3:6]] == [(n, 1, 28, 28) for n in (50_000, 10_000, 10_000)]
    counts = [np.bincount(split.labels) for split in images[3:6]]
    assert (counts[0] + counts[1]).sum() == 60_000
    if dataset == "FashionMNIST":
        assert (counts[0] + counts[1]).tolist() == [6000] * 10
        assert counts[2].tolist() == [1000] * 10
    else:
        assert counts[2].tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    for path in images.origin.split(", "):
        plain = Path(path) / TRAIN_IMAGES
        if plain.exists():
            pixels = np.fromfile(plain, np.uint8)[16:].reshape(60_000, 1, 28, 28)
            np.testing.assert_array_equal(images.val.images, pixels[-10_000:])
            np.testing.assert_array_equal(images.train.images[-1], pixels[49_999])
