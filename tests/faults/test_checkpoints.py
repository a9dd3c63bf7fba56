"""Damaged checkpoints, and those of other programs: one line each, before anything is made of them."""

import collections
import io
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from src import build
from src.run import resume
from src.run.checkpoint_file import FORMAT
from src.support.errors import DamagedError, UserError
from src.training import checkpoints
from tests.helpers import hostile


@pytest.fixture
def last(folder: Path) -> Path:
    """Its last checkpoint."""
    return folder / "checkpoints" / "last.ckpt"


def refusals(path: Path) -> list[str]:
    """The lines of both readers about a checkpoint that they refuse."""
    lines = []
    for read in (checkpoints.read, resume.read_run):
        with pytest.raises(UserError) as refusal:
            read(path)
        lines.append(str(refusal.value))
    for line in lines:
        assert "\n" not in line
        assert "weights_only" not in line
        assert "safe_globals" not in line
    return lines


def same(one: Any, other: Any) -> bool:
    """Whether two contents of checkpoints are equal, tensors bit by bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_no_flipped_byte_is_loaded_without_a_word(last):
    """A byte of no meaning, such as padding, may differ; everything that is loaded is what was written."""
    content, expected = last.read_bytes(), checkpoints.read(last)
    with zipfile.ZipFile(last) as archive:
        members = [(each.header_offset, each.file_size) for each in archive.infolist()]
    draw, refused = random.Random(0), 0
    places = [offset + draw.randrange(30 + 64 + size) for offset, size in members for _ in range(2)]
    places += [draw.randrange(len(content)) for _ in range(20)]
    places += [len(content) - 1 - draw.randrange(2000) for _ in range(20)]  # the archive's directory
    for place in places:
        damaged = bytearray(content)
        damaged[min(place, len(content) - 1)] ^= 1 << draw.randrange(8)
        last.write_bytes(damaged)
        try:
            assert same(checkpoints.read(last), expected)
        except DamagedError:
            refused += 1
    assert refused > len(places) / 2


def test_a_flipped_byte_in_the_weights_is_refused(last):
    weight = max(checkpoints.read(last)["state_dict"].values(), key=torch.numel)
    content = bytearray(last.read_bytes())
    content[content.index(weight.numpy().tobytes()) + weight.nbytes // 2] ^= 1
    last.write_bytes(content)
    assert all("try another of its folder" in line for line in refusals(last))
    with pytest.raises(DamagedError, match=r"checksum|CRC"):
        build.load(last.parent.parent, "last")


def test_a_resume_verifies_the_best_checkpoint_too(folder, resume):
    """The test at the end of a training loads best.ckpt."""
    best = folder / "checkpoints" / "best.ckpt"
    content = bytearray(best.read_bytes())
    weight = max(checkpoints.read(best)["state_dict"].values(), key=torch.numel)
    content[content.index(weight.numpy().tobytes())] ^= 1
    best.write_bytes(content)
    with pytest.raises(DamagedError):
        checkpoints.WholeOrNothing().load_checkpoint(best, weights_only=True)


@pytest.mark.parametrize("size", [0, 1, 4, 100, 0.5, 0.99])
def test_a_checkpoint_that_is_cut_short_is_damaged(size, last):
    content = last.read_bytes()
    last.write_bytes(content[: size if isinstance(size, int) else int(size * len(content))])
    assert all("is no checkpoint, or is cut short" in line for line in refusals(last))


@pytest.mark.parametrize("name", ["epoch", "global_step", "state_dict", "run"])
@pytest.mark.parametrize("value", [None, [], "x", 3.5])
def test_a_checkpoint_without_a_key_or_with_another_type_is_refused(name, value, folder, last):
    hostile.change(folder, lambda state: state.pop(name) if value is None else state.update({name: value}))
    assert all(
        f"{name} is missing" in line or "holds no run" in line or "of another kind" in line for line in refusals(last)
    )


REQUIRED = [
    *("config", "overrides", "config.data", "config.data.source", "config.data.shape", "config.model"),
    *("config.model.encoder", "config.prior", "config.latent_dim", "config.title", "config.data.exclude_labels"),
]


@pytest.mark.parametrize("path", REQUIRED)
@pytest.mark.parametrize("value", [None, 3.5, {"a": [{"b": 1}]}, [[]]])
def test_a_configuration_of_another_kind_is_refused(path, value, folder, last):
    hostile.change(folder, lambda state: hostile.set_option(state["run"], path, value))
    assert all("of another kind" in line or "holds no run's configuration" in line for line in refusals(last))
    with pytest.raises(UserError):
        build.load(folder, "last")


def test_a_checkpoint_of_a_later_version_is_refused(folder, last):
    assert torch.load(last, weights_only=True)["run"]["version"] == FORMAT
    hostile.change(folder, lambda state: state["run"].update({"version": FORMAT + 1}))
    assert all("was written by a later version of this program: update it" in line for line in refusals(last))


def test_other_files_of_torch_are_refused(last):
    for content in (nn.Linear(2, 2).state_dict(), [1, 2], "text", {"state_dict": {}, "epoch": 3}, torch.zeros(3)):
        torch.save(content, last)
        assert all("was not written by this program" in line for line in refusals(last))
    for content in (nn.Linear(2, 2), {"run": Path("x")}, {"run": collections.deque()}):
        torch.save(content, last)
        assert all("is no plain checkpoint" in line for line in refusals(last))
    torch.save({"run": {}}, last, _use_new_zipfile_serialization=False)
    assert all("is no checkpoint" in line for line in refusals(last))


class Call:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function: Any, *arguments: Any):
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


def replace_pickle(path: Path, listing: bytes) -> None:
    """Give a checkpoint another data.pkl, with the right checksum."""
    file = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(file, "w") as new:
        for each in old.infolist():
            new.writestr(each.filename, listing if each.filename.endswith("/data.pkl") else old.read(each))
    path.write_bytes(file.getvalue())


PICKLES = {
    "calls a program": pickle.dumps({"run": Call(print, "hello")}, 2),
    "allocates": pickle.dumps({"run": Call(bytearray, 2**40)}, 2),
    "a far place": b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b".",
    "a far text place": b"\x80\x02}p99999999999\n.",
    "a long text": b"\x80\x04\x8d" + struct.pack("<Q", 2**50) + b"x.",
    "a long number": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b".",
    "deep": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "itself": b"\x80\x02}q\x00X\x03\x00\x00\x00runq\x01h\x00s.",
    "nothing": b"",
    "no end": b"\x80\x02}",
    "an extension": b"\x80\x02\x82\x01.",
    "another protocol": b"\x80\x63}.",
    "text": b"hello",
}


# why, of those that are refused before a reader of pickles gets to see them
REASONS = {
    "calls a program": "it names __builtin__.print",
    "allocates": "it names __builtin__.bytearray",
    "a long text": "bytes in a unicodestring8, but only",
    "a long number": "not enough data in stream",
    **dict.fromkeys(("a far place", "a far text place", "an extension", "text"), "it is no plain checkpoint"),
}


@pytest.mark.parametrize("kind", PICKLES)
def test_a_strange_pickle_is_refused(kind, last, capsys):
    replace_pickle(last, PICKLES[kind])
    assert all(REASONS.get(kind, "") in line for line in refusals(last))
    assert "hello" not in capsys.readouterr().out


def growing(levels: int) -> Any:
    """A list of lists of lists, each of which is the same object ten times."""
    content: Any = ["x"]
    for _ in range(levels):
        content = [content] * 10
    return content


def test_content_that_grows_when_it_is_read_is_refused(folder, last):
    hostile.change(folder, lambda state: state["run"]["config"].update({"extra": growing(12)}))
    assert all("more values, or deeper ones" in line for line in refusals(last))


@pytest.mark.parametrize("text", ["a\x1b[2J", "\x00", "x" * 200_000, "\u202e"])
def test_a_title_that_controls_the_terminal_is_refused(text, folder, last):
    hostile.change(folder, lambda state: state["run"]["config"].update({"title": text}))
    assert all("is no text" in line for line in refusals(last))


def compress(path: Path) -> None:
    """A member that is unpacked to a gigabyte and more."""
    with zipfile.ZipFile(path) as old:
        contents = {each.filename: old.read(each) for each in old.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in contents.items():
            new.writestr(name, content)


def test_a_compressed_archive_is_refused(last):
    compress(last)
    assert all("it is compressed" in line for line in refusals(last))
