"""Small official files, servers in place of the mirrors, and an empty cache."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from src.data import sources
from tests.helpers.official_files import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, Mirror, idx


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small official files: 60 training images, of which 10 for validation, and 20 test images."""
    random = np.random.default_rng(0)
    arrays = {
        TRAIN_IMAGES: random.integers(0, 256, (60, 28, 28)),
        TRAIN_LABELS: np.arange(60) % 10,
        TEST_IMAGES: random.integers(0, 256, (20, 28, 28)),
        TEST_LABELS: np.arange(20) % 10,
    }
    files = {file: idx(array) for file, array in arrays.items()}
    md5 = {file: hashlib.md5(data).hexdigest() for file, data in files.items()}
    monkeypatch.setattr(sources, "SHAPES", {file: array.shape for file, array in arrays.items()})
    monkeypatch.setattr(sources, "MD5", {"MNIST": md5, "FashionMNIST": md5})
    monkeypatch.setattr(sources, "HELD_OUT", 10)
    monkeypatch.setattr(sources, "DEBIAN", {"FashionMNIST": [Path("/nonexistent")]})
    return files


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vae-lab" / "mnist5k.npz"


@pytest.fixture
def mirrors(official: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Mirror]]:
    """Two mirrors that stand in for torchvision's, with an impatient client."""
    from torchvision import datasets

    servers = [Mirror(official), Mirror(official)]
    md5 = [(path[1:], hashlib.md5(data).hexdigest()) for path, data in servers[0].files.items()]
    for dataset in (datasets.MNIST, datasets.FashionMNIST):
        monkeypatch.setattr(dataset, "mirrors", [server.url for server in servers])
        monkeypatch.setattr(dataset, "resources", md5)
    monkeypatch.setattr(sources, "PATIENCE", 2.0)
    monkeypatch.setenv("no_proxy", "*")
    yield servers
    for server in servers:
        server.close()
