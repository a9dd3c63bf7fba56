"""Several processes that begin to use MLflow at the same time."""

import os
import subprocess
import sys

import pytest

from tests.helpers.project import ROOT

CLIENT = """
import sys
from pathlib import Path
from src.run.mlflow import find_experiment, make_client
sys.stdin.read(1)
find_experiment(make_client(Path(sys.argv[1]), None), "vae-lab", None)
"""


@pytest.mark.slow
def test_jobs_that_begin_at_the_same_time_make_one_database(tmp_path):
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CLIENT, str(tmp_path / "mlflow" / "mlflow.db")]
    processes = [subprocess.Popen(command, env=env, stdin=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        process.stdin.write(b"x")
        process.stdin.close()
    for process in processes:
        process.wait()
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
