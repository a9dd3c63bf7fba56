"""Small official files, servers that stand in for the mirrors, and a cache of one's own."""

import gzip
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from src.data import sources
from src.support.errors import UserError

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def refused(source: Callable, *args: str) -> str:
    """The one line with which `source` refuses."""
    with pytest.raises(UserError) as caught:
        source(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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


def put(folder: Path, files: dict[str, bytes], zipped: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in files.items():
        if zipped:
            (folder / f"{file}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / file).write_bytes(data)
    return folder


def check_splits(images: sources.Images, official: dict[str, bytes]) -> None:
    """The small official files, split: read here in another way."""
    train = np.frombuffer(official[TRAIN_IMAGES][16:], np.uint8).reshape(60, 1, 28, 28)
    test = np.frombuffer(official[TEST_IMAGES][16:], np.uint8).reshape(20, 1, 28, 28)
    expected = {
        "train": (train[:50], np.arange(50) % 10),
        "val": (train[50:], np.arange(50, 60) % 10),
        "test": (test, np.arange(20) % 10),
    }
    for name, (pixels, labels) in expected.items():
        split = getattr(images, name)
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        np.testing.assert_array_equal(split.images, pixels)
        np.testing.assert_array_equal(split.labels, labels)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vae-lab" / "mnist5k.npz"


def digest(images: sources.Images) -> str:
    parts = [part.tobytes() for split in images[3:6] for part in split]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


class Mirror(ThreadingHTTPServer):
    """A mirror of torchvision's on localhost: `answer` says what it does, `asked` what it was asked for."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = {f"/{file}.gz": gzip.compress(data, 1) for file, data in files.items()}
        self.answer, self.asked, self.closing = "whole", [], threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        mirror, body = self.server, self.server.files[self.path]
        mirror.asked.append(self.path)
        if mirror.answer == "never":
            mirror.closing.wait()
        elif mirror.answer == "404":
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if mirror.answer == "whole":
                self.wfile.write(body)
            elif mirror.answer == "half":
                self.wfile.write(body[: len(body) // 2])
            elif mirror.answer == "drip":
                while not mirror.closing.wait(0.05):
                    self.wfile.write(b".")

    def log_message(self, *args: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the client gave up
            self.close_connection = True


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
