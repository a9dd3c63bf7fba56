"""The arguments of Lightning's Trainer: types, ranges, and which of them a run can't honour."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict

from annotated_types import Gt, Le

from src.support.errors import UserError
from src.support.ranges import Count, NonNegative, OpenShare, Whole, as_argument

WHOLE = "a run is measured on all of its images, once an epoch: leave it out"

# Arguments that the program sets itself, and how to get what they are for.
SET = {
    "logger": "choose logger=csv or logger=wandb, or add one with +logger.NAME._target_=...",
    "callbacks": "add one with +callbacks.NAME._target_=...",
    "plugins": "choose trainer.precision or trainer.strategy",
    "default_root_dir": "give hydra.run.dir=FOLDER",
    "num_sanity_val_steps": "the untrained model is always measured: leave it out",
    "enable_progress_bar": "~callbacks.progress does without the bar and the lines",
    "model_registry": "checkpoints are in the run's folder: leave it out",
}
# Arguments that must be None or have one of these values, with the reason or what to use instead.
FIXED: dict[str, tuple[tuple[Any, ...], str]] = {
    "fast_dev_run": ((False, 0), "trainer.max_epochs=1 +trainer.limit_train_batches=1 tries a run out"),
    "barebones": ((False,), "callbacks=none logger=csv does without all that can be spared"),
    "enable_checkpointing": ((True,), "the best checkpoint is what is tested: leave it out"),
    "use_distributed_sampler": ((False,), "src/data/batches.py gives each process its share: leave it out"),
    "enable_autolog_hparams": ((True,), "the configuration is always stored: leave it out"),
    "val_check_interval": ((1.0,), f"{WHOLE}; +trainer.limit_train_batches=0.5 halves an epoch"),
    "check_val_every_n_epoch": ((1,), WHOLE),
    "limit_val_batches": ((1.0,), WHOLE),
    "limit_test_batches": ((1.0,), WHOLE),
    "limit_predict_batches": ((1.0,), "a training predicts nothing: leave it out"),
    "overfit_batches": ((0, 0.0), "+trainer.limit_train_batches=N trains on N batches an epoch"),
    "max_steps": ((-1,), "give trainer.max_epochs, and for shorter epochs +trainer.limit_train_batches=N"),
    "min_steps": ((), "a run ends with a whole epoch: give +trainer.min_epochs"),
}

# variables of the environment by which whatever starts a process on each node says so
LAUNCHERS = ("SLURM_NTASKS", "TORCHELASTIC_RUN_ID", "MASTER_ADDR", "NODE_RANK", "LSB_JOBID", "KUBERNETES_PORT")
LEAST_PROCESSES = 16  # that any machine is trusted with


class Trainer(TypedDict, total=False):
    """Arguments whose ranges Lightning's annotations leave open; `ema`, the decay of the averaged weights; and
    `patience`, the epochs without an improvement after which a training ends."""

    max_epochs: Count
    min_epochs: Count | None
    max_steps: int
    limit_train_batches: Count | Annotated[float, Gt(0), Le(1)] | None
    accumulate_grad_batches: Count
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: Count | Literal["auto"] | Sequence[Whole]
    num_nodes: Count
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] | dict
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"]
    gradient_clip_val: NonNegative | None
    gradient_clip_algorithm: Literal["norm", "value"] | None
    ema: OpenShare | None
    patience: Count | None
    log_every_n_steps: Whole | None
    reload_dataloaders_every_n_epochs: Whole
    profiler: Literal["simple", "advanced", "pytorch"] | dict | None
    deterministic: bool | Literal["warn"] | None
    benchmark: bool | None
    inference_mode: bool
    detect_anomaly: bool
    sync_batchnorm: bool
    enable_model_summary: bool | None


def check_trainer(options: Mapping[str, Any]) -> None:
    """Raise UserError for an argument in the node `trainer` that a run would ignore or can't honour.

    Types and ranges are checked by src/config/schema.py.
    """
    if "max_epochs" not in options:
        raise UserError("trainer.max_epochs must be given: trainer.max_epochs=...")
    for name, value in options.items():
        if name in SET:
            raise UserError(f"trainer.{name} is set by the program: {SET[name]}")
        if name in FIXED:
            check_fixed(name, value)
    if not is_duration(options.get("max_time")):
        example = "a time above zero as DD:HH:MM:SS, such as 00:01:30:00 in quotes"
        raise UserError(f"trainer.max_time must be {example}, got {as_argument(options['max_time'])}")
    if options.get("gradient_clip_algorithm") and not options.get("gradient_clip_val"):
        raise UserError("trainer.gradient_clip_algorithm does nothing without trainer.gradient_clip_val")
    check_nodes(options)
    least, most = options.get("min_epochs") or 0, options["max_epochs"]
    if least > most:
        raise UserError(f"trainer.min_epochs={least} is above trainer.max_epochs={most}")


def check_nodes(options: Mapping[str, Any]) -> None:
    """Raise UserError for nodes that nothing has started, for which the training would wait for ever, and for more
    processes than a machine can have."""
    if (nodes := options.get("num_nodes", 1)) > 1 and not any(name in os.environ for name in LAUNCHERS):
        raise UserError(
            f"trainer.num_nodes={nodes}, but this process was started on its own: start one on each node, by srun or "
            "torchrun"
        )
    devices, most = options.get("devices"), max(LEAST_PROCESSES, os.cpu_count() or 1)
    if isinstance(devices, int) and devices > most:
        raise UserError(f"trainer.devices={devices}: this machine has no more than {most}")


def check_fixed(name: str, value: Any) -> None:
    """Raise UserError for a value that a run can't honour. Types matter: 1.0 means all batches, 1 a single one."""
    allowed, remedy = FIXED[name]
    if value is not None and not any(type(value) is type(each) and value == each for each in allowed):
        raise UserError(f"trainer.{name}={as_argument(value)} is not possible: {remedy}")


def is_duration(value: Any) -> bool:
    """Whether a value is None, or a time above zero that Lightning's Timer accepts: DD:HH:MM:SS, or arguments of
    timedelta."""
    if value is None:
        return True
    if isinstance(value, str):
        return bool(re.fullmatch(r"\d+:\d\d:\d\d:\d\d", value)) and any(map(int, value.split(":")))
    units = ("weeks", "days", "hours", "minutes", "seconds")
    return (
        isinstance(value, Mapping)
        and all(unit in units and type(count) in (int, float) and count >= 0 for unit, count in value.items())
        and any(value.values())
    )
