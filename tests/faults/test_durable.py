"""What a resume or a sweep depends on is on the disk before it replaces its predecessor."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from src import search
from src.run import jobs_file, record, status
from src.run.epoch_table import EpochTable
from src.support.files import atomic_path
from src.training.checkpoints import WholeOrNothing

WRITERS: dict[str, Callable[[Path], object]] = {
    "last.ckpt": lambda folder: WholeOrNothing().save_checkpoint({"epoch": 1}, folder / "last.ckpt"),
    "jobs.json": lambda folder: jobs_file.write_jobs(folder, {"a": jobs_file.Entry(0, ["beta=1"], True)}),
    "status.json": lambda folder: status.write(folder, {"state": "running"}),
    "metrics.json": lambda folder: record.write_json(folder / "metrics.json", {"epoch": 1}),
    "metrics.csv": lambda folder: EpochTable(folder / "metrics.csv", [{"epoch": 0.0, "step": 0.0}]),
    "config.yaml": lambda folder: record.write(folder / "config.yaml", OmegaConf.to_yaml({"beta": 1})),
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The files that are synchronised, with their content complete, and replaced, in order."""
    seen: list[tuple[str, str]] = []
    synchronise, replace = os.fsync, os.replace

    def see_synchronise(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        assert path.is_dir() or path.stat().st_size
        seen.append(("fsync", path.name))
        synchronise(descriptor)

    def see_replace(source: Path, target: Path, **_: object) -> None:
        seen.extend([("from", Path(source).name), ("to", Path(target).name)])
        replace(source, target)

    monkeypatch.setattr(os, "fsync", see_synchronise)
    monkeypatch.setattr(os, "replace", see_replace)
    return seen


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_on_the_disk_before_it_is_replaced_and_its_folder_after(tmp_path, calls, name):
    WRITERS[name](tmp_path)
    partial = f".{os.getpid()}.{name}"
    assert calls == [("fsync", partial), ("from", partial), ("to", name), ("fsync", tmp_path.name)]


def test_the_plan_of_a_search_is_on_the_disk_before_it_is_replaced(tmp_path, calls, monkeypatch, small):
    monkeypatch.setattr(search, "train_trials", lambda *_: None)
    monkeypatch.setattr("src.reporting.conclude.conclude", lambda *_: None)
    search.search(["name=a", "trials=1", "beta=interval(1,2)", *small])
    place = calls.index(("to", "search.yaml"))
    partial = f".{os.getpid()}.search.yaml"
    assert calls[place - 2 : place + 2] == [
        ("fsync", partial),
        ("from", partial),
        ("to", "search.yaml"),
        ("fsync", "a"),
    ]


def test_figures_wait_for_no_disk(tmp_path, calls):
    with atomic_path(tmp_path / "loss.png") as partial:
        partial.write_bytes(b"x")
    assert [what for what, _ in calls] == ["from", "to"]


def test_a_disk_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    status.write(tmp_path, {"state": "running"})

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"Input/output error: '.*/status\.json'"):
        status.write(tmp_path, {"state": "finished"})
    assert status.read(tmp_path)["state"] == "running"
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
