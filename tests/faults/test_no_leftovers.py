"""A run that is refused or stopped before its first checkpoint leaves nothing, and no other run's files are touched."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from src.support import files
from src.training.module import VAEModule
from tests.helpers.commands import contents, start, wait_until

WANDB = ["logger=wandb", "callbacks=default"]


def out_of_memory(*_):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["data.white=9"], "above data.white=9"),
        (["optimizer.lr=0.1", "optimizer.betas=[2,2]"], "optimizer"),
        (["data.exclude_labels=[nowhere]"], "nowhere"),
        (["+trainer.limit_train_batches=0"], ""),
        (["model.encoder._target_=nowhere.Net"], "nowhere"),
    ],
    ids=str,
)
def test_a_refused_run_leaves_nothing(command, small, tmp_path, options, message):
    code, said = command(*small, *options)
    assert code == 1
    assert message in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_a_run_that_fails_in_its_first_step_leaves_nothing(command, small, tmp_path, monkeypatch):
    """All has been made by then: the folder with figures and the numbers of the untrained model, and W&B's."""
    monkeypatch.setattr(VAEModule, "training_step", out_of_memory)
    options = [option for option in small if not option.startswith(("logger", "callbacks"))]
    code, said = command(*options, *WANDB)
    assert code == 1
    assert "not enough memory" in said
    assert not list(tmp_path.iterdir())
    others = [Path("outputs/wandb/offline-run-20200101_000000-mine/run-mine.wandb"), Path("outputs/runs/other/notes")]
    for path in others:
        path.parent.mkdir(parents=True)
        path.touch()
    assert command(*options, *WANDB)[0] == 1
    assert sorted(contents(tmp_path)) == sorted(map(str, others))


def test_files_that_were_there_before_stay(command, small, monkeypatch):
    monkeypatch.setattr(VAEModule, "training_step", out_of_memory)
    folder = Path("folder")
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "mine.png").touch()
    assert command(*small, "hydra.run.dir=folder", "callbacks=default")[0] == 1
    assert contents(folder) == {"figures/mine.png": b""}


def test_a_folder_that_can_not_be_made_is_one_line(command, small, tmp_path, monkeypatch):
    plain = Path.mkdir

    def fail(path, *arguments, **named):
        if path.name == ".hydra":
            raise OSError(28, "No space left on device", str(path))
        plain(path, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", fail)
        code, said = command(*small, "run_name=mine")
    assert code == 1
    assert said.strip().endswith("No space left on device: " + str(tmp_path / "outputs/runs/mine/.hydra"))
    assert not list(tmp_path.iterdir())


def test_results_of_a_task_that_was_killed_are_removed_by_the_next(finished, applied, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(finished), str(run)], check=True)
    gone = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout.strip()
    killed, living = (run / "tasks" / "traverse" / f".{pid}.2020" for pid in (gone, os.getpid()))
    for folder in (killed, living):
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text("{")
    applied(run, "task=interpolate")
    assert not killed.exists()
    assert living.exists()
    assert files.PARTIAL.match(living.name)


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_nothing_partial_once_it_goes_on(command, small, tmp_path):
    options = [*small, "run_name=mine", "resume=auto", "trainer.max_epochs=6"]
    run = Path("outputs/runs/mine")
    with start("train", *options, "callbacks=default", folder=tmp_path) as process:
        wait_until((run / "checkpoints" / "last.ckpt").is_file, process, tmp_path / "log")
        process.send_signal(signal.SIGKILL)
    (run / f".{process.pid}.metrics.json").write_text("{")
    assert command(*options)[0] == 0
    assert not [path for path in run.rglob(".*") if files.PARTIAL.match(path.name) or path.name == ".lock"]
    assert json.loads((run / "metrics.json").read_text())["epoch"] >= 1
