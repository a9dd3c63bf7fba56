"""EMNIST: small files in the official format, found, downloaded, verified, put upright and named."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.data.labels import numbers_of
from src.data.official import can_read, emnist, qmnist
from src.support.errors import UserError
from tests.helpers.official_files import pack_archive, refusal, shrink, write_files

LETTERS = [
    f"emnist-letters-{part}-{kind}-ubyte" for part in ("train", "test") for kind in ("images-idx3", "labels-idx1")
]


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    return shrink(monkeypatch, "emnist_letters")


def write_archive(root: Path, content: bytes) -> Path:
    path = root / "EMNIST" / "raw" / "gzip.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def upright(content: bytes) -> np.ndarray:
    """The images in an IDX file of EMNIST, as one sees them."""
    return np.frombuffer(content[16:], np.uint8).reshape(-1, 28, 28).transpose(0, 2, 1)[:, None]


@pytest.mark.parametrize("form", ["archive", "plain", "gz"])
def test_letters_are_upright_and_have_their_names(form, letters, tmp_path):
    raw = tmp_path / "EMNIST" / "raw"
    if form == "archive":
        write_archive(tmp_path, pack_archive("emnist_letters", letters))
    else:
        write_files(raw, letters, zipped=form == "gz")
    images = emnist(str(tmp_path), "letters")
    train, test = upright(letters[LETTERS[0]]), upright(letters[LETTERS[2]])
    for split, pixels, first in ((images.train, train[:50], 0), (images.val, train[50:], 50), (images.test, test, 0)):
        np.testing.assert_array_equal(split.images, pixels)
        np.testing.assert_array_equal(split.labels, np.arange(first, first + len(pixels)) % 26)  # 1 is A in the file
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
    assert images.classes == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert images.name == "emnist_letters"
    assert images.origin == str(raw / "gzip.zip" if form == "archive" else raw)


def test_the_first_letter_that_a_file_shows_is_seen_as_one_writes_it(monkeypatch, tmp_path):
    """An L: a stroke down, and one to the right at its foot; the file has its columns as rows."""
    letter = np.zeros((28, 28), np.uint8)
    letter[4:24, 8] = letter[23, 8:20] = 255
    images = [np.repeat(letter.T[None], count, axis=0) for count in (60, 20)]
    arrays = images[0], np.full(60, 12), images[1], np.full(20, 12)
    write_files(tmp_path / "EMNIST" / "raw", shrink(monkeypatch, "emnist_letters", arrays))
    read = emnist(str(tmp_path), "letters")
    for split in read[3:6]:
        assert (split.images[:, 0] == letter).all()
        assert {read.classes[label] for label in split.labels} == {"L"}


def test_more_images_than_are_transposed_at_once(monkeypatch, letters, tmp_path):
    write_files(tmp_path / "EMNIST" / "raw", letters)
    monkeypatch.setattr("src.data.official.AT_ONCE", 7)
    np.testing.assert_array_equal(emnist(str(tmp_path), "letters").test.images, upright(letters[LETTERS[2]]))


def test_numbers_of_letters_are_refused(letters, tmp_path):
    """The authors count them from 1, and we from 0: B would be left out in place of A."""
    write_files(tmp_path / "EMNIST" / "raw", letters)
    images = emnist(str(tmp_path), "letters")
    assert numbers_of(images, ["A", "Z"]) == [0, 25]
    with pytest.raises(UserError, match="emnist_letters has no label 1, but A, B"):
        numbers_of(images, [1])


@pytest.mark.parametrize("label", [0, 27])
def test_letters_out_of_range_are_refused(label, letters, tmp_path):
    damaged = letters[LETTERS[1]][:-1] + bytes([label])
    write_files(tmp_path / "EMNIST" / "raw", letters | {LETTERS[1]: damaged})
    assert f"label {label}, beyond 1 to 26" in refusal(emnist, str(tmp_path), "letters")


def test_labels_of_both_cases_have_the_names_of_the_official_mapping(monkeypatch, tmp_path):
    """emnist-balanced-mapping.txt: the label of each character's code."""
    mapping = {i: chr(48 + i) for i in range(10)} | {10 + i: chr(65 + i) for i in range(26)}
    mapping |= dict(zip(range(36, 47), "abdefghnqrt", strict=True))
    write_files(tmp_path / "EMNIST" / "raw", shrink(monkeypatch, "emnist_balanced"))
    images = emnist(str(tmp_path), "balanced")
    assert dict(enumerate(images.classes)) == mapping
    assert numbers_of(images, ["A", "a", 5, 36]) == [5, 10, 36]


def test_the_archive_has_the_published_checksum_or_is_refused(letters, tmp_path):
    path = write_archive(tmp_path, pack_archive("emnist_letters", letters)[:-1])
    write_files(path.parent, letters)
    message = refusal(emnist, str(tmp_path), "letters")
    assert f"{path} is not the gzip.zip of EMNIST (its MD5 differs" in message
    assert f"copy gzip.zip, or the four files of it that begin with emnist-letters, to {path.parent}" in message


def test_files_that_are_missing_are_named(letters, serve, tmp_path):
    serve({"gzip.zip": b"no archive"})
    *others, missing = letters
    raw = tmp_path / "EMNIST" / "raw"
    write_files(raw, {name: letters[name] for name in others})
    assert f"copy gzip.zip, or {missing} of it, to {raw}" in refusal(emnist, str(tmp_path), "letters")


def test_the_archive_is_downloaded_and_kept(letters, serve, tmp_path):
    content = pack_archive("emnist_letters", letters)
    serve({"gzip.zip": content})
    write_files(tmp_path / "EMNIST" / "raw", {LETTERS[0]: b"spoilt, and not needed"})
    assert emnist(str(tmp_path), "letters").origin == "download"
    raw = tmp_path / "EMNIST" / "raw"
    assert (raw / "gzip.zip").read_bytes() == content
    assert sorted(path.name for path in raw.iterdir()) == sorted(["gzip.zip", LETTERS[0]])
    assert emnist(str(tmp_path), "letters").origin == str(raw / "gzip.zip")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (emnist, "data.split must be balanced | byclass | bymerge | letters | digits | mnist, got everything"),
        (qmnist, "data.split must be test10k | test50k | test60k, got everything"),
    ],
)
def test_no_other_split(source: Callable, message, tmp_path):
    assert refusal(source, str(tmp_path), "everything") == message


def test_what_needs_no_download(letters, monkeypatch, tmp_path):
    root = str(tmp_path)
    assert not can_read("src.data.official.kmnist", root)
    write_files(tmp_path / "KMNIST" / "raw", shrink(monkeypatch, "kmnist"), zipped=True)
    assert can_read("src.data.official.kmnist", root)
    write_files(tmp_path / "EMNIST" / "raw", letters)
    assert can_read("src.data.official.emnist", root, "letters")
    assert not can_read("src.data.official.emnist", root, "digits")
    assert not can_read("src.data.official.emnist", root, "everything")
    (tmp_path / "EMNIST" / "raw" / "gzip.zip").touch()
    assert can_read("src.data.official.emnist", root, "digits")
