"""Files in a run's folder that claim more than they hold: a line among its problems, and the page of the other runs."""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from src import report
from src.reporting.runs import read
from src.run import status
from src.run.trace import Trace
from src.support.arrays import open_arrays
from src.support.errors import UserError
from src.support.texts import read_json, read_text, read_yaml
from tests.helpers import hostile
from tests.helpers.runs import train_run


@pytest.fixture(scope="module")
def drawn(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch with figures."""
    options = [each for each in small if each not in ("callbacks=none", "trainer.max_epochs=2")]
    options += ["trainer.max_epochs=1", "~callbacks.progress", "callbacks.recorder.images=20"]
    return train_run(options, tmp_path_factory.mktemp("drawn") / "run")


@pytest.fixture
def outputs(drawn: Path, tmp_path: Path) -> Path:
    """A folder with that run twice, as `good` and `bad`."""
    for name in ("good", "bad"):
        hostile.copy_run(drawn, tmp_path / "outputs" / name)
    return tmp_path / "outputs"


def npy_header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    """The header of an array in a file."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def archive(path: Path, content: bytes, names: tuple[str, ...], kind: int = zipfile.ZIP_STORED) -> None:
    """An archive whose members have these names and the same content."""
    with zipfile.ZipFile(path, "w", kind) as file:
        for name in names:
            file.writestr(f"{name}.npy", content)


NAMES = ("index", "recon", "kl", "frames/samples_mean", "frames/recon_mean", "fixed/pixels")
SIX_GB = (6_000_000_000,)


def claim_in_header(path: Path) -> None:
    """Arrays whose headers claim 6 GB each, in a small file."""
    archive(path, npy_header(SIX_GB) + bytes(10_000), NAMES)


def claim_in_directory(path: Path) -> None:
    """Members that the directory of the archive says to hold 3 GB each."""
    archive(path, npy_header((3_000_000_000,)) + bytes(10_000), NAMES[:2])
    content, claim = bytearray(path.read_bytes()), (3_000_000_128).to_bytes(4, "little")
    start = content.index(b"PK\1\2")
    while start >= 0:
        content[start + 24 : start + 28] = claim
        start = content.find(b"PK\1\2", start + 4)
    path.write_bytes(content)


def compress(path: Path) -> None:
    """100 kB that are 100 MB once they are unpacked."""
    archive(path, npy_header((100_000_000,)) + bytes(100_000_000), NAMES[:1], zipfile.ZIP_DEFLATED)


def pickled(path: Path) -> None:
    """An array of Python objects."""
    np.savez(path, **dict.fromkeys(NAMES, np.array([{"a": 1}], dtype=object)))


def no_bytes(path: Path) -> None:
    """An array of more elements than any memory holds, each of no bytes."""
    archive(path, npy_header((2**62,), "|V0"), NAMES)


MAKERS = [claim_in_header, claim_in_directory, compress, pickled, no_bytes]


@pytest.mark.parametrize("make", MAKERS)
def test_an_archive_that_claims_more_than_it_holds_is_a_problem_of_its_run(make, outputs, tmp_path):
    for name in ("val_terms.npz", "figures/trace.npz"):
        make(outputs / "bad" / name)
        assert (outputs / "bad" / name).stat().st_size < 500_000
    assert report.main([str(outputs), "--out", "page.html"]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "val_terms.npz can&#39;t be read" in page
    assert "figures/trace.npz can&#39;t be read" in page
    assert page.count("data:image/webp") >= 2  # of the other run
    with pytest.raises(ValueError, match=r"claims|is said to be|Object arrays|no npz"):
        open_arrays(outputs / "bad" / "val_terms.npz")
    with pytest.raises(UserError, match="is no readable trace"):
        Trace.load(outputs / "bad" / "figures" / "trace.npz")


def bomb(levels: int) -> str:
    """YAML in which each list holds the one before ten times."""
    lines = ["l0: &l0 [x]", *(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, levels))]
    return "\n".join(lines)


TEXTS = {
    "deep JSON": ('{"state": ' + "[" * 100_000, read_json),
    "deep JSON, closed": ('{"state": ' + "[" * 5_000 + "]" * 5_000 + "}", read_json),
    "many values": ("[" + "0," * 400_000 + "0]", read_json),
    "large": (" " * 21_000_000, read_json),
    "deep YAML": ("a: " + "[" * 900 + "]" * 900, read_yaml),
    "very deep YAML": ("[" * 200_000, read_yaml),
    "aliases of aliases": (bomb(12), read_yaml),
    "not text": ("\x00\x01", read_yaml),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_beyond_all_bounds_is_refused(kind, tmp_path):
    content, reader = TEXTS[kind]
    (tmp_path / "file").write_text(content)
    with pytest.raises(Exception, match=r".") as refusal:
        reader(tmp_path / "file")
    assert type(refusal.value).__name__ not in ("RecursionError", "MemoryError")


@pytest.mark.parametrize("name", ["config.yaml", "status.json", "metrics.json", "data.json"])
def test_such_a_text_is_a_problem_of_its_run(name, outputs, tmp_path):
    content = bomb(12) if name.endswith("yaml") else TEXTS["deep JSON"][0]
    (outputs / "bad" / name).write_text(content)
    run = read(outputs / "bad", "bad")
    assert any(problem.startswith(f"{name} can't be read") for problem in run.problems)
    assert report.main([str(outputs), "--out", "page.html"]) == 0
    assert f"{name} can&#39;t be read" in (tmp_path / "page.html").read_text()
    assert status.read(outputs / "bad") == {} or name != "status.json"


def test_a_pipe_in_a_folder_keeps_no_command_waiting(outputs):
    for name in ("status.json", "config.yaml", "val_terms.npz", "metrics.json"):
        (outputs / "bad" / name).unlink()
        os.mkfifo(outputs / "bad" / name)
    with pytest.raises(ValueError, match="it is no file"):
        read_text(outputs / "bad" / "status.json")
    assert len(read(outputs / "bad", "bad").problems) >= 4


def test_texts_control_no_terminal(tmp_path):
    (tmp_path / "status.json").write_text(json.dumps({"reason": "a\u001b[2Jb\u202ec\nd"}))
    assert status.read(tmp_path) == {"reason": "a\ufffd[2Jb\ufffdc\nd"}
