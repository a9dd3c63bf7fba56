"""Arguments of Lightning's Trainer: which a run can honour, judged before anything heavy is imported."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.errors import UserError

LIGHTNING = "lightning.pytorch.Trainer"
WHOLE = "a run is measured on all of its images, once an epoch: leave it out"

# What a run sets itself, and how one gets what the argument is for.
SET = {
    "logger": "choose logger=csv or logger=wandb, or add one with +logger.NAME._target_=...",
    "callbacks": "add one with +callbacks.NAME._target_=...",
    "plugins": "choose trainer.precision or trainer.strategy",
    "default_root_dir": "give hydra.run.dir=FOLDER",
    "num_sanity_val_steps": "the untrained model is always measured: leave it out",
    "enable_progress_bar": "~callbacks.progress does without the bar",
    "model_registry": "checkpoints lie in the run's folder: leave it out",
}
# What a run can't honour unless it has one of these values (None always), and why or what to use instead.
FIXED: dict[str, tuple[tuple[Any, ...], str]] = {
    "fast_dev_run": ((False, 0), "trainer.max_epochs=1 +trainer.limit_train_batches=1 tries a run out"),
    "barebones": ((False,), "callbacks=none logger=csv does without all that can be spared"),
    "enable_checkpointing": ((True,), "the best checkpoint is what is tested: leave it out"),
    "use_distributed_sampler": ((False,), "src/data.py gives each process its share: leave it out"),
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


def whole(least: int) -> Callable[[Any], bool]:
    """Whether a value is an integer of at least `least`."""
    return lambda value: type(value) is int and value >= least


def number(value: Any) -> bool:
    """Whether a value is an integer or a float, and no truth value."""
    return type(value) in (int, float)


def duration(value: Any) -> bool:
    """Whether Lightning's Timer takes a value for a time above zero: DD:HH:MM:SS, or arguments of timedelta."""
    if isinstance(value, str):
        return bool(re.fullmatch(r"\d+:\d\d:\d\d:\d\d", value)) and any(map(int, value.split(":")))
    units = ("weeks", "days", "hours", "minutes", "seconds")
    return (
        isinstance(value, Mapping)
        and all(unit in units and number(count) and count >= 0 for unit, count in value.items())
        and any(value.values())
    )


def truth(value: Any) -> bool:
    """Whether a value is true or false."""
    return isinstance(value, bool)


# What the others may be, besides null, and in words.
RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "max_epochs": (whole(1), "a whole number, 1 or more"),
    "min_epochs": (whole(1), "a whole number, 1 or more"),
    "max_time": (duration, "a time above zero as DD:HH:MM:SS, such as 00:01:30:00 in quotes"),
    "limit_train_batches": (
        lambda value: whole(1)(value) or (type(value) is float and 0 < value <= 1),
        "a whole number of batches, 1 or more, or a share above 0 and up to 1.0",
    ),
    "accumulate_grad_batches": (whole(1), "a whole number, 1 or more"),
    "gradient_clip_val": (lambda value: number(value) and value >= 0, "a number, 0 or more"),
    "gradient_clip_algorithm": (lambda value: value in ("norm", "value"), "norm or value"),
    "ema": (lambda value: number(value) and 0 < value < 1, "a number above 0 and below 1"),
    "log_every_n_steps": (whole(0), "a whole number, 0 or more"),
    "reload_dataloaders_every_n_epochs": (whole(0), "a whole number, 0 or more"),
    "num_nodes": (whole(1), "a whole number, 1 or more"),
    "strategy": (
        lambda value: value in ("auto", "ddp", "ddp_find_unused_parameters_true") or isinstance(value, Mapping),
        "auto or ddp",
    ),
    "precision": (
        lambda value: str(value) in ("32-true", "32", "64-true", "64", "bf16-mixed", "bf16", "16-mixed", "16"),
        "32-true, bf16-mixed, 16-mixed or 64-true",
    ),
    "profiler": (
        lambda value: value in ("simple", "advanced", "pytorch") or isinstance(value, Mapping),
        "simple, advanced or pytorch",
    ),
    "deterministic": (lambda value: truth(value) or value == "warn", "true, false or warn"),
    **dict.fromkeys(
        ("benchmark", "inference_mode", "detect_anomaly", "sync_batchnorm", "enable_model_summary"),
        (truth, "true or false"),
    ),
}
ELSEWHERE = ("_target_", "_partial_", "_convert_", "accelerator", "devices")  # judged by Hydra and by the machine


def check_trainer(cfg: DictConfig) -> None:
    """Raises UserError for an argument in the node `trainer` that a run would ignore or can't honour."""
    if OmegaConf.is_missing(cfg, "trainer") or not OmegaConf.is_dict(cfg.trainer):
        raise UserError("trainer must be given: trainer=default, trainer=gpu or trainer=ddp")
    options = {"max_epochs": None} | OmegaConf.to_container(cfg.trainer, resolve=True)
    for name, value in options.items():
        if name in SET:
            raise UserError(f"trainer.{name} is set by the program: {SET[name]}")
        if name in FIXED:
            check_fixed(name, value)
        elif name in RANGES:
            accepts, words = RANGES[name]
            if (value is None and name == "max_epochs") or (value is not None and not accepts(value)):
                raise UserError(f"trainer.{name} must be {words}, got {value}{hint(name, value)}")
        elif name not in ELSEWHERE and options.get("_target_") == LIGHTNING:
            raise UserError(f"trainer.{name} is no argument of Lightning's Trainer")
    if options.get("gradient_clip_algorithm") and not options.get("gradient_clip_val"):
        raise UserError("trainer.gradient_clip_algorithm does nothing without trainer.gradient_clip_val")
    least, most = options.get("min_epochs") or 0, options["max_epochs"]
    if least > most:
        raise UserError(f"trainer.min_epochs={least} is above trainer.max_epochs={most}")


def check_fixed(name: str, value: Any) -> None:
    """Raises UserError for a value that a run can't honour: 1.0 batches are all, but 1 is one."""
    allowed, remedy = FIXED[name]
    if value is not None and not any(type(value) is type(each) and value == each for each in allowed):
        raise UserError(f"trainer.{name}={value} is not possible: {remedy}")


def hint(name: str, value: Any) -> str:
    """What is meant, probably, by a precision that trains the weights themselves in 16 bits."""
    return f": use {value[:-4]}mixed" if name == "precision" and value in ("bf16-true", "16-true") else ""
