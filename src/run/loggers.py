"""The loggers of a run: metrics.csv, Weights & Biases, and the user's own."""

import inspect
import logging
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from src.config.classes import locate, make
from src.config.options import to_plain_dict
from src.run import tracking
from src.run.confine import WANDB
from src.run.epoch_table import EpochTable
from src.run.epochs import Position, read_until
from src.run.guard import BEGINNING, PATIENCE, GuardedLogger, NoAnswerError, Service, Worker, release
from src.run.job import Job
from src.support.errors import causes, one_line
from src.support.folders import RunFolder

log = logging.getLogger(__name__)
# errors about a path, which is one of the options; any other OSError is of a service or a disk
OF_PATHS = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError, IsADirectoryError)


def build_loggers(cfg: DictConfig, run: Path, job: Job | None, resumed_at: Position | None = None) -> list[Logger]:
    """The logger of metrics.csv and those of the configuration.

    Args:
        cfg: the configuration of the run.
        run: its folder.
        job: the job of a sweep that it is, if any; W&B then names the run by the options in which it differs from
            other jobs, and has a column for each of them.
        resumed_at: the position at which a resumed run continues; metrics.csv keeps the rows up to there.
    """
    rows = read_until(run, resumed_at) if resumed_at else []
    table = EpochTable(RunFolder(run).epochs, rows)
    nodes = {key: node for key, node in (cfg.logger or {}).items() if node is not None}
    options = wandb_options(cfg, run, job)
    others = [build_logger(node, f"logger.{key}", run, options) for key, node in nodes.items()]
    return [table, *(each for each in others if each is not None)]


def wandb_options(cfg: DictConfig, run: Path, job: Job | None) -> dict[str, Any]:
    """The arguments of our logger for W&B that its node of the configuration does not hold."""
    wandb_id = RunFolder(run).wandb_id
    title = None if wandb_id.is_file() else cfg.title
    options: dict[str, Any] = {"title": title, "sweep": None, "options": to_plain_dict(cfg), "resume_from": wandb_id}
    if job:
        texts = dict(each.lstrip("+").split("=", 1) for each in job.options if "=" in each)
        values = {name: OmegaConf.select(cfg, name) for name in texts}
        options |= {"title": " ".join(job.options) or cfg.title, "sweep": job.sweep}
        options["options"]["sweep"] = {
            name: texts[name] if value is None or OmegaConf.is_config(value) else value
            for name, value in values.items()
        }
    return options


def build_logger(node: DictConfig, name: str, run: Path, options: dict[str, Any]) -> GuardedLogger | None:
    """The logger that a node of the configuration names, guarded; None where what it writes to is out of reach.

    Raises UserError where its options are wrong.
    """
    worker, is_wandb = Worker(), node["_target_"] == WANDB
    try:
        logger = worker.call(partial(make_logger, node, name, run, options), BEGINNING)
        extra = worker.call(partial(tracking.service, logger), PATIENCE) if is_wandb else Service()
    except Exception as error:
        worker.end()
        if not is_out_of_reach(error):
            raise
        log.warning("%s: %s; the run goes on without it", name, one_line(error).removeprefix(f"{name}: "))
        release(Service(abandon=tracking.abandon if is_wandb else None))
        return None
    return GuardedLogger(name, logger, worker, extra)


def make_logger(node: DictConfig, name: str, run: Path, options: dict[str, Any]) -> Logger:
    """The logger that a node of the configuration names.

    Our logger for W&B also gets `options`. Any other logger gets the options of its node, and the run's folder if it
    requires a `save_dir` which the node lacks.
    """
    if node["_target_"] == WANDB:
        return make(node, name, Logger, **options)
    folder = inspect.signature(locate(node["_target_"], name)).parameters.get("save_dir")
    is_required = folder is not None and folder.default is folder.empty and "save_dir" not in node
    return make(node, name, Logger, **({"save_dir": str(run)} if is_required else {}))


def is_out_of_reach(error: Exception) -> bool:
    """Whether a logger could not be made because a service or a disk can't be used now, rather than for its options."""
    return any(
        isinstance(each, NoAnswerError) or (isinstance(each, OSError) and not isinstance(each, OF_PATHS))
        for each in causes(error)
    )
