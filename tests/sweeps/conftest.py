"""Sweeps that the tests start."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest
from hydra.core.global_hydra import GlobalHydra

from src import train
from tests.helpers.project import ROOT


@pytest.fixture
def sweep(small, monkeypatch) -> Callable[..., int]:
    """sweep("beta=1,4", ...): python -m src.train -m in this process, its jobs in copies of it; the exit code."""

    def start(*words: str) -> int:
        GlobalHydra.instance().clear()
        names = {word.partition("=")[0] for word in words}
        options = [word for word in small if word.partition("=")[0] not in names]
        monkeypatch.setattr(sys, "argv", ["train.py", "-m", *options, *words])
        try:
            train.main()
        except SystemExit as stop:
            return stop.code
        return 0

    return start


@pytest.fixture
def background(small, tmp_path):
    """background("beta=1,4", ...): the same in a process of its own, with what it says in the file `log`."""
    started = []

    def start(*words: str) -> subprocess.Popen:
        names = {word.partition("=")[0] for word in words}
        options = [word for word in small if word.partition("=")[0] not in names]
        env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "src.train", "-m", *options, *words]
        # a shell's background job ignores Ctrl-C, and so would its children
        heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
        with (tmp_path / "log").open("w") as log:
            started.append(subprocess.Popen(command, env=env, stdout=log, stderr=log, preexec_fn=heed))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
