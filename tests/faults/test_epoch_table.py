"""metrics.csv is replaced as a whole; where it is damaged, a run goes on with what it and the trace still hold."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from lightning.pytorch.loggers import CSVLogger

from src.reporting.runs import read as read_run
from src.run import epochs
from src.run.epoch_table import EpochTable
from tests.helpers.kills import kill_at
from tests.helpers.runs import rows, train_run

RECORDED = ["callbacks=default", "~callbacks.progress", "~callbacks.pictures", "callbacks.recorder.images=24"]
NOT_TRACED = {"seconds", "images_per_second", "train/elbo_se", "val/elbo_se"}  # the trace does not hold them


@pytest.fixture(scope="module")
def traced(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three epochs with a trace."""
    options = [word for word in small if not word.startswith(("callbacks", "trainer.max_epochs"))]
    return train_run([*options, *RECORDED, "trainer.max_epochs=3"], tmp_path_factory.mktemp("traced") / "run")


@pytest.fixture
def copy(traced: Path, tmp_path: Path) -> Path:
    """A copy of it, without the row of the test."""
    folder = shutil.copytree(traced, tmp_path / "copy")
    edit(folder, lambda content: b"".join(content.splitlines(True)[:-1]))
    return folder


def edit(folder: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the content of a run's metrics.csv."""
    path = folder / "metrics.csv"
    path.write_bytes(change(path.read_bytes()))


def without_column(content: bytes, name: str) -> bytes:
    """The table without one of its columns."""
    lines = [line.split(b",") for line in content.split(b"\r\n")]
    place = lines[0].index(name.encode())
    return b"\r\n".join(b",".join(cell for i, cell in enumerate(line) if i != place) for line in lines)


def repeated(content: bytes) -> bytes:
    """The table with its last row twice, and two rows exchanged."""
    head, zero, one, two, three = content.splitlines(True)
    return head + zero + two + one + three + three


DAMAGES = {
    "row cut short": lambda content: content[:-40],
    "last number cut short": lambda content: content[:-4],
    "NULs at the end": lambda content: content[:-300] + bytes(300),
    "garbage in the middle": lambda content: content[:900] + bytes(range(256)) + content[1156:],
    "no header": lambda content: content.partition(b"\n")[2],
    "empty": lambda content: b"",
    "header only": lambda content: content.partition(b"\n")[0] + b"\n",
    "rows gone": lambda content: b"".join(content.splitlines(True)[:-2]),
    "repeated and out of order": repeated,
    "text in a number": lambda content: content.replace(b"2.0,", b"two,"),
}


@pytest.mark.parametrize("damage", [*DAMAGES, "missing"])
def test_a_run_goes_on_whatever_is_damaged(copy, traced, resume, caplog, damage):
    if damage == "missing":
        (copy / "metrics.csv").unlink()
    else:
        edit(copy, DAMAGES[damage])
    resume(copy)
    assert [line for line in caplog.messages if "metrics.csv: " in line], caplog.messages
    for ours, whole in zip(rows(copy), rows(traced), strict=True):
        kept = {name for name in ours if ours[name]} - NOT_TRACED
        assert kept == {name for name in whole if whole[name]} - NOT_TRACED
        assert all(ours[name] == whole[name] for name in kept)
    before, after = (json.loads((each / "metrics.json").read_text()) for each in (traced, copy))
    unsure = NOT_TRACED | {"training_seconds"}
    assert {k: v for k, v in after.items() if k not in unsure} == {k: v for k, v in before.items() if k not in unsure}


def test_a_missing_step_is_computed(copy, traced, resume):
    edit(copy, lambda content: without_column(content, "step"))
    resume(copy)
    assert [row["step"] for row in rows(copy)] == [row["step"] for row in rows(traced)] == ["0", "10", "20", "30"]


def test_what_nothing_holds_is_absent_and_said(copy, traced, resume, caplog):
    (copy / "metrics.csv").unlink()
    shutil.rmtree(copy / "figures")
    resume(copy)
    assert "metrics.csv: the file is missing; the numbers of epochs 0, 1, 2, 3 are lost" in caplog.text
    assert rows(copy) == []
    metrics = json.loads((copy / "metrics.json").read_text())
    expected = json.loads((traced / "metrics.json").read_text())
    assert metrics["test/elbo"] == expected["test/elbo"]
    assert metrics["epoch"] == expected["epoch"]
    assert "train/elbo" not in metrics


@pytest.mark.parametrize("damage", ["row cut short", "no header"])
def test_the_report_shows_what_is_left_and_says_so(copy, traced, damage):
    edit(copy, DAMAGES[damage])
    damaged, whole = read_run(copy, "copy"), read_run(traced, "whole")
    assert [row["val/loss"] for row in damaged.epochs] == [row["val/loss"] for row in whole.epochs]
    assert "metrics.csv: " in damaged.explanation
    assert not whole.explanation


def test_the_rows_of_a_users_own_callback_stay(copy, resume, caplog):
    header = (copy / "metrics.csv").read_bytes().decode().split("\r\n")[0].split(",")
    line = ",".join({"epoch": "1", "step": "20", "lr": "0.5"}.get(name, "") for name in header)
    edit(copy, lambda content: content + line.encode() + b"\r\n")
    resume(copy)
    assert "0.5" in {row["lr"] for row in rows(copy)}
    assert not [line for line in caplog.messages if "metrics.csv: " in line]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_kill_at_any_replacement_leaves_whole_rows(traced, tmp_path, resume, count):
    """Of a resumed run that reopens the table too, whose first replacement keeps the rows."""
    folder = shutil.copytree(traced, tmp_path / "run")
    kill_at(lambda: resume(folder, "trainer.max_epochs=5"), "os.rename", "metrics.csv", count)
    table = epochs.read(folder)
    assert table.problem is None
    assert [row["epoch"] for row in table.rows] == list(range(max(4, 2 + count)))


def test_the_text_is_that_of_lightnings_logger(tmp_path):
    logged = [
        ({"epoch": 0.0, "val/loss": 1 / 3, "lr": 1e-05}, 0),
        ({"epoch": 1.0, "val/loss": float("nan"), "lr": 1e22, "seconds": 0.5, "a,b": 2.0}, 10),
        ({"test/loss": 5.0}, 10),
    ]
    theirs = CSVLogger(tmp_path, name="theirs", version="", flush_logs_every_n_steps=1)
    ours = EpochTable(tmp_path / "metrics.csv", [])
    for metrics, step in logged:
        for logger in (theirs, ours):
            logger.log_metrics(metrics, step)
            logger.save()
    assert (tmp_path / "metrics.csv").read_bytes() == (tmp_path / "theirs" / "metrics.csv").read_bytes()


def test_a_table_that_cannot_be_written_ends_the_run_and_keeps_its_rows(tmp_path, monkeypatch):
    table = EpochTable(tmp_path / "metrics.csv", [{"epoch": 0.0, "step": 0.0}])
    before = (tmp_path / "metrics.csv").read_bytes()

    def fill(path: Path, text: str, **_: object) -> None:
        path.write_bytes(text.encode()[:10])  # as much as there is space for
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fill)
    table.log_metrics({"epoch": 1.0}, 10)
    with pytest.raises(OSError, match="No space left"):
        table.save()
    table.finalize("failed")
    assert (tmp_path / "metrics.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]
