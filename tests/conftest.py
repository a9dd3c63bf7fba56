"""Fixtures of all tests: small images, configurations composed as on the command line, and trained runs."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, settings
from omegaconf import DictConfig

from src import train
from src.config.options import CONF
from src.data.sources import Images, Split
from tests.helpers.images import blobs
from tests.helpers.project import ROOT
from tests.helpers.runs import train_run

# The same examples each time; `--hypothesis-profile=long` of `make faults` tries more of them.
for profile, examples in {"short": 25, "long": 300}.items():
    settings.register_profile(
        profile,
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
settings.load_profile("short")

HOLDER = """
import os, sys
from pathlib import Path
from src.support.locks import lock
with lock(Path(sys.argv[1]), "held"):
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute with a single thread.

    Two workers with two threads each would compete for two cores, and a forked process waits forever for the threads
    that its parent has computed with. Lightning's strategies set the number again unless it is in the environment.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that replaces the user's cache folder."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def nothing_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user_cache: Path) -> Iterator[None]:
    """Keep a test from accounts, the network, folders that are not its own, and lasting changes of the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # another test may have imported a file of that name
    monkeypatch.setenv("XDG_CACHE_HOME", str(user_cache))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(user_cache / "wandb"))
    monkeypatch.setenv("TRACKIO_DIR", str(user_cache / "trackio"))  # one folder in the life of a process
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():  # Lightning leaves MASTER_ADDR, by which a cluster is recognised
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def float64() -> Iterator[None]:
    """Create tensors in float64, with the same random numbers in every test."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def composed() -> Callable[..., DictConfig]:
    """composed("beta=4", ...) is conf/train.yaml with these overrides."""

    def compose(*overrides: str) -> DictConfig:
        with hydra.initialize_config_dir(CONF, version_base="1.3"):
            return hydra.compose("train", list(overrides))

    return compose


@pytest.fixture(scope="session")
def images() -> Images:
    """300 training, 60 validation and 50 test images of four classes."""
    return Images("blobs", "made here", tuple("abcd"), blobs(300, 0), blobs(60, 1), blobs(50, 2))


@pytest.fixture(scope="session")
def small(images: Images, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The overrides of a run that takes a second: 410 small images from a file, two epochs, no W&B, no callbacks."""
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    arrays = {
        k: np.concatenate([getattr(s, k) for s in (images.train, images.val, images.test)]) for k in Split._fields
    }
    np.savez(path, **arrays)
    options = ["data=npz", f"data.path={path}", "data.batch_size=32", "trainer.max_epochs=2", "trainer.accelerator=cpu"]
    return [*options, "latent_dim=3", "logger=csv", "callbacks=none"]


@pytest.fixture
def run(small: list[str], tmp_path: Path) -> Callable[..., Path]:
    """run("beta=4", ...) trains with the overrides of `small` and these, and returns the run's folder."""

    def train_one(*overrides: str, folder: str = "run") -> Path:
        # of two values of one option the later counts
        options = list({each.partition("=")[0]: each for each in [*small, *overrides]}.values())
        return train_run(options, tmp_path / folder)

    return train_one


@pytest.fixture
def resume() -> Callable[..., Path]:
    """resume(folder, "trainer.max_epochs=4") resumes a run with its own options and these, and returns its folder."""

    def resume_one(folder: Path, *overrides: str) -> Path:
        return train_run([f"ckpt_path={folder}/checkpoints/last.ckpt"], folder, overrides)

    return resume_one


@pytest.fixture(scope="session")
def finished(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained run that all tests share: they may apply tasks to it, and change nothing else."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return train_run([*small, "data.batch_size=16", "trainer.max_epochs=10"], folder)


@pytest.fixture
def applied() -> Callable[..., tuple[dict, Path]]:
    """applied(run, "task=sample", "task.count=4") applies a task, and returns its numbers and the folder of results."""

    def apply_one(run: Path, task: str, *overrides: str) -> tuple[dict, Path]:
        from src.apply import apply

        with hydra.initialize_config_dir(CONF, version_base="1.3"):
            numbers = apply(hydra.compose("apply", [f"run={run}", task, *overrides]))
        return numbers, (run / "tasks" / task.removeprefix("task=") / "latest").resolve()

    return apply_one


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
def holder() -> Iterator[Callable[[Path], subprocess.Popen]]:
    """holder(path): a process that holds the lock of a file, until its standard input is closed."""
    processes = []

    def hold(path: Path) -> subprocess.Popen:
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        command, pipe = [sys.executable, "-c", HOLDER, str(path)], subprocess.PIPE
        processes.append(subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True))
        assert int(processes[-1].stdout.readline()) == processes[-1].pid
        return processes[-1]

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


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
