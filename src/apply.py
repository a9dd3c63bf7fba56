"""Use a trained VAE: load a run -> do a task -> files in the run's folder.

python -m src.apply run=outputs/runs/RUN task=sample
"""

import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from src.config import memory, trust
from src.config.command_line import errors_in_one_line, prepare_arguments
from src.config.help import help_answer
from src.config.options import CONF, ApplyConfig, check_apply
from src.config.overrides import check_root, restore_working_folder
from src.run import console
from src.startup import as_user_errors, import_libraries, quieten
from src.support.errors import UserError, printable
from src.support.files import remove_partial_files
from src.support.folders import ResultsFolder, RunFolder
from src.support.signals import run_program, stop_on_signals

log = logging.getLogger(__name__)


def main() -> None:
    """Do a task as the command line says, and end the program with a line about what went wrong."""
    trust.command.set(["python", "-m", "src.apply", *sys.argv[1:]])
    with stop_on_signals(), errors_in_one_line(Path(CONF), "apply"):
        if text := help_answer("apply", sys.argv[1:]):
            print(text)
            return
        sys.argv[1:] = prepare_arguments(sys.argv[1:], Path(CONF), "apply")
        hydra_main()


@hydra.main(version_base="1.3", config_path=CONF, config_name="apply")
def hydra_main(cfg: DictConfig) -> None:
    """Do the task of a configuration."""
    try:
        check_root(cfg, ApplyConfig, "apply")
        restore_working_folder(HydraConfig.get())
        with as_user_errors(cfg.run, memory.remedy(cfg)):
            apply(cfg)
    except UserError as error:
        if HydraConfig.get().mode == RunMode.RUN:  # Hydra would print a line of its own before it
            sys.exit(str(error))
        log.error("run=%s %s", cfg.run, error)  # of several tasks that fail, Hydra reports only the first, at the end
        raise UserError(f"some tasks failed, the first of them: {error}") from error


def apply(cfg: DictConfig) -> dict[str, Any]:
    """Do a task on a run and return its numbers.

    Leaves metrics.json, task.yaml and what the task writes in RUN/tasks/TASK/NAME/, all of it or nothing. Raises
    UserError for anything that the user can correct.
    """
    import_libraries(with_wandb=False)
    import torch

    from src import build
    from src.run import loggers, record, status
    from src.support import noise
    from src.support.statistics import flatten

    quieten()
    check_apply(cfg)  # a call from Python has not passed Hydra's hook
    run = build.open_run(cfg.run, cfg.checkpoint, cfg.seed, cfg.data, cfg.trust)
    run.vae.to(device(cfg.device))
    task = build.task(cfg.task)
    name = cfg.task._target_.rpartition(".")[2]
    torch.manual_seed(noise.seed_of(run.seed, "task", name))
    log.info("%s of %s, %s checkpoint (epoch %d)", name, run.config.title, cfg.checkpoint, run.epoch)
    told = status.read(run.folder)
    if (state := told.get("state")) not in (None, status.State.FINISHED):
        log.warning("the run is %s: what is measured of it may mean nothing", state)
    elif isinstance(problem := told.get("warning"), str):
        log.warning("of this run: %s", printable(problem))
    with results(RunFolder(run.folder).tasks / name, cfg.name) as (folder, final):
        began = time.perf_counter()
        numbers = task(run, folder)
        flat = flatten(numbers)
        facts = {
            "run": run.config.title,
            "checkpoint": cfg.checkpoint,
            "epoch": run.epoch,
            "seconds": time.perf_counter() - began,
        }
        record.write(ResultsFolder(folder).options, OmegaConf.to_yaml(cfg, resolve=True))
        record.write_json(ResultsFolder(folder).metrics, flat | facts | record.provenance())
    log.info("%s", record.table(numbers))
    console.log_files(final)
    loggers.add_task(run.config, run.folder, name, flat, final, run.epoch)
    return flat


def device(wanted: str) -> str:
    """The device for a task: `cuda` where it is wanted, or available and `auto` is wanted; else `cpu`.

    Raises UserError where `cuda` is wanted and not available.
    """
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda, but there is none that PyTorch can use: device=cpu")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


@contextmanager
def results(parent: Path, name: str | None) -> Iterator[tuple[Path, Path]]:
    """A folder to write to, and the path that it is renamed to if all goes well: `name`, or the time, in `parent`.

    The link `latest` in `parent` then points to it. Raises UserError where there is a folder of that name.
    """
    final = parent / (name or f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")
    if final.exists():
        raise UserError(f"{final} is there already: give another name")
    if parent.parent.is_dir():
        remove_partial_files(parent.parent)  # of tasks that were killed
    created = [folder for folder in (parent, parent.parent) if not folder.exists()]
    folder = parent / f".{os.getpid()}.{final.name}"
    folder.mkdir(parents=True)
    try:
        yield folder, final
        folder.replace(final)
        link = parent / f".{os.getpid()}.latest"
        link.symlink_to(final.name)
        link.replace(parent / "latest")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for parent_folder in created:
            with suppress(OSError):  # a folder that is not empty stays
                parent_folder.rmdir()


if __name__ == "__main__":
    run_program(main)
