"""Downloads from mirrors that answer, fail, stall or are not there."""

import socket
import time

import pytest

from src.data import downloads
from src.data.official import PUBLISHED, fashion_mnist, mnist
from tests.helpers.official_files import (
    FILES,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    check_splits,
    refusal,
    write_files,
)


def test_download(official, mirrors, tmp_path, capsys):
    root = tmp_path / "new" / "root"
    images = mnist(str(root))
    check_splits(images, official)
    assert images.origin == "download"
    raw = root / "MNIST" / "raw"
    assert f"to {raw}" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == official
    assert [path.name for path in root.iterdir()] == ["MNIST"]
    again = mnist(str(root))
    assert (again.origin, capsys.readouterr().out) == (str(raw), "")


def test_download_of_what_is_missing_alone(official, mirrors, tmp_path, capsys):
    present = {file: official[file] for file in (TRAIN_IMAGES, TEST_IMAGES)}
    raw = write_files(tmp_path / "FashionMNIST" / "raw", present)
    check_splits(fashion_mnist(str(tmp_path)), official)
    assert f"({TRAIN_LABELS}, {TEST_LABELS})" in capsys.readouterr().out
    assert set(mirrors[0].asked) == {f"/{TRAIN_LABELS}.gz", f"/{TEST_LABELS}.gz"}
    assert sorted(path.name for path in raw.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("answer", ["404", "half", "never"])
def test_second_mirror_has_its_turn(answer, official, mirrors, tmp_path):
    mirrors[0].answer = answer
    write_files(tmp_path / "MNIST" / "raw", {file: official[file] for file in FILES[:3]})
    check_splits(mnist(str(tmp_path)), official)
    assert f"/{TEST_LABELS}.gz" in mirrors[0].asked


@pytest.mark.parametrize("answer", ["404", "half", "never", "drip"])
def test_failed_download_is_soon_over_and_leaves_nothing(answer, mirrors, tmp_path):
    for server in mirrors:
        server.answer = answer
    root = tmp_path / "new" / "root"
    start = time.monotonic()
    message = refusal(mnist, str(root))
    assert time.monotonic() - start < 10
    assert all(file in message for file in FILES)
    reasons = {
        "404": "HTTP Error 404",
        "half": "corrupted",
        "never": "timed out",
        "drip": "nothing came for 2 s",
    }
    assert reasons[answer] in message
    assert f"copy the four files to {root / 'MNIST' / 'raw'}" in message
    assert "data=mnist5k" in message
    assert list(tmp_path.iterdir()) == []
    assert socket.getdefaulttimeout() is None


def test_given_up_download_never_comes_back(official, mirrors, tmp_path):
    mirrors[0].answer = "drip"
    refusal(mnist, str(tmp_path))
    mirrors[0].close()
    time.sleep(0.3)
    assert mirrors[1].asked == []
    assert list(tmp_path.iterdir()) == []


def test_no_server(mirrors, tmp_path):
    for server in mirrors:
        server.close()
    raw = write_files(tmp_path / "FashionMNIST" / "raw", {})
    message = refusal(fashion_mnist, str(tmp_path))
    assert "refused" in message
    assert "apt install dataset-fashion-mnist" in message
    assert list(raw.iterdir()) == []


def test_download_of_something_else(official, mirrors, tmp_path, monkeypatch):
    """torchvision's checksum fits, ours does not: nothing is kept."""
    *others, labels = PUBLISHED["mnist"].files
    monkeypatch.setitem(PUBLISHED, "mnist", PUBLISHED["mnist"]._replace(files=(*others, labels._replace(md5="0" * 32))))
    assert "MD5 differs" in refusal(mnist, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_root_that_can_not_be_written(official, mirrors, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        assert f"copy the four files to {root}" in refusal(mnist, str(root))

    def denied(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(downloads, "TemporaryDirectory", denied)
    assert "Permission denied" in refusal(mnist, str(tmp_path))
    assert mirrors[0].asked == []
