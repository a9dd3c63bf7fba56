"""Kuzushiji-MNIST and QMNIST: small files in the official formats, found, downloaded, verified and read."""

from typing import get_args

import numpy as np
import pytest
from torchvision import datasets

from src.data.labels import numbers_of
from src.data.official import PUBLISHED, QMNIST_TEST, EmnistSplit, QmnistSplit, kmnist, qmnist
from tests.helpers.official_files import (
    FILES,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_LABELS,
    check_splits,
    idx,
    pack,
    refusal,
    shrink,
    write_files,
)

QMNIST_LABELS = "qmnist-test-labels-idx2-int"


@pytest.fixture
def kuzushiji(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    return shrink(monkeypatch, "kmnist")


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The files of QMNIST, of whose 20 test images 5 are those of MNIST."""
    for split, rows in {"test10k": slice(5), "test50k": slice(5, None)}.items():
        monkeypatch.setitem(QMNIST_TEST, split, rows)
    return shrink(monkeypatch, "qmnist")


def test_the_table_says_what_torchvision_does():
    for name, source in {
        "kmnist": datasets.KMNIST,
        "mnist": datasets.MNIST,
        "fashion_mnist": datasets.FashionMNIST,
    }.items():
        assert [f"{file.name}.gz" for file in PUBLISHED[name].files] == [file for file, _ in source.resources]
        assert PUBLISHED[name].name == source.__name__
    packed = [(file.name, file.packed_md5) for name in ("kmnist", "qmnist") for file in PUBLISHED[name].files]
    of_qmnist = [*datasets.QMNIST.resources["train"], *datasets.QMNIST.resources["test"]]
    published = [*datasets.KMNIST.resources, *((url.rpartition("/")[2], checksum) for url, checksum in of_qmnist)]
    assert packed == [(file.removesuffix(".gz"), checksum) for file, checksum in published]
    assert list(PUBLISHED["kmnist"].classes) == datasets.KMNIST.classes
    assert get_args(QmnistSplit) == tuple(QMNIST_TEST)
    assert set(get_args(EmnistSplit)) == set(datasets.EMNIST.splits)
    for split in datasets.EMNIST.splits:
        of_split = PUBLISHED[f"emnist_{split}"]
        theirs = [name.upper() if split == "letters" else name for name in datasets.EMNIST.classes_split_dict[split]]
        assert list(of_split.classes) == [name for name in theirs if name != "N/A"]
        assert of_split.archive.md5 == datasets.EMNIST.md5
        assert of_split.archive.name == datasets.EMNIST.url.rpartition("/")[2]
        train, _, test, _ = (file.shape[0] for file in of_split.files)
        assert of_split.held_out == test < train


@pytest.mark.parametrize("zipped", [False, True])
def test_kuzushiji_is_split_like_mnist(zipped, kuzushiji, tmp_path):
    raw = write_files(tmp_path / "KMNIST" / "raw", kuzushiji, zipped)
    images = kmnist(str(tmp_path))
    check_splits(images, kuzushiji)
    assert (images.name, images.origin) == ("kmnist", str(raw))
    assert images.classes == ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
    assert numbers_of(images, ["na", 9]) == [4, 9]


def test_files_with_a_published_checksum_are_preferred(kuzushiji, tmp_path):
    """torchvision leaves both; a plain file that was changed would not be noticed."""
    raw = write_files(tmp_path / "KMNIST" / "raw", kuzushiji, zipped=True)
    write_files(raw, {TEST_IMAGES: kuzushiji[TEST_IMAGES][:-1] + b"\x01"})
    check_splits(kmnist(str(tmp_path)), kuzushiji)


@pytest.mark.parametrize(
    ("file", "change", "fault"),
    [
        (TEST_IMAGES, lambda data: data[:-1], "cut short"),
        (TEST_IMAGES, lambda data: data + b"\0", "too long"),
        (TRAIN_LABELS, lambda data: idx(np.zeros(20)), "does not begin like an IDX file of 60 bytes"),
        (TEST_LABELS, lambda data: data[:-1] + b"\x0a", "label 10, beyond 0 to 9"),
    ],
)
def test_a_plain_file_without_a_published_checksum_is_verified_otherwise(file, change, fault, kuzushiji, tmp_path):
    raw = write_files(tmp_path / "KMNIST" / "raw", kuzushiji | {file: change(kuzushiji[file])})
    message = refusal(kmnist, str(tmp_path))
    assert fault in message
    assert f"{raw / file} is not the {file} of KMNIST" in message
    assert f"copy the four files to {raw}" in message


def test_a_packed_file_of_another_checksum_is_refused(kuzushiji, tmp_path):
    raw = write_files(tmp_path / "KMNIST" / "raw", kuzushiji, zipped=True)
    changed = pack(kuzushiji[TEST_IMAGES][:-1] + b"\x01")
    (raw / f"{TEST_IMAGES}.gz").write_bytes(changed)
    assert f"{raw / TEST_IMAGES}.gz is not the {TEST_IMAGES} of KMNIST (its MD5 differs" in refusal(
        kmnist, str(tmp_path)
    )
    assert (raw / f"{TEST_IMAGES}.gz").read_bytes() == changed


@pytest.mark.parametrize(("source", "name"), [(kmnist, "kmnist"), (lambda root: qmnist(root, "test10k"), "qmnist")])
def test_downloads_are_stored_as_their_checksums_were_published(source, name, serve, monkeypatch, tmp_path, capsys):
    files = {f"{file}.gz": pack(content) for file, content in shrink(monkeypatch, name).items()}
    server = serve(files)
    images = source(str(tmp_path))
    raw = tmp_path / PUBLISHED[name].name / "raw"
    assert images.origin == "download"
    assert f"Downloading {PUBLISHED[name].name}" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == files
    asked = len(server.asked)
    assert source(str(tmp_path)).origin == str(raw)
    assert len(server.asked) == asked
    assert set(server.asked) == {f"/{file}" for file in files}


def test_a_download_of_another_checksum_leaves_nothing(kuzushiji, serve, tmp_path):
    """The server's files are those that torchvision expects, but not those that the table has."""
    serve({f"{file}.gz": pack(kuzushiji[file] + b"\0") for file in FILES})
    message = refusal(kmnist, str(tmp_path))
    assert "lacks train-images-idx3-ubyte.gz" in message
    assert "MD5 differs" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("split", "rows"), [("test10k", slice(5)), ("test50k", slice(5, None)), ("test60k", slice(None))]
)
def test_qmnist_has_the_test_images_that_one_asks_for(split, rows, digits, tmp_path):
    write_files(tmp_path / "QMNIST" / "raw", digits)
    images = qmnist(str(tmp_path), split)
    pixels = {
        part: np.frombuffer(digits[f"qmnist-{part}-images-idx3-ubyte"][16:], np.uint8) for part in ("train", "test")
    }
    assert images.name == f"qmnist_{split}"
    np.testing.assert_array_equal(images.train.images.ravel(), pixels["train"][: 50 * 784])
    np.testing.assert_array_equal(images.val.images.ravel(), pixels["train"][50 * 784 :])
    np.testing.assert_array_equal(images.test.images, pixels["test"].reshape(20, 1, 28, 28)[rows])
    np.testing.assert_array_equal(images.val.labels, np.arange(50, 60) % 10)  # of 8 columns the first
    np.testing.assert_array_equal(images.test.labels, (np.arange(20) % 10)[rows])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (idx(np.zeros((20, 8))), "like an IDX file of 20 x 8 whole numbers of 4 bytes"),
        (idx(np.full((20, 8), 10), ">i4"), "label 10, beyond 0 to 9"),
        (idx(np.full((20, 8), -1), ">i4"), "label -1, beyond 0 to 9"),
        (idx(np.zeros((20, 8)), ">i4")[:-4], "cut short"),
    ],
)
def test_damaged_labels_of_qmnist_are_refused(content, fault, digits, tmp_path):
    write_files(tmp_path / "QMNIST" / "raw", digits | {QMNIST_LABELS: content})
    assert fault in refusal(qmnist, str(tmp_path), "test10k")
