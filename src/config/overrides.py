"""The words of a command line, before Hydra composes: what it would not take, and what it is not to compose."""

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
from src.support.folders import RunFolder

NONE = {"logger": "csv", "callbacks": "none"}  # the choice that is nothing: Hydra takes no null for a group
HYDRAS = ("ckpt_path", "hydra", "sweep", "sweep_name")  # never changes of a run's configuration
lines: ContextVar[tuple[list[str], list[str]]] = ContextVar("the whole command line, and its words for a resume")

log = logging.getLogger(__name__)


def name_of(word: str) -> str:
    """The option that a word sets, adds or removes: +trainer.ema=0.9 is of trainer.ema."""
    return word.lstrip("+~").partition("=")[0]


def without_null(words: list[str]) -> list[str]:
    """The words, with `logger=null`, `logger={}` and the like as choices that Hydra knows."""
    pattern = re.compile(rf"({'|'.join(NONE)})=(null|\{{\s*\}})")
    return [f"{match[1]}={NONE[match[1]]}" if (match := pattern.fullmatch(word)) else word for word in words]


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """The words that Hydra composes from, and those that change the configuration in the checkpoint of a resume.

    Composed from conf/, an option that only the run has (data.root, of another data set) would be unknown.
    """
    parsed = get_args_parser().parse_known_args(words)[0]
    names = {name_of(word): word for word in parsed.overrides}
    resumes = not names.get("ckpt_path", "=null").endswith(("=null", "=")) and "sweep" not in names
    if not resumes or parsed.multirun or parsed.cfg or parsed.info or parsed.help or parsed.hydra_help:
        return words, []
    if parsed.config_name:
        log.warning(
            "--config-name=%s is not read: the run goes on with the configuration in its checkpoint", parsed.config_name
        )
    changes = [word for word in parsed.overrides if re.split("[./]", name_of(word))[0] not in HYDRAS]
    # Hydra would write what it composes to RUN/.hydra before a word is refused: resume.update_hydra_folder does it
    quiet = [] if "hydra.output_subdir" in names else ["hydra.output_subdir=null"]
    return [*(word for word in words if word not in changes), *quiet], changes


def defer_changes(command: Callable[[], None]) -> Callable[[], None]:
    """A command of Hydra's that composes without the words that are for a resume, which `deferred_changes` has."""

    @functools.wraps(command)
    def started() -> None:
        line = sys.argv
        words, changes = split(without_null(line[1:]))
        token, sys.argv = lines.set((line, changes)), [line[0], *words]
        try:
            return command()
        finally:
            sys.argv = line
            lines.reset(token)

    return started


def deferred_changes() -> list[str]:
    """The words that are for a resume. From now on sys.argv is the whole line, which Lightning starts other processes
    with."""
    line, changes = lines.get((sys.argv, []))
    sys.argv = line
    return changes


def option(name: str, value: str) -> str:
    """NAME=VALUE as a shell and Hydra take it."""
    return f"{name}={value}" if re.fullmatch(r"[\w./~%+-]+", value) else shlex.quote(f"{name}='{value}'")


def check_folder(config: DictConfig) -> None:
    """Raises UserError for a folder that can't be made, that holds another run, or that a resume would leave."""
    folder, path = Path(config.hydra.run.dir), config.ckpt_path
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"hydra.run.dir={folder} can't be written: {there} is no folder, or not yours to write to")
    if path is None and RunFolder(folder).has_checkpoints:
        raise UserError(
            f"hydra.run.dir={folder} holds a run already: give another folder, or go on with that run by "
            f"{option('ckpt_path', str(RunFolder(folder).checkpoint('last')))}"
        )
    if path is not None and folder.absolute() != Path(path).absolute().parent.parent:
        raise UserError("hydra.run.dir: a run goes on in its own folder, that of ckpt_path; leave hydra.run.dir out")


def check_root(cfg: DictConfig, schema: type, command: str) -> None:
    """Raises UserError for a configuration of another command, or one's own that is not built on this command's."""
    if absent := [field.name for field in fields(schema) if field.name not in cfg]:
        raise UserError(
            f"--config-name={HydraConfig.get().job.config_name} is not for this command, since it lacks "
            f"{', '.join(absent)}: a configuration of your own begins with `defaults: [{command}, _self_]`"
        )


def go_back(here: DictConfig) -> None:
    """Returns to the folder that the program was started in, which its paths are relative to."""
    if here.job.chdir:
        log.warning("hydra.job.chdir=true has no effect: paths are relative to where the program is started")
        os.chdir(here.runtime.cwd)
