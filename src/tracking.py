"""Weights & Biases: online where there is an account, offline where there is none, never a prompt."""

import functools
import logging
import os
from pathlib import Path

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from src.errors import UserError

log = logging.getLogger(__name__)
MODES = ("auto", "online", "offline", "disabled")


@functools.cache
def resolve(mode: str) -> str:
    """`auto` obeys WANDB_MODE, else is `online` with a key that is accepted, `offline` without; asked once."""
    if mode not in MODES:
        raise UserError(f"logger.wandb.mode must be one of {', '.join(MODES)}, got {mode}")
    if mode != "auto":
        return mode
    if "WANDB_MODE" in os.environ:
        return os.environ["WANDB_MODE"]
    import wandb

    try:
        return "online" if wandb.login(prompt=False) else "offline"
    except (wandb.errors.AuthenticationError, wandb.errors.CommError, wandb.errors.UsageError) as error:
        rank_zero_warn(f"W&B does not accept the key or is out of reach, the run is recorded offline: {error}")
        return "offline"


def wandb_logger(
    project: str, mode: str, dir: str, name: str, group: str | None, options: dict, resume_from: Path | None = None
) -> WandbLogger:
    """A W&B run whose step axis is images seen, in `dir`/wandb; the file `resume_from` keeps its id for a resume.

    Raises UserError for an unknown mode.
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
        name=name,
        group=group,
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
        rank_zero_warn(f"W&B is out of reach, the run is recorded offline: {error}")
        run = init(mode="offline")
    if resume_from:
        resume_from.write_text(run.id)
    log.info("W&B %s: %s", run.settings.mode, run.url or f"{run.dir} (upload it with `wandb sync`)")
    run.define_metric("images_seen")
    run.define_metric("*", step_metric="images_seen")
    return WandbLogger(experiment=run)
