"""The command line: sweeps in this process, help, and what it answers to mistakes."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from src import train
from src.training.checkpoints import WholeOrNothing
from tests.helpers.in_process import make_command, replace_sources
from tests.helpers.project import ROOT

SMALL = [
    "model.encoder.hidden=[8]",
    "trainer.max_epochs=1",
    "+trainer.limit_train_batches=1",
    "trainer.accelerator=cpu",
]


@pytest.fixture
def command(monkeypatch, tmp_path, images):
    """command("model=conv", ...): python -m src.train in this process, in an empty folder, on small images."""
    (tmp_path / "my.npz").touch()
    replace_sources(monkeypatch, images)
    return make_command(monkeypatch, train)


def test_multirun_leaves_separate_runs_in_one_group(command, tmp_path):
    command("-m", "beta=1,4", "optimizer.lr=1e-3,2e-3", *SMALL)
    folders = sorted(tmp_path.glob("outputs/sweeps/*/*/metrics.json"))
    assert [path.parent.name for path in folders] == ["0", "1", "2", "3"]
    wandb = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json"]
    found = {}
    for path in tmp_path.glob("outputs/wandb/offline-run-*/*.wandb"):
        lines = subprocess.run([*wandb, str(path)], capture_output=True, text=True, check=True).stdout.splitlines()
        record = next(json.loads(line)["run"] for line in lines if '"type":"run"' in line)
        for line in lines:
            if '"type":"artifact"' in line:
                contents = json.loads(line)["artifact"]["manifest"]["contents"]
                tables = {each["path"]: each["local_path"] for each in contents}
        found[record["display_name"]] = record
    sweep = folders[0].parent.parent
    options = [f"beta={beta} optimizer.lr={rate}" for beta in (1, 4) for rate in (1e-3, 2e-3)]
    assert set(found) == {*options, f"{sweep.name}: all runs"}
    assert {record["run_group"] for record in found.values()} == {sweep.name}
    assert found[options[2]]["config"]["update"]["sweep"] == {"beta": 4, "optimizer.lr": 1e-3}

    table = json.loads(Path(tables["runs.table.json"]).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    rows.sort(key=lambda row: row["run"])
    assert [(row["beta"], row["optimizer.lr"]) for row in rows] == [(1, 1e-3), (1, 2e-3), (4, 1e-3), (4, 2e-3)]
    assert [row["val/elbo"] for row in rows] == [json.loads(path.read_text())["val/elbo"] for path in folders]
    assert all(row["samples"]["_type"] == "image-file" for row in rows)
    assert "4 runs, read on" in (sweep / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["latent_dim=0"], "latent_dim must be at least 1, got 0"),
        (["beta=-1"], "beta must be a finite number, 0 or more, got -1"),
        (["beta=much"], "beta must be a number, got much"),
        (
            ["model=transformer"],
            "model=transformer: there is no such choice; model has conv, gated_mlp, ladder, mlp, resnet",
        ),
        (["latentdim=2"], "there is no option latentdim; did you mean latent_dim?"),
        (
            ["model.encoder.norm=2"],
            "there is no option model.encoder.norm; model.encoder has activation, hidden",
        ),
        (["objective=iwae", "beta=4"], "beta=4: objective=iwae has no beta"),
        (["experiment=capacity", "beta=2"], "beta=2: objective=capacity has no beta"),
        (["-m", "objective=elbo,iwae", "beta=1,4"], "beta=4: objective=iwae has no beta"),
        (["-m", "experiment=vae,capacity", "beta=4"], "beta=4: objective=capacity has no beta"),
        (["-m", "beta=1,-1"], "beta must be a finite number"),
        (["-m", "latent_dim=range(0,3)"], "latent_dim must be at least 1"),
        (["-m", "ckpt_path=a.ckpt,b.ckpt"], "ckpt_path resumes one run: leave -m out"),
        (["ckpt_path=nowhere.ckpt"], "ckpt_path=nowhere.ckpt: no such file"),
        (["ckpt_path=my.npz"], "ckpt_path=my.npz is not in a run's folder"),
    ],
)
def test_mistakes_are_answered_before_anything_is_made(command, tmp_path, options, message):
    with pytest.raises(SystemExit) as stop:
        command(*options)
    said = stop.value.code
    assert message in said
    assert "\n" not in said
    assert not (tmp_path / "outputs").exists()


def test_a_missing_path_is_one_line(command):
    with pytest.raises(SystemExit) as stop:
        command("data=npz")
    assert "data.path must be given: data.path=..." in stop.value.code
    assert "\n" not in stop.value.code


def test_an_error_of_a_part_is_one_line(command):
    with pytest.raises(SystemExit) as stop:
        command("data.binarize=none", *SMALL)
    assert "Bernoulli is a distribution over binary images" in stop.value.code
    assert "\n" not in stop.value.code


def test_a_full_disk_is_one_line(command, monkeypatch):
    def run_out(self, checkpoint, path, storage_options=None):
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(WholeOrNothing, "save_checkpoint", run_out)
    with pytest.raises(SystemExit) as stop:
        command(*SMALL)
    assert "No space left on device" in stop.value.code
    assert "\n" not in stop.value.code


def test_a_failed_job_does_not_stop_a_sweep(command, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        command("-m", "data.shape=[1,14,14],[1,28,28]", *SMALL)
    assert stop.value.code == 1
    assert [path.parent.name for path in tmp_path.glob("outputs/sweeps/*/*/metrics.json")] == ["1"]
    assert "Traceback" not in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(tmp_path, small):
    """In a process of its own, as a terminal would."""
    log, env = tmp_path / "log", os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "src.train", *small, "trainer.max_epochs=100000", "callbacks=none"]
    # a shell's background job ignores Ctrl-C, and so would its children
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, cwd=tmp_path, env=env, stdout=file, stderr=subprocess.STDOUT, preexec_fn=heed
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 120
            while not (last := list(tmp_path.glob("outputs/runs/*/checkpoints/last.ckpt"))):
                assert time.monotonic() < deadline, log.read_text()
                assert process.poll() is None, log.read_text()
                time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == -signal.SIGINT
        finally:
            process.kill()
    assert "Traceback" not in log.read_text()
    assert f"python -m src.train ckpt_path={last[0].relative_to(tmp_path)}" in log.read_text()
    assert torch.load(last[0], weights_only=True)["epoch"] >= 0
