"""Weights & Biases: online where there is an account, offline where there is none, never a prompt."""

import functools
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from PIL import Image

from src.support.errors import UserError
from src.support.folders import RunFolder, SweepFolder

log = logging.getLogger(__name__)
MODES = ("auto", "online", "offline", "disabled")
WANDB = "src.run.tracking.wandb_logger"  # which gets more than its node of the configuration says


@functools.cache
def resolve(mode: str) -> str:
    """`auto` obeys WANDB_MODE, else is `online` with a key that is accepted, `offline` without; asked once.

    Raises UserError for an unknown mode, and for `online` without a key that is accepted.
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
        problem = "there is no key"
    except wandb.errors.Error as error:
        problem = f"it does not accept the key, or is out of reach ({error})"
        if mode == "auto":
            rank_zero_warn(f"W&B: {problem}; the run is recorded offline")
    if mode == "online":
        raise UserError(f"{source}=online, but W&B can't be used: {problem}. Run `wandb login`, or use mode offline")
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
    """A W&B run whose step axis is images seen, in `dir`/wandb, with the configuration `options`.

    name, group: the user's; else those of W&B's environment variables, else `title` and `sweep`; a run that is resumed
        keeps its name where there is none of them
    tags, entity, notes, job_type: as of wandb.init
    resume_from: the file that keeps the run's id for a resume

    Raises UserError for an unknown mode, and for what W&B refuses.
    """
    if rank_zero_only.rank:
        return WandbLogger(project=project, mode="disabled")
    import wandb

    folder = Path(dir).absolute()  # W&B's own process may have started elsewhere
    folder.mkdir(parents=True, exist_ok=True)
    known = resume_from.read_text().strip() if resume_from and resume_from.is_file() else None
    init = functools.partial(
        wandb.init,
        project=project,
        dir=str(folder),
        name=own_word("WANDB_NAME", name, title),
        group=own_word("WANDB_RUN_GROUP", group, sweep),
        tags=tags,
        entity=entity,
        notes=notes,
        job_type=job_type,
        config=options,
        id=known,
        resume="allow",
        settings=wandb.Settings(init_timeout=60, silent=True),
    )
    try:
        run = init(mode=resolve(mode))
    except wandb.errors.CommError as error:
        if mode != "auto":
            raise UserError(f"W&B is out of reach ({error}): logger.wandb.mode=offline, or logger=csv") from error
        rank_zero_warn(f"W&B is out of reach ({error}); the run is recorded offline")
        run = init(mode="offline")
    except (wandb.errors.Error, ValueError) as error:
        raise UserError(f"logger.wandb: {refusal(error)}") from error
    if resume_from:
        resume_from.write_text(run.id)
    log.info("W&B: %s", f"offline, in {folder / 'wandb'}" if run.offline else run.url)
    run.define_metric("images_seen")
    run.define_metric("*", step_metric="images_seen")
    return WandbLogger(experiment=run)


def own_word(variable: str, given: str | None, ours: str | None) -> str | None:
    """What the user gives as an option, else in an environment variable of W&B's, else ours."""
    return given if given is not None else os.environ.get(variable, ours)


def refusal(error: Exception) -> str:
    """Why W&B refuses an option, in one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    return (" ".join(lines[1:3]) or str(error)).partition(" [type=")[0]


def address(node: dict) -> dict[str, Any]:
    """Where a run of the options `logger.wandb` is found."""
    return {name: node[name] for name in ("project", "mode", "dir", "entity") if name in node}


def add(options: dict, run: Path, task: str, numbers: dict[str, Any], results: Path) -> None:
    """Adds a task's numbers and the pictures of its `results` to the W&B run of the run in a folder, where it has one;
    `options` are those of the run."""
    node, known = (options.get("logger") or {}).get("wandb"), RunFolder(run).wandb_id
    if not node or node.get("_target_") != WANDB or not known.is_file():
        return
    logger = wandb_logger(**address(node), options={}, resume_from=known)
    logger.experiment.log({f"{task}/{key}": value for key, value in media(results.iterdir()).items()})
    logger.experiment.summary.update({f"{task}/{key}": value for key, value in numbers.items()})
    logger.experiment.finish()


def add_runs(node: dict, sweep: Path, rows: list[dict[str, Any]]) -> None:
    """Adds the table `runs` to W&B, a row for each run of the sweep in a folder: numbers, words, and pictures (PIL). It
    has a W&B run of its own, in their group, that a later call goes on with."""
    if node.get("_target_") != WANDB:
        return
    import wandb

    given = {"name": f"{sweep.name}: all runs", "group": node.get("group"), "sweep": sweep.name}
    logger = wandb_logger(**address(node), **given, options={}, resume_from=SweepFolder(sweep).wandb_id)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    data = zip(*(of_one_type([row.get(column) for row in rows]) for column in columns), strict=True)
    logger.experiment.log({"runs": wandb.Table(columns, [list(row) for row in data])})
    logger.experiment.finish()


def of_one_type(values: list[Any]) -> list[Any]:
    """A column as W&B's tables want it: pictures, numbers, or else words; None where there is nothing."""
    import wandb

    if any(isinstance(value, Image.Image) for value in values):
        return [value and wandb.Image(value) for value in values]
    numbers = all(value is None or isinstance(value, int | float) for value in values)
    return [value if numbers or value is None else str(value) for value in values]


def media(paths: Iterable[Path]) -> dict[str, Any]:
    """The pictures (.png) and films (.gif) among `paths` for W&B, by name."""
    import wandb

    paths = list(paths)
    stills = {path.stem: wandb.Image(str(path)) for path in paths if path.suffix == ".png"}
    return stills | {path.name: wandb.Video(str(path)) for path in paths if path.suffix == ".gif"}


@rank_zero_only
def close(loggers: list[Logger], summary: dict[str, Any], finished: bool) -> None:
    """Ends what the loggers have open: `summary` is what a W&B run shows, its state whether the run `finished`."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.summary.update(summary)
            logger.experiment.finish(exit_code=0 if finished else 1)
        else:
            logger.finalize("success" if finished else "failed")
