"""What a file is, by its content, and the line of Python that makes an npz file of it."""

import bz2
import gzip
import lzma
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

HEAD = 1 << 16  # bytes of a file that tell what it is
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
IMAGES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
SAVE = 'np.savez("my.npz", images=images)'
TO_ARRAY = 'np.asarray(Image.open(file).convert("L").resize((28, 28)))'
UNPACK: dict[bytes, tuple[str, Callable]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
}
# how files begin that need no second look, and what reads them
MAGIC: list[tuple[bytes, str, str]] = [
    (b"\x93NUMPY", "one NumPy array (npy)", 'np.savez("my.npz", images=np.load({file!r}))'),
    (b"MATLAB 7.3", "a MAT-file of MATLAB 7.3", 'images = h5py.File({file!r})["NAME"][:]; ' + SAVE),
    (b"MATLAB", "a MAT-file of MATLAB", 'images = scipy.io.loadmat({file!r})["NAME"]; ' + SAVE),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", 'images = h5py.File({file!r})["NAME"][:]; ' + SAVE),
    (b"PAR1", "a Parquet file", "images = np.stack(pandas.read_parquet({file!r})[NAME]); " + SAVE),
    (b"ARROW1", "an Arrow file", "images = np.stack(pandas.read_feather({file!r})[NAME]); " + SAVE),
    (b"SQLite format 3", "an SQLite database", "read its images into an array; " + SAVE),
    (b"%PDF", "a PDF document", "save its images as an array; " + SAVE),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and give what is inside"),
    (b"Rar!", "a RAR archive", "unpack it and give what is inside"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it and give what is inside"),
]
PICTURES: list[tuple[bytes, str]] = [
    (b"\x89PNG\r\n", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"BM", "BMP"), (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"), (b"P5", "PGM"), (b"P6", "PPM"),
]  # fmt: skip


class Form(NamedTuple):
    """What a file `is`, to follow "it is", and the `remedy` that makes an npz file of it."""

    name: str
    remedy: str


def form_of(path: Path) -> Form | None:
    """What a file or folder is that is no npz file; None where its content does not tell.

    Raises OSError where it can't be read.
    """
    if path.is_dir():
        return folder(path)
    if not path.is_file():
        return Form("no regular file", "give an npz file")
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return Form("empty", f"save the images again: {SAVE}")
    if head.startswith(b"PK"):
        return archive(path)
    return packed(path, head) or content(path, head, f"open({str(path)!r}, 'rb')")


def folder(path: Path) -> Form:
    """A folder, with the images and arrays in it."""
    files = [file for file in path.rglob("*") if file.is_file()]
    pictures = [file for file in files if file.suffix.lower() in IMAGES]
    if pictures:
        pattern = f'sorted(Path({str(path)!r}).rglob("*{pictures[0].suffix}"))'
        return Form(
            f"a folder of {len(pictures)} images", f"images = np.stack([{TO_ARRAY} for file in {pattern}]); {SAVE}"
        )
    arrays = [str(file) for file in files if file.suffix == ".npz"]
    return Form("a folder", f"give a file, as {arrays[0]}" if arrays else "give an npz file")


def archive(path: Path) -> Form | None:
    """A zip archive that holds no arrays."""
    try:
        with ZipFile(path) as file:
            names = [name for name in file.namelist() if not name.endswith("/")]
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        return Form("a zip archive that was cut short or damaged", "copy or save it again")
    if any(name.endswith("data.pkl") for name in names):
        return Form("a PyTorch file", f"images = torch.load({str(path)!r}, weights_only=True).numpy(); {SAVE}")
    if names and not any(name.endswith(".npy") for name in names):
        few = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        return Form(
            f"a zip archive of other files ({few})",
            f"unpack it; images = np.stack([{TO_ARRAY} for file in files]); {SAVE}",
        )
    return None


def packed(path: Path, head: bytes) -> Form | None:
    """A file compressed as a whole, and what is inside."""
    for magic, (name, opened) in UNPACK.items():
        if head.startswith(magic):
            try:
                with opened(path) as file:
                    inner = file.read(HEAD)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
                return Form(f"a {name} file that was cut short or damaged", "copy or save it again")
            if found := content(path, inner, f"{opened.__module__}.open({str(path)!r})"):
                return Form(f"{found.name}, compressed by {name}", found.remedy)
            return Form(f"compressed by {name}", "unpack it and give what is inside")
    return None


def content(path: Path, head: bytes, opened: str) -> Form | None:
    """What begins with these bytes; `opened` is Python for the open file."""
    for magic, name, remedy in MAGIC:
        if head.startswith(magic):
            return Form(name, remedy.format(file=str(path)))
    if head[512:520] == b"\x89HDF\r\n\x1a\n":
        return Form("an HDF5 file", f'images = h5py.File({str(path)!r})["NAME"][:]; {SAVE}')
    if head[257:262] == b"ustar":
        return Form("a tar archive", "unpack it and give what is inside")
    picture = next((name for magic, name in PICTURES if head.startswith(magic)), None)
    if picture or (head[:4], head[8:12]) == (b"RIFF", b"WEBP"):
        return Form(
            f"a single image ({picture or 'WebP'})", f"images = np.stack([{TO_ARRAY} for file in files]); {SAVE}"
        )
    return idx(head, opened) or pickled(path, head, opened) or text(path, head, opened)


def idx(head: bytes, opened: str) -> Form | None:
    """An IDX file, the format of MNIST: two zero bytes, the type, the number of dimensions, the sizes."""
    if len(head) < 8 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES or not 1 <= head[3] <= 4:
        return None
    sizes = [int.from_bytes(head[i : i + 4], "big") for i in range(4, 4 + 4 * head[3], 4)]
    if math.prod(sizes) == 0:
        return None
    shape = " x ".join(map(str, sizes))
    after = f"np.frombuffer({opened}.read(), {IDX_TYPES[head[2]]!r}, offset={4 + 4 * len(sizes)})"
    if len(sizes) == 1:
        return Form(f"an IDX file of {shape} labels", f'np.savez("my.npz", images=images, labels={after})')
    return Form(f"an IDX file of {shape} numbers", f"images = {after}.reshape({tuple(sizes)}); {SAVE}")


def pickled(path: Path, head: bytes, opened: str) -> Form | None:
    """A pickle, which may run any code when it is loaded; those of the oldest protocol are known by their name."""
    if (head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5") or path.suffix in (".pkl", ".pickle"):
        remedy = f"if you trust its author, images = pickle.load({opened}); {SAVE}"
        return Form("a pickle, which can run any program", remedy)
    return None


def text(path: Path, head: bytes, opened: str) -> Form | None:
    """Text: a table of numbers, JSON, or something else."""
    try:
        lines = head.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4 or len(head) < HEAD:  # a character cut at the end of what was read is none
            return None
        lines = head[: error.start].decode("utf-8-sig").splitlines()
    if not lines or any(ord(letter) < 32 and letter not in "\t\r" for letter in "".join(lines[:10])):
        return None
    if lines[0].startswith("version https://git-lfs"):
        return Form("a pointer of Git LFS, not the file itself", "git lfs pull")
    if lines[0].lstrip()[:1] in ("{", "["):
        return Form("JSON", f"images = np.array(json.load({opened}), np.uint8); {SAVE}")
    if lines[0].lstrip()[:1] == "<":
        return Form("a web page or XML, perhaps the answer of a failed download", "download the file itself")
    row = lines[min(1, len(lines) - 1)].strip()
    delimiter = next((mark for mark in (",", ";", "\t", " ") if mark in row), " ")
    cells = row.split(delimiter)
    if len(cells) < 4 or sum(map(is_number, cells)) < len(cells) / 2:
        return Form("a text file", "give an npz file")
    return table(lines, delimiter, opened)


def table(lines: list[str], delimiter: str, opened: str) -> Form:
    """A table of numbers, a row an image; a column more than a square number of pixels holds the labels."""
    cells = lines[0].strip().split(delimiter)
    heads = [cell.strip(' "').lower() for cell in cells] if not is_number(cells[0]) or not is_number(cells[-1]) else []
    options = "".join([", np.uint8", f", delimiter={delimiter!r}" * (delimiter != " "), ", skiprows=1" * bool(heads)])
    pixels = len(cells) - 1 if math.isqrt(len(cells) - 1) ** 2 == len(cells) - 1 else len(cells)
    side = math.isqrt(pixels)
    shape = f"-1, {side}, {side}" if side**2 == pixels else "-1, HEIGHT, WIDTH"
    if pixels == len(cells):
        save = f'np.savez("my.npz", images=t.reshape({shape}))'
    else:
        last = bool(heads) and heads[-1] in ("label", "labels", "class", "target", "y")
        label, rest = ("t[:, -1]", "t[:, :-1]") if last else ("t[:, 0]", "t[:, 1:]")
        save = f'np.savez("my.npz", images={rest}.reshape({shape}), labels={label})'
    name = {",": "a CSV file", ";": "a CSV file"}.get(delimiter, "a table of text")
    return Form(f"{name} of {len(cells)} columns", f"t = np.loadtxt({opened}{options}); {save}")


def is_number(cell: str) -> bool:
    """Whether a cell of a table holds a number."""
    try:
        float(cell.strip(' "'))
    except ValueError:
        return False
    return True
