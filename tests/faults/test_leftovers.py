"""What killed processes leave in folders that later runs share: the cache, and the folder of downloads."""

import os
import signal
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.data import downloads, sources
from src.support.files import write_to_cache
from tests.helpers.official_files import digest


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The cache of data=mnist5k, in a folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vae-lab" / "mnist5k.npz"


def test_a_cache_whose_writing_was_killed_is_written_again(cache):
    child = os.fork()
    if child == 0:
        np.savez = lambda path, **_: (path.write_bytes(b"half"), os.kill(os.getpid(), signal.SIGKILL))
        sources.mnist5k()
    os.waitpid(child, 0)
    assert [path.name for path in cache.parent.iterdir()] == [f".{child}.{cache.name}"]
    sources.mnist5k()
    assert list(cache.parent.iterdir()) == [cache]


@settings(max_examples=settings().max_examples // 8)  # each takes a third of a second
@given(st.data())
def test_a_cache_cut_short_or_damaged_changes_nothing(tmp_path_factory, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp()))
        expected = digest(sources.mnist5k())
        (cache,) = tmp_path_factory.getbasetemp().glob("vae-lab/mnist5k.npz")
        content = cache.read_bytes()
        at = data.draw(st.integers(0, len(content) - 1))
        cut = data.draw(st.booleans())
        cache.write_bytes(content[:at] if cut else content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert digest(sources.mnist5k()) == expected


def test_a_cache_on_a_full_disk_is_no_error(tmp_path):
    """PyTorch has an exception of its own for it."""
    write_to_cache(tmp_path / "a.pt", lambda path: torch.save({"a": torch.zeros(9)}, "/dev/full"))
    write_to_cache(tmp_path / "a.npz", lambda path: np.savez("/dev/full", a=np.zeros(9)))
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_download_that_was_killed_is_removed(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("no network")

    old, new = tmp_path / f"{downloads.PREFIX}old", tmp_path / f"{downloads.PREFIX}new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "half.gz").write_bytes(b"half")
    past = time.time() - 2 * downloads.LEFTOVER
    for path in (old / "half.gz", old):
        os.utime(path, (past, past))
    monkeypatch.setattr(downloads, "fetch", fail)
    with pytest.raises(OSError, match="no network"):
        downloads.download("MNIST", ["images"], tmp_path / "MNIST" / "raw", fail)
    assert list(tmp_path.iterdir()) == [new]
