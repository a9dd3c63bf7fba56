"""What the tests share: small images, and a configuration composed as the command line would."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from src.config.options import CONF
from src.data.sources import Images, Split
from tests.helpers.images import blobs
from tests.helpers.runs import train_run


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers with two threads each would fight for two cores, and a copy of a process that has computed with
    several waits for them in vain. Lightning's strategies set the number anew unless it is in the environment."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests have in place of the user's cache folder."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def nothing_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user_cache: Path) -> None:
    """No test reaches for an account or the network, writes outside its folder, or leaves its environment behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # another test's file of that name
    monkeypatch.setenv("XDG_CACHE_HOME", str(user_cache))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(user_cache / "wandb"))


@pytest.fixture
def float64() -> Iterator[None]:
    """Everything new is in float64, and random numbers are the same each time."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def composed() -> Callable[..., DictConfig]:
    """composed("beta=4", ...): conf/train.yaml with these options."""

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
    """Options of a run of a second: 410 small images from a file, two epochs, no W&B, nobody watching."""
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    arrays = {
        k: np.concatenate([getattr(s, k) for s in (images.train, images.val, images.test)]) for k in Split._fields
    }
    np.savez(path, **arrays)
    options = ["data=npz", f"data.path={path}", "data.batch_size=32", "trainer.max_epochs=2", "trainer.accelerator=cpu"]
    return [*options, "latent_dim=3", "logger=csv", "callbacks=none"]


@pytest.fixture
def run(small: list[str], tmp_path: Path) -> Callable[..., Path]:
    """run("beta=4", ...): trains with the options of `small` and these; the run's folder."""

    def train_one(*overrides: str, folder: str = "run") -> Path:
        # the later of two choices of one group
        options = list({word.partition("=")[0]: word for word in [*small, *overrides]}.values())
        return train_run(options, tmp_path / folder)

    return train_one


@pytest.fixture
def resume() -> Callable[..., Path]:
    """resume(folder, "trainer.max_epochs=4"): goes on with a run, which knows its other options."""

    def resume_one(folder: Path, *overrides: str) -> Path:
        return train_run([f"ckpt_path={folder}/checkpoints/last.ckpt"], folder, overrides)

    return resume_one


@pytest.fixture(scope="session")
def finished(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that is trained already; nobody may change it but by src.apply."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return train_run([*small, "data.batch_size=16", "trainer.max_epochs=10"], folder)


@pytest.fixture
def applied() -> Callable[..., tuple[dict, Path]]:
    """applied(run, "task=sample", "task.count=4"): does a task; its numbers and the folder of its results."""

    def apply_one(run: Path, task: str, *overrides: str) -> tuple[dict, Path]:
        from src.apply import apply

        with hydra.initialize_config_dir(CONF, version_base="1.3"):
            numbers = apply(hydra.compose("apply", [f"run={run}", task, *overrides]))
        return numbers, (run / "tasks" / task.removeprefix("task=") / "latest").resolve()

    return apply_one
