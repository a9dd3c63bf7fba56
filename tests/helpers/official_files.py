"""Small files in the format of MNIST's, and servers in place of the mirrors that they are downloaded from."""

import gzip
import hashlib
import io
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from src.data import official
from src.data.sources import Images
from src.support.errors import UserError

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


KINDS = {"u1": 8, ">i4": 12}  # of the numbers in IDX files


def idx(array: np.ndarray, kind: str = "u1") -> bytes:
    """An array in the IDX format of MNIST's files."""
    return (
        bytes([0, 0, KINDS[kind], array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(kind).tobytes()
    )


def pack(data: bytes) -> bytes:
    """A .gz file, always of the same bytes."""
    return gzip.compress(data, 1, mtime=0)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def pack_archive(name: str, files: dict[str, bytes]) -> bytes:
    """The zip file in which a data set was published, of these plain files."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        for file, data in files.items():
            archive.writestr(f"{official.PUBLISHED[name].archive.folder}/{file}.gz", pack(data))
    return buffer.getvalue()


def shrink(monkeypatch: pytest.MonkeyPatch, name: str, arrays: Sequence[np.ndarray] | None = None) -> dict[str, bytes]:
    """Small files in place of those of a data set in PUBLISHED, and their checksums in place of those published.

    arrays: 60 training images, of which 10 for validation, their labels, 20 test images, and their labels
    """
    published = official.PUBLISHED[name]
    lowest, highest = published.files[1].labels
    if arrays is None:
        random = np.random.default_rng(0)
        labels = [np.arange(count) % (highest - lowest + 1) + lowest for count in (60, 20)]
        images = [random.integers(0, 256, (len(each), 28, 28)) for each in labels]
        arrays = images[0], labels[0], images[1], labels[1]
        if len(published.files[1].shape) == 2:  # other columns hold other numbers
            arrays = [each if each.ndim > 1 else each[:, None] + np.arange(8) * 1000 for each in arrays]
    contents = [idx(array, file.kind) for file, array in zip(published.files, arrays, strict=True)]
    files = [
        file._replace(
            shape=array.shape,
            md5=file.md5 and md5(content),
            packed_md5=file.packed_md5 and md5(pack(content)),
        )
        for file, array, content in zip(published.files, arrays, contents, strict=True)
    ]
    made = {file.name: content for file, content in zip(files, contents, strict=True)}
    archive = published.archive and published.archive._replace(md5=md5(pack_archive(name, made)))
    small = published._replace(files=tuple(files), held_out=10, archive=archive, elsewhere=())
    monkeypatch.setitem(official.PUBLISHED, name, small)
    return made


def shrink_official(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small files of both MNIST and Fashion-MNIST, of 60 and 20 images, as `shrink` makes them."""
    shrink(monkeypatch, "fashion_mnist")
    return shrink(monkeypatch, "mnist")


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
            (folder / f"{file}.gz").write_bytes(pack(data))
        else:
            (folder / file).write_bytes(data)
    return folder


def check_splits(images: Images, files: dict[str, bytes]) -> None:
    """Assert that the images are those of the small official files, decoded here in another way, in their splits."""
    train = np.frombuffer(files[TRAIN_IMAGES][16:], np.uint8).reshape(60, 1, 28, 28)
    test = np.frombuffer(files[TEST_IMAGES][16:], np.uint8).reshape(20, 1, 28, 28)
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


def digest(images: Images) -> str:
    """A hash of the pixels and labels of all splits."""
    parts = [part.tobytes() for split in images[3:6] for part in split]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


class Mirror(ThreadingHTTPServer):
    """A mirror on localhost that has some files: `answer` sets its behaviour, `asked` lists the requests."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = {f"/{file}": data for file, data in files.items()}
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
