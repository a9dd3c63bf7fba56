"""Training and tasks from Python."""

import logging
import signal
import sys
from pathlib import Path

import pytest
import torch

from src import api
from src.support.errors import UserError
from tests.helpers.runs import identical, weights


def test_a_run_from_python_is_that_of_the_command_line(small, run, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    folder = api.train(*small, "run_name=first", "resume=auto")
    assert (folder, Path.cwd()) == (tmp_path / "outputs" / "runs" / "first", tmp_path)
    assert sys.argv == ["ipykernel_launcher.py", "-f", "kernel.json"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert identical(weights(folder), weights(run()))
    written = (folder / "metrics.json").stat().st_mtime_ns
    assert api.train(*small, "run_name=first", "resume=auto") == folder  # finished: nothing is trained
    assert (folder / "metrics.json").stat().st_mtime_ns == written
    longer = api.train(f"ckpt_path={folder}/checkpoints/last.ckpt", "trainer.max_epochs=3")
    assert longer == folder
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2  # the third


def test_a_task_from_python_returns_its_numbers_and_prints_what_the_command_does(finished, monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a notebook; pytest has handlers of its own
    numbers = api.apply(finished, "task=traverse", "task.steps=3", "name=from_python")
    assert numbers
    assert "traverse of mlp d=3" in capsys.readouterr().out
    assert not logging.getLogger("src").handlers
    assert (finished / "tasks" / "traverse" / "from_python" / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["latentdim=2"], "there is no option latentdim; did you mean latent_dim?"),
        (["latent_dim=0"], "latent_dim must be at least 1, got 0"),
        (["prior=vampire"], "prior=vampire: there is no such choice"),
        (["-m", "beta=1,4"], "-m is a flag of the command line: use python -m src.train"),
        (["beta=1,4"], "beta=1,4 has several values"),
        (["ckpt_path=nowhere.ckpt"], "ckpt_path=nowhere.ckpt: no such file"),
    ],
)
def test_a_mistake_is_a_user_error_and_leaves_nothing(options, message, tmp_path):
    with pytest.raises(UserError) as error:
        api.train(*options)
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())
