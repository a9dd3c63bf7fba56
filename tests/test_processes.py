"""Several processes train what one process would with the same number of images a step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.test_module import weights

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(run, small, tmp_path):
    one = run("data.batch_size=64")
    options = [*(o for o in small if not o.startswith(("logger", "data.batch_size"))), "data.batch_size=32"]
    options += ["trainer.devices=2", "+trainer.strategy=ddp", f"logger.wandb.dir={tmp_path}", "hydra.run.dir=two"]
    command = [sys.executable, "-m", "src.train", *options]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (one, tmp_path / "two")]
    for name in ("images_seen", "epoch", "val/elbo", "test/kl"):
        assert metrics[0][name] == pytest.approx(metrics[1][name], rel=1e-5), name
    for name, weight in weights(one).items():
        np.testing.assert_allclose(weight, weights(tmp_path / "two")[name], atol=1e-4)
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 1
