"""Weights & Biases: online with an account, offline without one, and never a prompt."""

import functools
import logging
import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from src.run.confine import WANDB
from src.run.console import shorter_path
from src.run.guard import BEGINNING, Service, call_in_time, release
from src.run.status import State
from src.support.errors import UserError, one_line, printable
from src.support.folders import RunFolder, SweepFolder

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)
MODES = ("auto", "online", "offline", "disabled")
FINISHING = 50  # seconds in which W&B may upload what is left at the end of a run, fewer than PATIENCE of guard.py
OFFLINE = "the run is recorded offline, and `wandb sync` uploads it later"


@functools.cache
def resolve_mode(mode: str) -> str:
    """The mode of W&B: `auto` follows WANDB_MODE, else is `online` with an accepted key and `offline` without one.

    W&B is asked once for each process. Where it refuses the key or does not answer, the mode is `offline`, even if
    `online` is wanted. Raises UserError for an unknown mode, and for `online` without a key.
    """
    source = "logger.wandb.mode"
    if mode == "auto" and "WANDB_MODE" in os.environ:
        source, mode = "WANDB_MODE", os.environ["WANDB_MODE"]
    if mode not in MODES:
        raise UserError(f"{source} must be one of {', '.join(MODES)}, got {mode}")
    if mode not in ("auto", "online"):
        return mode
    import wandb

    try:
        if wandb.login(prompt=False):
            return "online"
    except wandb.errors.Error as error:
        log.warning("W&B does not accept the key, or is out of reach (%s): %s", one_line(error), OFFLINE)
        return "offline"
    if mode == "online":
        raise UserError(f"{source}=online, but there is no key for W&B: run `wandb login`, or use mode offline")
    return "offline"


def wandb_logger(
    project: str,
    mode: Literal["auto", "online", "offline", "disabled"],
    dir: str,
    options: dict,
    title: str | None = None,
    sweep: str | None = None,
    resume_from: Path | None = None,
    name: str | None = None,
    group: str | None = None,
    tags: Sequence[str] | None = None,
    entity: str | None = None,
    notes: str | None = None,
    job_type: str | None = None,
) -> WandbLogger:
    """A logger with a W&B run in `dir`/wandb, whose step axis is images seen.

    Args:
        project: the W&B project.
        mode: see `resolve_mode`.
        dir: the folder in which W&B makes its own.
        options: the configuration that W&B shows.
        title: the name of the run unless the user gives one.
        sweep: the group of the run unless the user gives one.
        resume_from: the file that keeps the id of the run, so that it can be resumed.
        name: the user's name for the run; without it, that in W&B's environment variable, else `title`. A resumed run
            keeps its name where there is none of these.
        group: the user's group, likewise.
        tags, entity, notes, job_type: as for wandb.init.

    Raises UserError for an unknown mode, and for options that W&B refuses.
    """
    if rank_zero_only.rank:
        return WandbLogger(project=project, mode="disabled")
    import wandb

    folder = Path(dir).absolute()  # W&B's own process may have another working directory
    folder.mkdir(parents=True, exist_ok=True)
    run_id = resume_from.read_text().strip() if resume_from and resume_from.is_file() else ""
    init = partial(
        wandb.init,
        project=project,
        dir=str(folder),
        name=own_setting("WANDB_NAME", name, title),
        group=own_setting("WANDB_RUN_GROUP", group, sweep),
        tags=tags,
        entity=entity,
        notes=notes,
        job_type=job_type,
        config=options,
        id=run_id if re.fullmatch(r"[\w-]{1,64}", run_id) else None,  # a damaged file costs the old record
        resume="allow",
        settings=wandb.Settings(init_timeout=60, finish_timeout=FINISHING, finish_timeout_raises=True, silent=True),
    )
    try:
        run = init(mode=resolve_mode(mode))
    except wandb.errors.CommError as error:
        log.warning("W&B refuses the run, or is out of reach (%s): %s", one_line(error), OFFLINE)
        run = init(mode="offline")
    except (wandb.errors.Error, ValueError) as error:
        raise UserError(f"logger.wandb: {refusal(error)}") from error
    if resume_from:
        resume_from.write_text(run.id)
    if run.offline:
        if not run_id:  # a task that adds to the record does not say it again
            place = printable(shorter_path(folder / "wandb"))
            log.info("W&B record (no account needed; logger=csv turns it off): %s", place)
    elif run.url:  # W&B warns where one asks for that of an offline run
        log.info("W&B: %s", run.url)
    run.define_metric("images_seen")
    run.define_metric("*", step_metric="images_seen")
    return WandbLogger(experiment=run)


def own_setting(variable: str, option: str | None, default: str | None) -> str | None:
    """The user's option, else the environment variable of W&B, else the default."""
    return option if option is not None else os.environ.get(variable, default)


def refusal(error: Exception) -> str:
    """The reason for which W&B refuses an option, in one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    return (" ".join(lines[1:3]) or str(error)).partition(" [type=")[0]


def address(node: dict) -> dict[str, Any]:
    """Those of the options `logger.wandb` by which W&B finds a run."""
    return {name: node[name] for name in ("project", "mode", "dir", "entity") if name in node}


def add(options: dict, run: Path, task: str, numbers: dict[str, Any], results: Path) -> None:
    """Add the numbers of a task, and the figures in the folder of its results, to a run's W&B run, if it has one.

    Args:
        options: the configuration of the run.
        run: its folder.
        task: the name of the task.
        numbers: what the task measured.
        results: the folder of what the task wrote.
    """
    node, wandb_id = (options.get("logger") or {}).get("wandb"), RunFolder(run).wandb_id
    if not node or node.get("_target_") != WANDB or not wandb_id.is_file():
        return

    def send() -> None:
        logger = wandb_logger(**address(node), options={}, resume_from=wandb_id)
        logger.experiment.log({f"{task}/{key}": value for key, value in media(results.iterdir()).items()})
        logger.experiment.summary.update({f"{task}/{key}": value for key, value in numbers.items()})
        logger.experiment.finish()

    call_wandb(send)


def add_runs(node: dict, sweep: Path, rows: list[dict[str, Any]]) -> None:
    """Add the table `runs` to W&B, a row for each run of a sweep, of numbers, text and images (PIL).

    The table has a W&B run of its own, in the group of the others, which a later call resumes.
    """
    if node.get("_target_") != WANDB:
        return
    names = {"name": f"{sweep.name}: all runs", "group": node.get("group"), "sweep": sweep.name}
    columns = list(dict.fromkeys(name for row in rows for name in row))

    def send() -> None:
        import wandb

        logger = wandb_logger(**address(node), **names, options={}, resume_from=SweepFolder(sweep).wandb_id)
        data = zip(*(uniform_column([row.get(column) for row in rows]) for column in columns), strict=True)
        logger.experiment.log({"runs": wandb.Table(columns, [list(row) for row in data])})
        logger.experiment.finish()

    call_wandb(send)


def call_wandb(send: Callable[[], None]) -> None:
    """Have a function send something to W&B, in limited time. Raises what it raises, or NoAnswerError."""
    try:
        call_in_time(send, BEGINNING)
    except Exception:
        release(Service(abandon=abandon))
        raise


def uniform_column(values: list[Any]) -> list[Any]:
    """A column of one type, as W&B's tables require: images, numbers, or else text; None where there is no value."""
    import wandb

    if any(isinstance(value, Image.Image) for value in values):
        return [value and wandb.Image(value) for value in values]
    is_numeric = all(value is None or isinstance(value, int | float) for value in values)
    return [value if is_numeric or value is None else str(value) for value in values]


def media(paths: Iterable[Path]) -> dict[str, Any]:
    """The images (.png), animations (.gif) and pages (.html) among `paths` for W&B, by name."""
    import wandb

    paths = list(paths)
    images = {path.stem: wandb.Image(str(path)) for path in paths if path.suffix == ".png"}
    pages = {path.stem: wandb.Html(str(path), inject=False) for path in paths if path.suffix == ".html"}
    return images | pages | {path.name: wandb.Video(str(path)) for path in paths if path.suffix == ".gif"}


def service(logger: WandbLogger) -> Service:
    """What W&B does besides logging numbers; nothing in a process that is not the first of a run."""
    if rank_zero_only.rank:
        return Service()
    run = logger.experiment
    folder = os.path.relpath(Path(run.dir).parent)
    remedy = f"; `wandb sync {folder}` uploads what was recorded before"
    return Service(partial(log_figures, run), partial(finish, run), abandon, remedy)


def log_figures(run: "wandb.Run", paths: list[Path], images_seen: float) -> None:
    """Log the images and animations among some files."""
    run.log({f"figures/{name}": value for name, value in media(paths).items()} | {"images_seen": images_seen})


def finish(run: "wandb.Run", summary: dict[str, Any], state: State) -> None:
    """End a W&B run with the numbers of the run, and an exit code that says whether the run has finished."""
    run.summary.update(summary)
    run.finish(exit_code=0 if state == State.FINISHED else 1)


def abandon() -> None:
    """End W&B's own process, for which the end of this process would wait; a later run starts another one."""
    import wandb

    wandb.teardown(exit_code=1)
