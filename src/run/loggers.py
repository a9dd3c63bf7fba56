"""Who writes down what a run measures: metrics.csv, W&B, and loggers of the user's own."""

import inspect
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger
from omegaconf import DictConfig, OmegaConf

from src.build import make
from src.config.classes import locate
from src.config.options import plain
from src.run import record
from src.run.job import Job
from src.run.tracking import WANDB


def build_loggers(cfg: DictConfig, run: Path, job: Job | None, resumed_at: int | None = None) -> list[Logger]:
    """metrics.csv and the loggers of the configuration; a resumed run keeps its rows up to the step `resumed_at`.

    A sweep's job goes by the options in which it differs from others, and has them in a column each.
    """
    rows = [] if resumed_at is None else [row for row in record.epochs(run) if row["step"] <= resumed_at]
    table = CSVLogger(run, name="", version="", flush_logs_every_n_steps=1)
    table.experiment.metrics = [
        row | {"step": int(row["step"])} for row in rows
    ]  # Lightning deletes an old file when it opens a new one
    table.save()
    title = None if (run / ".wandb_id").is_file() else cfg.title
    given: dict[str, Any] = {"title": title, "sweep": None, "options": plain(cfg), "resume_from": run / ".wandb_id"}
    if job:
        words = dict(word.lstrip("+").split("=", 1) for word in job.options if "=" in word)
        values = {name: OmegaConf.select(cfg, name) for name in words}
        knobs = {
            name: words[name] if value is None or OmegaConf.is_config(value) else value
            for name, value in values.items()
        }
        given |= {"title": " ".join(job.options) or cfg.title, "sweep": job.sweep}
        given["options"]["sweep"] = knobs
    nodes = {key: node for key, node in (cfg.logger or {}).items() if node is not None}
    return [table, *(logger(node, f"logger.{key}", run, given) for key, node in nodes.items())]


def logger(node: DictConfig, name: str, run: Path, given: dict[str, Any]) -> Logger:
    """The logger that a node of the configuration names: ours for W&B is `given` more; another of Lightning's kind gets
    what the user gives it, and the run's folder where it cannot do without one."""
    if node["_target_"] == WANDB:
        return make(node, name, **given)
    folder = inspect.signature(locate(node["_target_"], name)).parameters.get("save_dir")
    is_needed = folder is not None and folder.default is folder.empty and "save_dir" not in node
    return make(node, name, **({"save_dir": str(run)} if is_needed else {}))
