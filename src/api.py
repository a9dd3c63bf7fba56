"""The commands as functions, for notebooks and other programs: the same options and messages, and no exit.

run = train("latent_dim=8", "trainer.max_epochs=5")
apply(run, "task=traverse")
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from src import train as command
from src.apply import apply as apply_config
from src.config import memory
from src.config.command_line import in_one_line, prepare_arguments
from src.config.hooks import check_single_run
from src.config.options import CONF
from src.config.overrides import replace_null, split_for_resume
from src.run.automatic import settle_options
from src.run.claim import NothingToDo, claim, release_claims
from src.startup import as_user_errors
from src.support.errors import UserError


def train(*options: str) -> Path:
    """Train a run as `python -m src.train` does, and return the absolute path of its folder.

    A run that is finished already (`run_name=NAME resume=auto`) is not trained again. The working directory, the
    arguments of the process and its signal handlers stay as they are.

    Args:
        options: those of the command line, such as "latent_dim=8"; of one run, not of a sweep.

    Raises UserError for anything that the user can correct.
    """
    with print_messages(), composition("train", options) as (cfg, changes):
        overrides = [*cfg.hydra.overrides.task, *changes]
        check_single_run(cfg)
        settle_options(cfg)
        with release_claims():
            try:
                claim(cfg)
            except NothingToDo:
                return Path(cfg.hydra.run.dir).absolute()
            folder = Path(cfg.hydra.run.dir)
            with read_write(cfg), open_dict(cfg):
                del cfg.hydra
            command.train_for_user(cfg, folder, overrides)
    return folder.absolute()


def apply(run: Path | str, *options: str) -> dict[str, Any]:
    """Do a task on a run as `python -m src.apply` does, and return its numbers by name.

    Args:
        run: the run's folder; pictures and numbers are in its subfolder tasks/TASK/latest afterwards.
        options: those of the command line, such as "task=traverse" and "task.steps=5".

    Raises UserError for anything that the user can correct.
    """
    with print_messages(), composition("apply", (f"run={run}", *options)) as (cfg, _):
        with read_write(cfg), open_dict(cfg):
            del cfg.hydra
        with as_user_errors(cfg.run, memory.remedy(cfg)):
            return apply_config(cfg)


@contextmanager
def print_messages() -> Iterator[None]:
    """Print what the commands log, unless the program has set up logging of its own."""
    if logging.getLogger().handlers:
        yield
        return
    handler, loggers = logging.StreamHandler(sys.stdout), [logging.getLogger(name) for name in ("src", "callbacks")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)


@contextmanager
def composition(name: str, options: tuple[str, ...]) -> Iterator[tuple[DictConfig, list[str]]]:
    """The configuration that a command composes from options, and the options that change that of a resumed run.

    Raises UserError for options that do not exist, and for flags.
    """
    if flags := [option for option in options if option.startswith("-")]:
        raise UserError(f"{flags[0]} is a flag of the command line: use python -m src.{name}")
    try:
        with hydra.initialize_config_dir(CONF, version_base="1.3"):
            arguments, changes = split_for_resume(prepare_arguments(replace_null(list(options)), Path(CONF)))
            yield hydra.compose(name, arguments, return_hydra_config=True), changes
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(in_one_line(error, Path(CONF), name)) from error
