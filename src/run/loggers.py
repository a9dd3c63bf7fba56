"""The loggers of a run: metrics.csv, those of conf/logger/, and the user's own."""

import inspect
import logging
import sqlite3
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from src.config.classes import locate, make
from src.config.options import to_plain_dict
from src.config.packages import STORES
from src.run import tracking
from src.run.confine import WANDB
from src.run.epoch_table import EpochTable
from src.run.epochs import Position, Row, read, read_until
from src.run.guard import (
    BEGINNING,
    PATIENCE,
    GuardedLogger,
    NoAnswerError,
    Service,
    Worker,
    call_in_time,
    release,
)
from src.run.job import Job
from src.run.stores import About, StoreLogger, add_results, hyperparameters
from src.support.errors import causes, one_line
from src.support.folders import RunFolder

log = logging.getLogger(__name__)
# errors about a path, which is one of the options; any other OSError is of a service or a disk
OF_PATHS = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError)


def build_loggers(
    cfg: DictConfig, run: Path, job: Job | None, resumed_at: Position | None = None, images_per_step: int = 1
) -> list[Logger]:
    """The logger of metrics.csv and those of the configuration.

    Args:
        cfg: the configuration of the run.
        run: its folder.
        job: the job of a sweep that it is, if any; other loggers then name the run by the options in which it differs
            from other jobs, and W&B has a column for each of them.
        resumed_at: the position at which a resumed run continues; metrics.csv keeps the rows up to there.
        images_per_step: images seen in a step, as far as the configuration says.
    """
    rows = read_until(run, resumed_at) if resumed_at else []
    table = EpochTable(RunFolder(run).epochs, rows)
    nodes = {key: node for key, node in (cfg.logger or {}).items() if node is not None}
    about = about_run(cfg, run, job, last_row(rows, resumed_at, images_per_step), images_per_step)
    options = wandb_options(cfg, job, about)
    others = [build_logger(node, f"logger.{key}", about, options) for key, node in nodes.items()]
    return [table, *(each for each in others if each is not None)]


def last_row(rows: list[Row], resumed_at: Position | None, images_per_step: int) -> Row | None:
    """The numbers of the last epoch that a resumed run keeps, or where they are lost, its place among the others."""
    if not resumed_at:
        return None
    epoch, step = resumed_at
    place = {"epoch": epoch, "step": step, "images_seen": step * images_per_step}
    return next((row for row in reversed(rows) if "images_seen" in row), place)


def about_run(cfg: DictConfig, run: Path, job: Job | None, last: Row | None, images_per_step: int) -> About:
    """What loggers are told about a run. Its title is the name that the user gave it, if any."""
    title = (" ".join(job.options) if job else "") or cfg.run_name or cfg.title
    options = hyperparameters(to_plain_dict(cfg))
    return About(RunFolder(run), title, job.sweep if job else None, options, last, images_per_step)


def wandb_options(cfg: DictConfig, job: Job | None, about: About) -> dict[str, Any]:
    """The arguments of our logger for W&B that its node of the configuration does not hold."""
    wandb_id = about.folder.wandb_id
    title = None if wandb_id.is_file() and not job else about.title
    options = {"title": title, "sweep": about.sweep, "options": to_plain_dict(cfg), "resume_from": wandb_id}
    if job:
        texts = dict(each.lstrip("+").split("=", 1) for each in job.options if "=" in each)
        values = {name: OmegaConf.select(cfg, name) for name in texts}
        options["options"]["sweep"] = {
            name: texts[name] if value is None or OmegaConf.is_config(value) else value
            for name, value in values.items()
        }
    return options


def build_logger(node: DictConfig, name: str, about: About, options: dict[str, Any]) -> GuardedLogger | None:
    """The logger that a node of the configuration names, guarded; None where what it writes to is out of reach, and in
    the other processes of a run, where our loggers but W&B's have nothing to do.

    Raises UserError where its options are wrong.
    """
    if rank_zero_only.rank and node["_target_"] in STORES:
        return None
    worker, is_wandb = Worker(), node["_target_"] == WANDB
    try:
        logger = worker.call(partial(make_logger, node, name, about, options), BEGINNING)
        extra = worker.call(partial(service_of, logger, is_wandb), PATIENCE)
    except Exception as error:
        worker.end()
        if not is_out_of_reach(error):
            raise
        log.warning("%s: %s; the run goes on without it", name, one_line(error).removeprefix(f"{name}: "))
        release(Service(abandon=tracking.abandon if is_wandb else None))
        return None
    return GuardedLogger(name, logger, worker, extra)


def make_logger(node: DictConfig, name: str, about: About, options: dict[str, Any]) -> Logger:
    """The logger that a node of the configuration names.

    Our logger for W&B also gets `options`, our others what is known about the run. Any other logger gets the options of
    its node, and the run's folder if it requires a `save_dir` which the node lacks.
    """
    if node["_target_"] == WANDB:
        return make(node, name, Logger, **options)
    if node["_target_"] in STORES:
        return make(node, name, StoreLogger, about=about)
    folder = inspect.signature(locate(node["_target_"], name)).parameters.get("save_dir")
    is_required = folder is not None and folder.default is folder.empty and "save_dir" not in node
    return make(node, name, Logger, **({"save_dir": str(about.folder.path)} if is_required else {}))


def service_of(logger: Logger, is_wandb: bool) -> Service:
    """What a logger does besides logging numbers."""
    if is_wandb:
        return tracking.service(logger)
    if isinstance(logger, StoreLogger):
        return Service(logger.log_figures, logger.finish, logger.store.close)
    return Service()


def is_out_of_reach(error: Exception) -> bool:
    """Whether a logger could not be made because a service, a database or a disk can't be used now, rather than for its
    options."""
    return any(
        isinstance(each, NoAnswerError | sqlite3.Error)
        or (isinstance(each, OSError) and not isinstance(each, OF_PATHS))
        for each in causes(error)
    )


def add_task(config: DictConfig, run: Path, task: str, numbers: Mapping[str, Any], results: Path, epoch: int) -> None:
    """Add the numbers of a task, and the figures in the folder of its results, to what the run's loggers have of it.

    A logger that can't be used costs a warning.

    Args:
        config: the configuration of the run.
        run: its folder.
        task: the name of the task.
        numbers: what the task measured.
        results: the folder of what the task wrote.
        epoch: that of the checkpoint.
    """
    try:
        tracking.add(config, run, task, numbers, results)
    except Exception as error:  # of any kind: the results are written already
        log.warning("W&B: nothing was added to the run (%s)", error)
    folder = RunFolder(run)
    step = next((int(row["images_seen"]) for row in read(run).rows if row["epoch"] == epoch), 0)
    records = {"tensorboard": folder.tensorboard, "mlflow": folder.mlflow_id, "trackio": folder.trackio_id}
    for name, node in (config.get("logger") or {}).items():
        package = STORES.get(node.get("_target_")) if node else None
        if package and records[package].exists():
            about = About(folder, config.title, None, {}, is_recorded=True)
            send = partial(send_results, node, f"logger.{name}", about, task, numbers, results, step)
            try:
                call_in_time(send, BEGINNING)
            except Exception as error:
                log.warning("logger.%s: nothing was added to the run (%s)", name, one_line(error))


def send_results(
    node: DictConfig, name: str, about: About, task: str, numbers: Mapping[str, Any], results: Path, step: int
) -> None:
    """Add a task's numbers and figures to the record of a run that one of its loggers has."""
    add_results(make(node, name, StoreLogger, about=about).store, task, numbers, sorted(results.iterdir()), step)
