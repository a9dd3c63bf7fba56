"""A single run's folder belongs to one process: from before Hydra makes it until the run has ended.

Here it is decided, before anything heavy is imported, whether the folder may be used, and whether `resume=auto` goes on
with what is there or begins. A run that ends before its first checkpoint leaves nothing behind.
"""

import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write

from src.config.hooks import refuse
from src.config.options import to_plain_dict
from src.config.overrides import check_folder, format_option
from src.run import resume, status
from src.run.leftovers import leaves_nothing, names, remove_entries, wandb_folder
from src.run.options import as_text, differences, option_value, part, repeats_or_follows
from src.run.status import State
from src.support import world
from src.support.errors import DamagedError, DivergedError, UserError
from src.support.files import PARTIAL, remove_partial_files
from src.support.folders import RunFolder
from src.support.locks import lock
from src.support.signals import StopSignal
from src.support.texts import read_json, read_text

log = logging.getLogger(__name__)
MAY_DIFFER = ("trainer.max_epochs", "logger", "callbacks", "data.root", "data.source.root")  # when a run goes on
SHOWN = 8  # of the options that differ
claims: ContextVar[ExitStack | None] = ContextVar("what is given up when the command ends", default=None)


class NothingToDo(SystemExit):
    """The run that `resume=auto` names is over. Ends the program with the exit code of a run that ends like it."""

    def __init__(self, state: State) -> None:
        super().__init__(DivergedError.exit_code if state == State.DIVERGED else 0)


class ClaimFolder(Callback):
    """Hydra's hook before a single run: claims its folder, or refuses it."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        refuse(claim, config)


@contextmanager
def release_claims() -> Iterator[None]:
    """Give up, at the end of the body, the folder that a run in it has claimed."""
    with ExitStack() as stack:
        token = claims.set(stack)
        try:
            yield
        finally:
            claims.reset(token)


@contextmanager
def own(run: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; only the first of several processes of a run takes it.

    Raises UserError where another process holds it.
    """
    if world.rank():
        yield
        return
    refusal = f"{os.path.relpath(run)} is being trained by another process: wait for its end, or stop it"
    with lock(RunFolder(run).lock, refusal):
        yield


def claim(config: DictConfig) -> None:
    """Claim the folder of a run for this command, and set `ckpt_path` where `resume=auto` goes on.

    Raises UserError where the folder can't be used, with nothing changed, and NothingToDo where the run is finished.
    """
    folder = Path(config.hydra.run.dir)
    if world.rank():  # the first one checks, and this one does as it does
        if config.resume and (checkpoint := latest_checkpoint(folder)):
            if is_over(config, folder, resume.read_run(checkpoint)["config"]):
                raise NothingToDo(status.read(folder)["state"])
            continue_from(config, checkpoint)
        return
    check_request(config)
    check_folder(config)
    with os_errors_of(folder), ExitStack() as for_now:
        occupied = (claims.get() or for_now).enter_context(occupy(folder, config))
        if config.resume:
            go_on_or_begin(config, folder)
        elif config.ckpt_path is None:
            check_vacant(config, folder)
        warn_of_other_host(folder)
        if config.ckpt_path is None:
            remove_partial_files(folder)
            occupied.before = names(folder)


@contextmanager
def os_errors_of(folder: Path) -> Iterator[None]:
    """Turn errors of the operating system about a folder into UserErrors of one line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.strerror or error}: {error.filename or folder}") from error


def check_request(config: DictConfig) -> None:
    """Raise UserError for options about a run's folder that contradict each other."""
    with_folder = any(each.startswith("hydra.run.dir=") for each in config.hydra.overrides.hydra)
    if config.ckpt_path is not None and (config.resume or config.run_name):
        name = "resume=auto" if config.resume else "run_name"
        raise UserError(f"ckpt_path goes on with the run of its folder: leave {name} out")
    if config.run_name and with_folder:
        raise UserError("hydra.run.dir and run_name both name the run's folder: leave one of them out")
    if config.resume and not config.run_name and not with_folder:
        raise UserError("resume=auto must know which run: add run_name=NAME, the name of its folder in outputs/runs")


@dataclass
class Occupation:
    """What a folder held before a run began in it; None as long as none has begun."""

    before: set[str] | None = None


@contextmanager
def occupy(folder: Path, config: DictConfig) -> Iterator[Occupation]:
    """Make and own a run's folder; remove again what this process has made, if a run that begins in it ends before its
    first checkpoint."""
    missing = [path for each in (folder, wandb_folder(config)) if each for path in (each, *each.absolute().parents)]
    made = [path for path in missing if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    occupied = Occupation()
    try:
        with own(folder):
            try:
                yield occupied
            except (SystemExit, UserError) as error:
                if occupied.before is not None and leaves_nothing(folder):
                    remove_entries(folder, names(folder) - occupied.before, config)
                    if isinstance(error, StopSignal):
                        log.warning("stopped before the first checkpoint, so nothing is kept of %s", relative(folder))
                raise
    finally:
        for path in made:
            with suppress(OSError):  # a folder that is not empty stays
                path.rmdir()


def check_vacant(config: DictConfig, folder: Path) -> None:
    """Raise UserError where the folder of a run that begins holds one, or what is left of one."""
    run, relation = RunFolder(folder), f"hydra.run.dir={folder}"
    if config.run_name:
        relation = f"run_name={config.run_name}: {folder}"
    if run.is_begun and config.run_name:
        raise UserError(f"{relation} holds a run already: go on with it by adding resume=auto, or give another name")
    if run.has_checkpoints:
        again = format_option("ckpt_path", str(latest_checkpoint(folder)))
        raise UserError(f"{relation} holds a run already: give another folder, or go on with that run by {again}")
    if run.is_begun:
        state = status.read(folder).get("state", State.KILLED)
        raise UserError(
            f"{relation} holds a run that was {state} before its first checkpoint: give another folder, or begin it "
            "again by adding resume=auto"
        )
    check_own(config, folder)


def check_own(config: DictConfig, folder: Path) -> None:
    """Raise UserError where a folder in outputs/runs holds something, but no run."""
    ours = {path.name for path in RunFolder(folder).files()}
    others = [
        path
        for path in folder.iterdir()
        # a run that was killed while it wrote its first status has left a temporary file of it
        if path.name not in ours and path.suffix != ".log" and not PARTIAL.match(path.name)
    ]
    if config.run_name and others:
        raise UserError(f"run_name={config.run_name}: {folder} is there and holds no run: give another name")


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint that a run goes on from: the last one, or the best one where that is all there is."""
    return next(filter(Path.is_file, map(RunFolder(folder).checkpoint, ("last", "best"))), None)


def go_on_or_begin(config: DictConfig, folder: Path) -> None:
    """Set `ckpt_path` where the run in a folder can go on; else remove what is left of it, so that it can begin.

    Raises UserError where the run has other options or has diverged, NothingToDo where it is finished.
    """
    run, record = RunFolder(folder), status.read(folder)
    checkpoint, is_diverged = latest_checkpoint(folder), record.get("state") == State.DIVERGED
    if is_diverged and not run.metrics.is_file():
        reason = record.get("reason") or "its loss is no finite number"
        raise DivergedError(
            f"{folder} has diverged, and would again: {reason}; change an option, and the name of the run"
        )
    if checkpoint:
        options = check_same_options(config, checkpoint)
        if is_over(config, folder, options):
            print(f"{folder} is {record['state']} already: nothing is left to do", file=sys.stderr)
            raise NothingToDo(record["state"])
        continue_from(config, checkpoint)
    elif run.has_checkpoints or run.metrics.is_file():
        raise UserError(f"{folder} has lost its checkpoints {run.checkpoint('last').name} and best: give another name")
    elif run.is_begun:
        remove_entries(folder, {path.name for path in run.files()}, config)
    else:
        check_own(config, folder)


def is_over(config: DictConfig, folder: Path, options: dict[str, Any]) -> bool:
    """Whether the run in a folder, of these options, is complete and asked for no more epochs."""
    run, state = RunFolder(folder), status.read(folder).get("state")
    is_long_enough = options["trainer"]["max_epochs"] >= config.trainer.max_epochs
    return state in (State.FINISHED, State.DIVERGED) and is_long_enough and is_complete(run, config)


def is_complete(run: RunFolder, config: DictConfig) -> bool:
    """Whether a run has its checkpoints and numbers, and what those callbacks of conf/ leave that watch it."""
    watchers: Mapping[str, Any] = config.callbacks or {}
    files = [run.epochs, run.terms("val"), *([run.terms("test")] if config.get("test", True) else [])]
    files += [run.checkpoint(which) for which in ("best", "last")]
    if watchers.get("recorder"):
        files += [run.trace, run.samples]
    try:
        read_json(run.metrics)
        if watchers.get("pictures"):
            files += [run.figures / name for name in read_text(run.completion).split()]
    except (OSError, ValueError):
        return False
    return all(path.is_file() for path in files)


def warn_of_other_host(folder: Path) -> None:
    """Warn where another machine may train a run: locks do not reach every file system that machines share."""
    record = status.read(folder)
    host = record.get("host")
    if record.get("state") == State.RUNNING and host != socket.gethostname():
        log.warning("%s says that %s trains it: if that is still so, stop one of them", RunFolder(folder).status, host)


def continue_from(config: DictConfig, checkpoint: Path) -> None:
    """Have the run go on from a checkpoint. Hydra writes nothing into its folder: src/run/resume.py does."""
    with read_write(config), read_write(config.hydra), open_dict(config.hydra):
        config.ckpt_path, config.hydra.output_subdir = str(checkpoint), None


def check_same_options(config: DictConfig, checkpoint: Path) -> dict[str, Any]:
    """The options of a checkpoint's run. Raises UserError where those of a configuration differ, except for the ones in
    MAY_DIFFER."""
    try:
        options = resume.read_run(checkpoint)["config"]
    except DamagedError as error:
        raise UserError(f"{error}: resume=auto changes nothing; remove the file, and it goes on from best") from None
    ours = config.copy()
    with read_write(ours):  # other options may refer to this one
        ours.trainer.max_epochs = options["trainer"]["max_epochs"]
    changed = differences([options, to_plain_dict(ours)], repeats_or_follows, MAY_DIFFER)
    if not changed:
        return options
    texts = [
        f"{part(name)}={option_text(name, now)}, which was {option_text(name, then)}"
        for name, (then, now) in changed.items()
    ]
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    raise UserError(
        f"{checkpoint.parent.parent} was begun with other options: {'; '.join(texts[:SHOWN])}{more}: give the run's "
        "own, or another run_name"
    )


def option_text(name: str, value: Any) -> str:
    """The value of an option as one would type it; where it chooses a part, the name of the choice."""
    return as_text(option_value(name, value))


def relative(folder: Path) -> str:
    """A folder as seen from the working directory."""
    return os.path.relpath(folder)
