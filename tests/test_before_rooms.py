"""A run and a half-done sweep that an earlier version left are opened, evaluated, resumed, reported and continued."""

import csv
import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra

from src import build, report, train
from src.run import epochs, status
from src.run.trace import Trace
from tests.helpers.project import ROOT
from tests.helpers.sweeps import modification_times

OLD = ROOT / "tests" / "fixtures" / "before_rooms"
RUN, SWEEP = Path("outputs/runs/old"), Path("outputs/sweeps/old")
OPTIONS = [  # of the sweep, as in the command that began it
    *("data=npz", "data.path=blobs.npz", "data.shape=[1,8,8]", "data.batch_size=8", "optimizer.lr=0.02"),
    *("trainer.accelerator=cpu", "model.encoder.hidden=[8]", "model.decoder.hidden=[8]", "trainer.max_epochs=4"),
    *("callbacks=none", "logger=csv"),
    *("model.start=zero", "data.lr=3e-3"),  # the defaults of then
]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path) -> None:
    """The working directory holds what the earlier version left."""
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)


def start_sweep(monkeypatch: pytest.MonkeyPatch, *grid: str) -> None:
    """Runs the sweep's command with these options and expects every job to finish."""
    GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", *OPTIONS, *grid, "sweep_name=old"])
    train.main()


def test_the_fixtures_name_the_modules_of_that_time():
    config = (RUN / "config.yaml").read_text()
    assert "_target_: src.objectives.BetaTC" in config
    assert "_target_: src.tracking.wandb_logger" in config


def test_a_run_is_opened_and_evaluated_with_the_same_numbers(applied):
    before = json.loads((RUN / "metrics.json").read_text())
    assert build.open_run(RUN).epoch == before["epoch"]
    options = ["task=evaluate", "task.samples=8", "task.tight_images=0", "task.sample_quality=false", "device=cpu"]
    numbers, folder = applied(RUN, *options)
    assert numbers["recon"] == pytest.approx(before["test/recon"], rel=1e-5)
    assert numbers["elbo"] == pytest.approx(-24.723255172371864, rel=1e-5)  # what the earlier version's task gave
    assert (folder / "metrics.json").is_file()


def test_a_run_is_resumed_for_one_more_epoch(resume):
    before = epochs.read(RUN).rows
    resume(RUN, "trainer.max_epochs=5")
    rows = epochs.read(RUN).rows
    assert rows[: len(before)] == before
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert list(Trace.load(RUN / "figures" / "trace.npz").epochs["epoch"]) == [0, 1, 2, 3, 4, 5]
    assert status.read(RUN)["state"] == "finished"
    config = yaml.safe_load((RUN / "config.yaml").read_text())
    assert config["objective"]["_target_"] == "src.training.objectives.BetaTC"


def test_all_runs_are_reported(tmp_path):
    assert report.main(["outputs", "--csv", "runs.csv"]) == 0
    with (tmp_path / "runs.csv").open(newline="") as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    states = [rows[name]["status"] for name in ("sweeps/old/0", "sweeps/old/1", "sweeps/old/2", "sweeps/old/3")]
    assert states == ["finished", "finished", "interrupted", "waiting"]
    assert rows["runs/old"]["status"] == "finished"


def test_a_sweep_goes_on_where_it_was_stopped(monkeypatch, capsys):
    finished = modification_times(SWEEP / "0") | modification_times(SWEEP / "1")
    half = epochs.read(SWEEP / "2").rows
    assert [row["epoch"] for row in half] == [0, 1, 2]
    start_sweep(monkeypatch, "beta=1,4", "latent_dim=2,3")
    assert modification_times(SWEEP / "0") | modification_times(SWEEP / "1") == finished
    resumed = epochs.read(SWEEP / "2").rows
    assert resumed[:3] == half
    assert [row["epoch"] for row in resumed] == [0, 1, 2, 3, 4]
    assert {path.name for path in SWEEP.iterdir() if path.name.isdigit()} == {"0", "1", "2", "3"}
    configs = [yaml.safe_load((SWEEP / f"{i}" / "config.yaml").read_text()) for i in range(4)]
    assert [(cfg["beta"], cfg["latent_dim"]) for cfg in configs] == [(1, 2), (1, 3), (4, 2), (4, 3)]
    said = capsys.readouterr().out
    assert "sweep_name=old: 4 jobs, 2 of them done before" in said
    assert "4 of 4 jobs finished" in said


def test_a_larger_grid_keeps_the_numbers_of_the_jobs_of_the_old_one(monkeypatch):
    finished = modification_times(SWEEP / "0") | modification_times(SWEEP / "1")
    start_sweep(monkeypatch, "beta=4,2,1", "latent_dim=3,2")
    assert modification_times(SWEEP / "0") | modification_times(SWEEP / "1") == finished
    jobs = json.loads((SWEEP / "jobs.json").read_text()).values()
    numbers = {tuple(job["options"]): job["number"] for job in jobs}
    assert numbers == {
        ("beta=1", "latent_dim=2"): 0,
        ("beta=1", "latent_dim=3"): 1,
        ("beta=4", "latent_dim=2"): 2,
        ("beta=4", "latent_dim=3"): 3,
        ("beta=2", "latent_dim=3"): 4,
        ("beta=2", "latent_dim=2"): 5,
    }
