"""What a run leaves that ended before its first checkpoint, and its removal."""

import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from src.run import databases, status
from src.run.status import State
from src.support.folders import RunFolder


def names(folder: Path) -> set[str]:
    """The names of what a run's folder holds, and of what the folders in it hold that every run has."""
    run = RunFolder(folder)
    inner = [path for each in (run.hydra, run.checkpoints, run.figures) if each.is_dir() for path in each.iterdir()]
    return {str(path.relative_to(folder)) for path in [*folder.iterdir(), *inner]}


def leaves_nothing(folder: Path) -> bool:
    """Whether a run has ended without a checkpoint or a result."""
    run = RunFolder(folder)
    is_result = run.metrics.is_file() or status.read(folder).get("state") == State.DIVERGED
    return not run.has_checkpoints and not is_result


def remove_entries(folder: Path, entries: set[str], config: DictConfig) -> None:
    """Remove files and folders of a run, its status last, since it says that they are a run's; and what its loggers
    have of it elsewhere."""
    run = RunFolder(folder)
    forget(run, config)
    paths = sorted((folder / name for name in entries), key=lambda path: path == run.status)
    for path in paths:
        if path == run.lock:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def forget(run: RunFolder, config: DictConfig) -> None:
    """Remove what W&B, MLflow and Trackio have of a run on this machine; a database that can't be used is left."""
    if wandb := wandb_folder(config):
        remove_wandb_folder(run, wandb)
    for name, file, forget_run in (
        ("mlflow", run.mlflow_id, databases.forget_mlflow),
        ("trackio", run.trackio_id, databases.forget_trackio),
    ):
        node = OmegaConf.select(config, f"logger.{name}")
        if node is not None and file.is_file():
            with suppress(OSError, ValueError, sqlite3.Error):
                run_id = file.read_text().partition("\n")[0].strip()
                forget_run(databases.path_of(name, node), run_id)


def wandb_folder(config: DictConfig) -> Path | None:
    """The folder in which W&B makes the folders of runs; None without W&B."""
    folder = OmegaConf.select(config, "logger.wandb.dir")
    return None if folder is None else Path(folder) / "wandb"


def remove_wandb_folder(run: RunFolder, wandb: Path) -> None:
    """Remove the folder of a run in W&B's folder, and the links that pointed to it."""
    with suppress(OSError, ValueError):
        number = run.wandb_id.read_text().strip()
        for path in wandb.glob(f"*run-*-{number}") if number.isalnum() else ():
            shutil.rmtree(path, ignore_errors=True)
        for path in wandb.iterdir():
            if path.is_symlink() and not path.exists():
                path.unlink()
