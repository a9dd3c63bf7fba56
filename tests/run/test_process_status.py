"""What the status of a run says of its process, and of how it ended."""

import os
import subprocess

import pytest

from src.run import status
from src.support.locks import is_alive


def test_the_status_of_a_process_that_is_gone(tmp_path):
    assert status.read(tmp_path) == {}
    gone = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout
    with status.record_status(tmp_path, []):
        told = status.read(tmp_path)
        assert told["state"] == "running"
        status.write(tmp_path, told | {"pid": int(gone)})
        assert status.read(tmp_path)["state"] == "killed"
        status.write(tmp_path, told | {"pid": int(gone), "host": "another"})
        assert status.read(tmp_path)["state"] == "running"
    assert status.read(tmp_path)["state"] == "finished"


def test_a_zombie_is_not_alive():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(pid)
    os.waitpid(pid, 0)
    assert not is_alive(pid)
    assert is_alive(os.getpid())


def test_a_training_that_makes_it_worse_has_diverged(run):
    folder = run("+optimizer.maximize=true", "optimizer.lr=1e-4")
    told = status.read(folder)
    assert told["state"] == "diverged"
    assert "is above the untrained model's" in told["reason"]
    assert (folder / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("validation", "training", "is_overfitted", "has_diverged"),
    [
        ((10, 5, 12), (10, 4, 1), True, False),
        ((10, 5, 12), (10, 4, 11), False, True),
        ((10, 11, 12), (10, 4, 1), False, False),  # never better, on other images than those of the training
        ((10, 5, 9), (10, 4, 1), False, False),  # still better than untrained
    ],
)
def test_a_training_that_lowers_its_own_loss_has_not_diverged(validation, training, is_overfitted, has_diverged):
    losses = zip(validation, training, strict=True)
    rows = [{"epoch": i, "val/loss": float(v), "train/loss": float(t)} for i, (v, t) in enumerate(losses)]
    assert (status.overfitting(rows) is not None) == is_overfitted
    assert (status.divergence(rows) is not None) == has_diverged
    told = "it has overfitted, the validation loss rose from 5.00 at epoch 1 to 12.00"
    assert any(line.startswith(told) for line in status.warnings(rows, {})) == is_overfitted
