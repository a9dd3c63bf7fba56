"""Lightning's trainer, as a configuration asks for it."""

import os
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar, Timer
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from src.config.classes import make
from src.support.errors import UserError
from src.support.folders import RunFolder
from src.training import checkpoints
from src.training.cluster import environment
from src.training.early_stopping import Patience

NOT_LIGHTNINGS = ("ema", "max_time", "patience")  # options of conf/trainer that are read here


def make_trainer(cfg: DictConfig, run: Path, loggers: list[Logger]) -> Trainer:
    """Lightning's trainer with the callbacks of the configuration and checkpoints/{best,last}.ckpt."""
    if not torch.cuda.is_available():
        # Lightning sets this variable, which makes the optimizer search for NVIDIA's library at each step, in vain
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    folder = RunFolder(run)
    # best before last, so that last.ckpt contains the state of best.ckpt
    savers: list[Callback] = [
        checkpoints.EveryEpoch(folder.checkpoint("best"), monitor="val/loss"),
        checkpoints.EveryEpoch(folder.checkpoint("last")),
    ]
    if (decay := cfg.trainer.get("ema")) is not None:
        savers.insert(0, checkpoints.Average(decay))
    if (limit := cfg.trainer.get("max_time")) is not None:
        # Lightning would let the timer stop within an epoch, which would then not be measured
        limit = cast(Any, OmegaConf.to_container(limit) if OmegaConf.is_config(limit) else limit)
        savers.insert(0, Timer(limit, interval="epoch"))
    if (patience := cfg.trainer.get("patience")) is not None:
        savers.insert(0, Patience(patience, cfg.trainer.get("min_epochs")))
    options = {name: value for name, value in cfg.trainer.items() if name not in NOT_LIGHTNINGS}
    nodes = {name: node for name, node in (cfg.callbacks or {}).items() if node is not None}
    watchers = [make(node, f"callbacks.{name}", Callback) for name, node in nodes.items()]
    try:
        return make(
            options,
            "trainer",
            default_root_dir=str(run),
            callbacks=[*watchers, *savers],
            logger=loggers,
            plugins=[checkpoints.WholeOrNothing(), environment()],
            num_sanity_val_steps=0 if cfg.ckpt_path else -1,  # -1: measures the untrained model
            enable_progress_bar=any(isinstance(watcher, ProgressBar) for watcher in watchers),
        )
    except (ImportError, RuntimeError) as error:  # the machine lacks what an accelerator needs
        raise UserError(f"trainer: {str(error).splitlines()[0]}") from error
