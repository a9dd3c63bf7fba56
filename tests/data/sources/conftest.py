"""Small official files, servers in place of the mirrors, and an empty cache."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from src.data import downloads
from tests.helpers.official_files import Mirror, md5, pack, shrink_official


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

    packed = {f"{file}.gz": pack(data) for file, data in official.items()}
    servers = [Mirror(packed), Mirror(packed)]
    resources = [(file, md5(data)) for file, data in packed.items()]
    for dataset in (datasets.MNIST, datasets.FashionMNIST):
        monkeypatch.setattr(dataset, "mirrors", [server.url for server in servers])
        monkeypatch.setattr(dataset, "resources", resources)
    monkeypatch.setattr(downloads, "PATIENCE", 2.0)
    monkeypatch.setenv("no_proxy", "*")
    yield servers
    for server in servers:
        server.close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, bytes]], Mirror]]:
    """serve({name: content}): a server in place of those that torchvision knows for KMNIST, EMNIST and QMNIST."""
    from torchvision import datasets

    servers = []

    def start(files: dict[str, bytes]) -> Mirror:
        server = Mirror(files)
        servers.append(server)
        found = [(f"{server.url}{name}", md5(content)) for name, content in files.items()]
        monkeypatch.setattr(datasets.KMNIST, "mirrors", [server.url])
        monkeypatch.setattr(datasets.KMNIST, "resources", [(name, md5(content)) for name, content in files.items()])
        monkeypatch.setattr(datasets.QMNIST, "resources", {"train": found[:2], "test": found[2:]})
        monkeypatch.setattr(datasets.EMNIST, "url", found[0][0])
        monkeypatch.setattr(datasets.EMNIST, "md5", found[0][1])
        return server

    monkeypatch.setattr(downloads, "PATIENCE", 2.0)
    monkeypatch.setenv("no_proxy", "*")
    yield start
    for server in servers:
        server.close()
