"""Small files in the format of MNIST's, and servers in place of the mirrors that they are downloaded from."""

import gzip
import hashlib
import threading
from collections.abc import Callable
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
    """An array of bytes in the IDX format of MNIST's files."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def shrink_official(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small files in place of the official ones: 60 training images, of which 10 for validation, and 20 test images."""
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


def refusal(source: Callable, *args: str) -> str:
    """The message, a single line, of the UserError that `source` raises."""
    with pytest.raises(UserError) as caught:
        source(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_files(folder: Path, files: dict[str, bytes], zipped: bool = False) -> Path:
    """Write the files, compressed if `zipped`, and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in files.items():
        if zipped:
            (folder / f"{file}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / file).write_bytes(data)
    return folder


def check_splits(images: sources.Images, official: dict[str, bytes]) -> None:
    """Assert that the images are those of the small official files, decoded here in another way, in their splits."""
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


def digest(images: sources.Images) -> str:
    """A hash of the pixels and labels of all splits."""
    parts = [part.tobytes() for split in images[3:6] for part in split]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


class Mirror(ThreadingHTTPServer):
    """A mirror of torchvision's on localhost: `answer` sets its behaviour, `asked` lists the requests."""

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
