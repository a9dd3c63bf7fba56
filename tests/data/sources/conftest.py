"""Small official files, servers in place of the mirrors, and an empty cache."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.data import downloads
from tests.helpers.official_files import Mirror, shrink_official


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small official files: 60 training images, of which 10 for validation, and 20 test images."""
    return shrink_official(monkeypatch)


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
    monkeypatch.setattr(downloads, "PATIENCE", 2.0)
    monkeypatch.setenv("no_proxy", "*")
    yield servers
    for server in servers:
        server.close()
