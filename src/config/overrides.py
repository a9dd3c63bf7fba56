"""The overrides of a command line before Hydra composes a configuration from them.

Some are rewritten, because Hydra would reject them. Those that change the configuration of a resumed run are withheld
from Hydra, because they apply to the configuration in the checkpoint and not to that of conf/.
"""

import functools
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import fields
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from src.support.errors import UserError

NONE = {"logger": "csv", "callbacks": "none"}  # choices used for null, which Hydra does not accept for a group
# options that never change the configuration of a resumed run
HYDRAS = ("ckpt_path", "hydra", "run_name", "resume", "sweep", "sweep_name", "trust")
deferred: ContextVar[tuple[list[str], list[str]]] = ContextVar("the complete sys.argv, and the overrides for a resume")

log = logging.getLogger(__name__)


def name_of(override: str) -> str:
    """The name of the option that an override sets, adds or removes: trainer.ema of +trainer.ema=0.9."""
    return override.lstrip("+~").partition("=")[0]


def replace_null(overrides: list[str]) -> list[str]:
    """Replace `logger=null`, `callbacks={}` and the like by choices that Hydra knows."""
    pattern = re.compile(rf"({'|'.join(NONE)})=(null|\{{\s*\}})")
    matches = [(override, pattern.fullmatch(override)) for override in overrides]
    return [f"{match[1]}={NONE[match[1]]}" if match else override for override, match in matches]


def split_for_resume(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The arguments that Hydra composes from, and the overrides of the configuration in the checkpoint of a resume.

    If composed from conf/, an option that only the run has (data.root, of another data set) would be unknown.
    """
    parsed = get_args_parser().parse_known_args(arguments)[0]
    names = {name_of(override): override for override in parsed.overrides}
    resumes = not names.get("ckpt_path", "=null").endswith(("=null", "=")) and "sweep" not in names
    if not resumes or parsed.multirun or parsed.cfg or parsed.info or parsed.help or parsed.hydra_help:
        return arguments, []
    if parsed.config_name:
        log.warning(
            "--config-name=%s is not read: the run goes on with the configuration in its checkpoint", parsed.config_name
        )
    changes = [override for override in parsed.overrides if re.split("[./]", name_of(override))[0] not in HYDRAS]
    # Hydra would overwrite RUN/.hydra before an override is refused; src/run/resume.py writes there instead
    quiet = [] if "hydra.output_subdir" in names else ["hydra.output_subdir=null"]
    return [*(argument for argument in arguments if argument not in changes), *quiet], changes


def defer_changes(command: Callable[[], None]) -> Callable[[], None]:
    """Withhold the overrides for a resume from a Hydra command; `take_changes` returns them."""

    @functools.wraps(command)
    def run_command() -> None:
        line = sys.argv
        arguments, changes = split_for_resume(replace_null(line[1:]))
        token, sys.argv = deferred.set((line, changes)), [line[0], *arguments]
        try:
            return command()
        finally:
            sys.argv = line
            deferred.reset(token)

    return run_command


def take_changes() -> list[str]:
    """The overrides for a resume. Restores the complete sys.argv, with which Lightning starts further processes."""
    line, changes = deferred.get((sys.argv, []))
    sys.argv = line
    return changes


def format_option(name: str, value: str) -> str:
    """NAME=VALUE, quoted where a shell or Hydra needs it."""
    return f"{name}={value}" if re.fullmatch(r"[\w./~%+-]+", value) else shlex.quote(f"{name}='{value}'")


def check_folder(config: DictConfig) -> None:
    """Raise UserError for a run's folder that can't be made, or is not that of ckpt_path."""
    folder, path = Path(config.hydra.run.dir), config.ckpt_path
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"hydra.run.dir={folder} can't be written: {there} is no folder, or not yours to write to")
    if path is not None and folder.absolute() != Path(path).absolute().parent.parent:
        raise UserError("hydra.run.dir: a run goes on in its own folder, that of ckpt_path; leave hydra.run.dir out")


def check_root(cfg: DictConfig, schema: type, command: str) -> None:
    """Raise UserError for a --config-name that is another command's, or one that does not extend this command's."""
    if absent := [field.name for field in fields(schema) if field.name not in cfg]:
        raise UserError(
            f"--config-name={HydraConfig.get().job.config_name} is not for this command, since it lacks "
            f"{', '.join(absent)}: a configuration of your own begins with `defaults: [{command}, _self_]`"
        )


def restore_working_folder(here: DictConfig) -> None:
    """Go back to the folder where the program was started, since paths in options are relative to it."""
    if here.job.chdir:
        log.warning("hydra.job.chdir=true has no effect: paths are relative to where the program is started")
        os.chdir(here.runtime.cwd)
