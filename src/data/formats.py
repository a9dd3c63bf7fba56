"""Recognises the format of a file by its content, and gives the line of Python that converts it to an npz file."""

import bz2
import gzip
import lzma
import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

HEAD = 1 << 16  # bytes at the beginning of a file that are read to recognise it
IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
SAVE = 'np.savez("my.npz", images=images)'
UNPACK: dict[bytes, tuple[str, Callable]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
}
# first bytes, format, and the line that converts the file
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
KINDS = {b"\x93NUMPY": "npy", b"PAR1": "parquet"}
IMAGE_MAGIC: list[tuple[bytes, str]] = [
    (b"\x89PNG\r\n", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"BM", "BMP"), (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"), (b"P5", "PGM"), (b"P6", "PPM"),
]  # fmt: skip


class Format(NamedTuple):
    """The format of a file.

    name: to follow "it is", with an article: "an HDF5 file"
    remedy: what to do to get an npz file
    kind: "folder", "image", "npy", "idx", "csv" or "parquet", which are read as they are; "text", which may hold
        labels; "" for other formats
    """

    name: str
    remedy: str
    kind: str = ""


def detect_format(path: Path) -> Format | None:
    """The format of a file or folder that is not an npz file; None where its content does not show it.

    Raises OSError where it can't be read.
    """
    if path.is_dir():
        return Format("a folder", "give a folder of images or a file", "folder")
    if not path.is_file():
        return Format("no regular file", "give a file or a folder")
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return Format("empty", f"save the images again: {SAVE}")
    if head.startswith(b"PK"):
        return archive_format(path)
    return compressed_format(path, head) or content_format(path, head, f"open({str(path)!r}, 'rb')")


def archive_format(path: Path) -> Format | None:
    """The format of a zip archive without arrays; None for one with arrays, which is an npz file."""
    try:
        with ZipFile(path) as file:
            names = [name for name in file.namelist() if not name.endswith("/")]
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        return Format("a zip archive that was cut short or damaged", "copy or save it again")
    if any(name.endswith("data.pkl") for name in names):
        return Format("a PyTorch file", f"images = torch.load({str(path)!r}, weights_only=True).numpy(); {SAVE}")
    if names and not any(name.endswith(".npy") for name in names):
        few = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        return Format(
            f"a zip archive of other files ({few})",
            "unpack it and give its folder",
        )
    return None


def compressed_format(path: Path, head: bytes) -> Format | None:
    """The format of a file that is compressed as a whole, with that of its content; None for any other file."""
    for magic, (name, open_compressed) in UNPACK.items():
        if head.startswith(magic):
            try:
                with open_compressed(path) as file:
                    inner = file.read(HEAD)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
                return Format(f"a {name} file that was cut short or damaged", "copy or save it again")
            if inside := content_format(path, inner, f"{open_compressed.__module__}.open({str(path)!r})"):
                kind = inside.kind if name == "gzip" and inside.kind in ("idx", "csv") else ""
                return Format(f"{inside.name}, compressed by {name}", inside.remedy, kind)
            return Format(f"compressed by {name}", "unpack it and give what is inside")
    return None


def content_format(path: Path, head: bytes, opened: str) -> Format | None:
    """The format of content that begins with `head`; `opened` is the Python expression for the open file."""
    for magic, name, remedy in MAGIC:
        if head.startswith(magic):
            return Format(name, remedy.format(file=str(path)), KINDS.get(magic, ""))
    if head[512:520] == b"\x89HDF\r\n\x1a\n":
        return Format("an HDF5 file", f'images = h5py.File({str(path)!r})["NAME"][:]; {SAVE}')
    if head[257:262] == b"ustar":
        return Format("a tar archive", "unpack it and give what is inside")
    kind = next((name for magic, name in IMAGE_MAGIC if head.startswith(magic)), None)
    if kind or (head[:4], head[8:12]) == (b"RIFF", b"WEBP"):
        return Format(f"a single image ({kind or 'WebP'})", "give the folder of such images", "image")
    return idx_format(head, opened) or pickle_format(path, head, opened) or text_format(head, opened)


def idx_format(head: bytes, opened: str) -> Format | None:
    """Recognise an IDX file, such as MNIST's: two zero bytes, the type, the number of dimensions, the sizes."""
    if len(head) < 8 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES or not 1 <= head[3] <= 4:
        return None
    sizes = [int.from_bytes(head[i : i + 4], "big") for i in range(4, 4 + 4 * head[3], 4)]
    if math.prod(sizes) == 0:
        return None
    shape = " x ".join(map(str, sizes))
    after = f"np.frombuffer({opened}.read(), {IDX_TYPES[head[2]]!r}, offset={4 + 4 * len(sizes)})"
    if len(sizes) == 1:
        return Format(f"an IDX file of {shape} labels", f'np.savez("my.npz", images=images, labels={after})', "idx")
    return Format(f"an IDX file of {shape} numbers", f"images = {after}.reshape({tuple(sizes)}); {SAVE}", "idx")


def pickle_format(path: Path, head: bytes, opened: str) -> Format | None:
    """Recognise a pickle, which can run any code when it is loaded; for the oldest protocol, by the file's suffix."""
    if (head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5") or path.suffix in (".pkl", ".pickle"):
        remedy = f"if you trust its author, images = pickle.load({opened}); {SAVE}"
        return Format("a pickle, which can run any program", remedy)
    return None


def text_format(head: bytes, opened: str) -> Format | None:
    """Recognise a text file: a table of numbers, JSON, or any other text."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return Format("text in UTF-16", "save it in UTF-8")
    try:
        lines = head.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        if b"\0" not in head and error.start and is_text(head[: error.start].decode("utf-8-sig").splitlines()):
            return Format("text with characters that are not in UTF-8", "save it in UTF-8")
        if error.start < len(head) - 4 or len(head) < HEAD:  # not just a character cut off at the end of `head`
            return None
        lines = head[: error.start].decode("utf-8-sig").splitlines()
    if not is_text(lines):
        return None
    if lines[0].startswith("version https://git-lfs"):
        return Format("a pointer of Git LFS, not the file itself", "git lfs pull")
    if lines[0].lstrip()[:1] in ("{", "["):
        return Format("JSON", f"images = np.array(json.load({opened}), np.uint8); {SAVE}")
    if lines[0].lstrip()[:1] == "<":
        return Format("a web page or XML, perhaps the answer of a failed download", "download the file itself")
    row = lines[min(1, len(lines) - 1)].strip()
    delimiter = next((mark for mark in (",", ";", "\t", " ") if mark in row), " ")
    cells = [cell.strip('"') for cell in row.split(delimiter)]
    if any(len(cell.split()) > 3 and all(map(is_number, cell.split()[:8])) for cell in cells) and delimiter != " ":
        return Format(f"a CSV file of {len(cells)} columns", "give it as it is", "csv")
    if len(cells) < 4 or sum(map(is_number, cells)) < len(cells) / 2:
        if any(cell.lower().endswith((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")) for cell in cells):
            remedy = "put the images of each class into a folder of its name, and give the folder that holds these"
            return Format("a table with names of image files", remedy, "text")
        return Format("a text file", "give a folder of images or an array file", "text")
    return table_format(lines, delimiter, opened)


def is_text(lines: Sequence[str]) -> bool:
    """Whether the first lines of a file are text, without control characters."""
    return bool(lines) and not any(ord(letter) < 32 and letter not in "\t\r" for letter in "".join(lines[:10]))


def table_format(lines: list[str], delimiter: str, opened: str) -> Format:
    """The format of a table with one image in each row; one column more than a square number contains labels."""
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
    return Format(
        f"{name} of {len(cells)} columns",
        f"t = np.loadtxt({opened}{options}); {save}",
        "" if delimiter == " " else "csv",
    )


def is_number(cell: str) -> bool:
    """Whether a cell of a table holds a number."""
    try:
        float(cell.strip(' "'))
    except ValueError:
        return False
    return True
