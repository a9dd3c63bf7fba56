"""Several processes train what one process would with the same number of images a step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.run import epochs, status
from src.run.trace import Trace
from tests.helpers.project import ROOT
from tests.helpers.runs import weights


@pytest.fixture
def shared(small, tmp_path):
    """shared("beta=4", ...): python -m src.train in two processes, with their pictures and W&B; the run's folder."""

    def train(*overrides: str) -> Path:
        own = ("logger", "callbacks", "data.batch_size")
        options = [*(word for word in small if not word.startswith(own)), "trainer=ddp", "trainer.devices=2"]
        options += ["data.batch_size=32", f"logger.wandb.dir={tmp_path}", "hydra.run.dir=two", *overrides]
        env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "src.train", *options]
        result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        assert "Traceback" not in result.stderr
        return tmp_path / "two"

    return train


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(run, shared, tmp_path):
    one, two = run("data.batch_size=64"), shared()
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (one, two)]
    for name in ("images_seen", "epoch", "val/elbo", "test/kl"):
        assert metrics[0][name] == pytest.approx(metrics[1][name], rel=1e-5), name
    for split in ("val", "test"):
        with np.load(one / f"{split}_terms.npz") as ours, np.load(two / f"{split}_terms.npz") as theirs:
            for name in ours:
                np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-3)
    for name, weight in weights(one).items():
        np.testing.assert_allclose(weight, weights(two)[name], atol=1e-4)
    assert [row["epoch"] for row in epochs.read(two).rows] == [0, 1, 2]
    assert status.read(two)["state"] == "finished"
    # written by one process, and nothing half-written is left
    assert {path.name for path in (two / "figures").iterdir()} >= {"loss.png", "samples.gif", "latent.gif", "trace.npz"}
    assert not [path for path in two.rglob(".*") if path.name not in (".hydra", ".wandb_id")]
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 1


@pytest.mark.slow
def test_two_processes_go_on_where_they_stopped(shared):
    shared("trainer.max_epochs=1")
    resumed = shared("trainer.max_epochs=2", "ckpt_path=two/checkpoints/last.ckpt")
    assert [row["epoch"] for row in epochs.read(resumed).rows] == [0, 1, 2]
    assert list(Trace.load(resumed / "figures" / "trace.npz").epochs["epoch"]) == [0, 1, 2]
