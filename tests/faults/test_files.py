"""Files of images with any bytes: they are read, or refused in one line, and never take more memory than they hold."""

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from src.data import image_files, sources, user_images
from src.data.official import mnist
from src.support.errors import UserError
from tests.helpers.damage import damage
from tests.helpers.official_files import idx, shrink_official, write_files

MEMORY = 64 << 20  # bytes that reading a small file may take; hostile ones claim gigabytes
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 5), np.uint8)
LABELS = np.arange(20) % 3


def read(reader: Callable[..., Any], *arguments: Any) -> Any:
    """What a reader returns; None where it refuses in one line. Any other exception, and much memory, is a failure."""
    tracemalloc.start()
    try:
        return reader(*arguments)
    except UserError as error:
        assert str(error).isprintable(), str(error)
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MEMORY, f"{peak:,} bytes"


def check_npz(content: bytes, folder: Path) -> sources.Images | None:
    """Read an npz file of these bytes, and the images in it as a user's own for a task."""
    path = folder / "own.npz"
    path.write_bytes(content)
    images = read(user_images.images, str(path), "auto")
    if images is not None:
        assert sum(len(split.images) for split in images[3:6]) >= 10
        for split in images[3:6]:
            assert split.images.dtype == np.uint8 and split.images.ndim == 4
            assert len(split.labels) == len(split.images)
            assert (split.labels < len(images.classes)).all()
        "".join(images.classes).encode()  # they are written to files
    read(image_files.read, str(path), (1, 28, 28), 0.0, "auto")
    return images


def npz_bytes(members: dict[str, np.ndarray], save: Callable = np.savez) -> bytes:
    """An npz file of these arrays."""
    buffer = io.BytesIO()
    save(buffer, **members)
    return buffer.getvalue()


def zip_bytes(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def npy_bytes(header: bytes, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """An npy file with this header and data."""
    size = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + size + header + data


VALID = [
    npz_bytes({"images": IMAGES, "labels": LABELS}),
    npz_bytes({"images": IMAGES, "labels": LABELS.astype(str)}, np.savez_compressed),
    npz_bytes({"images": np.asfortranarray(IMAGES[:, None]), "labels": LABELS}),
]
ANY_ARRAY = arrays.arrays(
    st.one_of(
        arrays.scalar_dtypes(),
        st.just(np.dtype(np.uint8)),
        arrays.array_dtypes(max_size=3),
        arrays.unicode_string_dtypes(max_len=4),
    ),
    arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=12),
)


@given(st.binary(max_size=300))
def test_any_bytes_in_place_of_an_npz_file(tmp_path_factory, content):
    check_npz(content, tmp_path_factory.getbasetemp())


@given(st.data())
def test_a_damaged_npz_file(tmp_path_factory, data):
    content = data.draw(st.sampled_from(VALID))
    images = check_npz(data.draw(damage(content)), tmp_path_factory.getbasetemp())
    # the checksums of the archive are compared: what is read was saved so, but for the names of arrays
    if images is not None:
        known = {image.tobytes() for image in IMAGES}
        assert {image.tobytes() for split in images[3:6] for image in split.images} <= known


@given(st.dictionaries(st.sampled_from(["images", "labels", "x", "a/b", "ä", ".."]), ANY_ARRAY, max_size=3))
def test_any_arrays_in_an_npz_file(tmp_path_factory, members):
    check_npz(npz_bytes(members), tmp_path_factory.getbasetemp())


@given(st.lists(st.integers(0, 0x1FFFFF), min_size=1, max_size=4), st.integers(0, 19))
@example([0xD800], 0)  # a lone surrogate, which can't be written to a file
@example([0x110000], 0)  # beyond Unicode
def test_any_characters_in_the_names_of_labels(tmp_path_factory, characters, row):
    codes = np.full((20, 4), ord("a"), np.uint32)
    codes[row, : len(characters)] = characters
    labels = np.frombuffer(codes.tobytes(), "<U4")
    check_npz(npz_bytes({"images": IMAGES, "labels": labels}), tmp_path_factory.getbasetemp())


HEADER_VALUES = st.one_of(
    st.sampled_from(["'|u1'", "'<f8'", "'|O'", "'<U0'", "'|V0'", "'|S0'", "[('a', '|u1')]", "('|u1', (1 << 40,))"]),
    st.sampled_from(["('|u1', (2, 3))", "(20, 6, 5)", "(1 << 40, 28, 28)", "(6442450944, 1, 1)", "(-1, -20, 30)"]),
    st.sampled_from(["(20L, 6, 5)", "(True, 6, 5)", "(0, 28, 28)", "20", "()", "None", "True", "{}", "'", "(" * 300]),
    st.text(max_size=20),
)


@given(
    st.tuples(HEADER_VALUES, HEADER_VALUES, HEADER_VALUES),
    st.sampled_from([(1, 0), (2, 0), (3, 0), (4, 0)]),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
)
@example(("'|O'", "False", "(20, 6, 5)"), (1, 0), zipfile.ZIP_STORED)
@example(("'<U0'", "False", "(6442450944, 1, 1)"), (1, 0), zipfile.ZIP_STORED)
@example(("(", "False", "(20, 6, 5)"), (2, 0), zipfile.ZIP_STORED)
def test_any_header_of_an_array(tmp_path_factory, values, version, compression):
    described, order, shape = values
    header = f"{{'descr': {described}, 'fortran_order': {order}, 'shape': {shape}, }}".encode() + b"\n"
    content = zip_bytes({"images.npy": npy_bytes(header, IMAGES.tobytes(), version)}, compression)
    check_npz(content, tmp_path_factory.getbasetemp())


def false_size(claim: int, compression: int) -> bytes:
    """An archive that says of an array of 20 images that it is of `claim` bytes; if stored, that it holds as many."""
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 1, 1), }" % claim
    content = npy_bytes(header, IMAGES.tobytes())
    packed = bytearray(zip_bytes({"images.npy": content}, compression))
    size = struct.pack("<I", len(content) - IMAGES.size + claim)
    for at in (18, packed.index(b"PK\1\2") + 20):  # in the local header and in the directory
        packed[at + 4 : at + 8] = size
        if compression == zipfile.ZIP_STORED:
            packed[at : at + 4] = size
    return bytes(packed)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_expands_beyond_measure_is_refused(tmp_path, compression):
    """100 MB of zeros in less than 20 kB, compressed in a way that NumPy does not use."""
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (100000, 32, 32), }"
    content = zip_bytes({"images.npy": npy_bytes(header, bytes(100_000 * 32 * 32))}, compression)
    assert len(content) < 20_000
    assert check_npz(content, tmp_path) is None


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("claim", [10**6, 4 * 10**9])
def test_a_size_that_the_archive_can_not_hold_is_refused(tmp_path, claim, compression):
    assert check_npz(false_size(claim, compression), tmp_path) is None


def test_a_long_header_of_an_array_is_not_read(tmp_path):
    """100 MB of spaces in a header are some 100 kB in the archive."""
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (20, 6, 5), }" + b" " * 100_000_000
    content = zip_bytes({"images.npy": npy_bytes(header, IMAGES.tobytes(), (2, 0))}, zipfile.ZIP_DEFLATED)
    assert len(content) < 200_000
    assert check_npz(content, tmp_path) is None


def test_an_array_is_read_by_its_whole_name(tmp_path):
    """A member `images` beside `images.npy` is not what was checked."""
    array = io.BytesIO()
    np.save(array, IMAGES)
    content = zip_bytes({"images": b"something else", "images.npy": array.getvalue()})
    assert check_npz(content, tmp_path) is not None


@given(st.text(max_size=40))
@example("a\0b")
@example("two\nlines")
@example("\ud800")
@example("x" * 300)
@example("~nobody-here/a.npz")
@example("/")
@example("")
def test_any_text_as_the_path_of_an_npz_file(text):
    read(user_images.images, text)
    if text.strip("/"):  # the folder of all folders may hold images
        read(image_files.read, text, (1, 28, 28), 0.0, "auto")


@pytest.fixture
def official(tmp_path, monkeypatch) -> tuple[Path, dict[str, bytes]]:
    """A root folder with small official files of MNIST, and their bytes."""
    files = shrink_official(monkeypatch)
    write_files(tmp_path / "MNIST" / "raw", files)
    return tmp_path, files


@given(data=st.data())
def test_a_damaged_idx_file(official, data):
    root, files = official
    raw = root / "MNIST" / "raw"
    name, zipped = data.draw(st.sampled_from(sorted(files))), data.draw(st.booleans())
    content = data.draw(st.one_of(damage(files[name]), st.binary(max_size=100), idx_files()))
    write_files(raw, files)
    if zipped:
        (raw / name).unlink()
        write_files(raw, {name: content}, zipped=True)
        packed = (raw / f"{name}.gz").read_bytes()
        (raw / f"{name}.gz").write_bytes(data.draw(st.one_of(st.just(packed), damage(packed))))
    else:
        (raw / name).write_bytes(content)
    images = read(mnist, str(root))
    if zipped:
        (raw / f"{name}.gz").unlink()
    assert images is None or content == files[name]


@st.composite
def idx_files(draw: st.DrawFn) -> bytes:
    """IDX files of any type and of any sizes, with any data."""
    sizes = draw(st.lists(st.sampled_from([0, 1, 10, 28, 60, 2**31 - 1, 2**31, 2**32 - 1]), max_size=5))
    head = bytes([0, 0, draw(st.sampled_from([8, 9, 11, 12, 13, 14, 0, 255])), len(sizes)])
    return head + b"".join(struct.pack(">I", size) for size in sizes) + draw(st.binary(max_size=200))


@given(idx_files())
@example(idx(IMAGES))
def test_an_idx_file_in_place_of_an_npz_file(tmp_path_factory, content):
    check_npz(content, tmp_path_factory.getbasetemp())


@given(st.data(), st.sampled_from(["PNG", "GIF", "BMP", "TIFF", "JPEG"]))
def test_a_damaged_image_file(tmp_path_factory, data, kind):
    buffer = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(buffer, kind)
    path = tmp_path_factory.getbasetemp() / f"own.{kind.lower()}"
    path.write_bytes(data.draw(damage(buffer.getvalue())))
    read(image_files.read, str(path), (1, 28, 28), 0.0, "auto")
