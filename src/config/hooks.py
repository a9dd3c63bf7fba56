"""Hydra's hooks: bad options are refused before a folder is made and before anything heavy is imported."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from src.config.command_line import in_one_line
from src.config.multirun import compose_jobs
from src.config.options import CONF, check_apply, check_processes, check_run
from src.support.errors import UserError, printable
from src.support.world import refusal


class CheckFirst(Callback):
    """Check the options of one run of src.train. Those of a sweep are checked by src/sweeps."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        refuse(check_single_run, config)


class CheckApply(Callback):
    """Check the options of src.apply, in a multirun those of all its tasks."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        refuse(check_apply, config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        refuse(check_applications, config)


def check_single_run(config: DictConfig) -> None:
    """Raise UserError for options with which a run can't be trained."""
    check_run(config)
    if config.ckpt_path is None:  # otherwise the options are those of the checkpoint
        check_processes(config)
    if config.sweep_name is not None:
        raise UserError("sweep_name names a sweep: add -m, or sweep=NAME")


def check_applications(config: DictConfig) -> None:
    """Raise UserError where the options of one of a multirun's tasks are wrong."""
    for cfg in compose_jobs(config, Path(CONF))[1]:
        check_apply(cfg)


def refuse(check: Callable[[Any], None], options: Any) -> None:
    """End the program with one line where a check raises UserError, or an interpolation is wrong: Hydra would turn the
    exception of a hook into a warning, and go on."""
    try:
        check(options)
    except UserError as error:
        end = refusal(str(error), error.exit_code)
    except OmegaConfBaseException as error:
        end = refusal(printable(in_one_line(error, Path(CONF))))
    else:
        return
    sys.exit(end)
