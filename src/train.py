"""Train a VAE: compose -> build -> fit -> test -> metrics.json.

python -m src.train model=conv latent_dim=16
"""

import gc
import logging
import os
import sys
import traceback
import warnings
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from src.config import overrides as words
from src.config.command_line import errors_in_one_line, readable
from src.config.options import (  # registers the schema that conf/train.yaml starts from
    CONF,
    Config,
    check_run,
    help_text,
    plain,
)
from src.run import resume, status
from src.support.errors import UserError, of_memory
from src.support.files import tidy
from src.sweeps import jobs as sweeps

if TYPE_CHECKING:
    from src.data.module import ImageData
    from src.training.module import VAEModule

log = logging.getLogger(__name__)


def main() -> None:
    """The command line."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help_text("train"))
        return
    try:
        with errors_in_one_line(Path(CONF)):
            sys.argv[1:] = readable(sys.argv[1:], Path(CONF))
            job()
    except KeyboardInterrupt:
        sys.exit(sweeps.how_to_go_on() if sweeps.Sweep.config else 1)
    except BaseException as error:
        if sweeps.Sweep.config:  # the launcher broke off
            if not isinstance(error, SystemExit):
                traceback.print_exc()
            sweeps.end(sweeps.Sweep.config)
        raise


@words.defer_changes
@hydra.main(version_base="1.3", config_path=CONF, config_name="train")
def job(cfg: DictConfig) -> float | None:
    """Trains the VAE of a configuration and returns its validation ELBO, in nats per image."""
    here, changes = HydraConfig.get(), words.deferred_changes()
    words.check_root(cfg, Config, "train")
    words.go_back(here)
    with_wandb = OmegaConf.select(cfg, "logger.wandb") is not None
    if here.mode == RunMode.MULTIRUN:
        return sweeps.do(cfg, here, partial(import_libraries, with_wandb), train_alone)
    try:
        return train_alone(cfg, Path(here.runtime.output_dir), [*here.overrides.task, *changes])["val/elbo"]
    except UserError as error:  # Hydra would print a line of its own before it
        sys.exit(str(error))


def train_alone(cfg: DictConfig, run: Path, overrides: list[str], job: sweeps.Job | None = None) -> dict[str, Any]:
    """As `train`, whose errors of the system are the user's to mend."""
    try:
        return train(cfg, run, overrides, job)
    except OSError as error:
        raise UserError(f"{error.strerror or error}: {error.filename or run}") from error
    except (MemoryError, RuntimeError) as error:
        if not of_memory(error):
            raise
        raise UserError("there is not enough memory: reduce data.batch_size, samples or the networks") from error


def train(cfg: DictConfig, run: Path, overrides: list[str], job: sweeps.Job | None = None) -> dict[str, Any]:
    """Trains, tests the best checkpoint, and returns what it writes to metrics.json, in nats per image.

    Leaves in the folder `run`: config.yaml, metrics.csv, metrics.json, {val,test}_terms.npz, checkpoints/, figures/.
    Raises UserError for anything a user can mend.
    """
    if cfg.ckpt_path:
        cfg, overrides = resume.compose(Path(cfg.ckpt_path), overrides)
    check_run(cfg)
    import_libraries(with_wandb=OmegaConf.select(cfg, "logger.wandb") is not None)
    from lightning.pytorch.utilities import rank_zero_only

    from src import build
    from src.run import identity
    from src.training import checkpoints

    quieten()
    step = None
    if cfg.ckpt_path:
        checkpoint = checkpoints.read(Path(cfg.ckpt_path))
        step = checkpoint["global_step"]
        if cfg.trainer.max_epochs <= checkpoint["epoch"]:
            raise UserError(
                f"the run is past epoch {checkpoint['epoch'] + 1}: trainer.max_epochs counts from its start"
            )
        # refused before anything of the run is changed
        checkpoints.check_fit(checkpoint, build.module(cfg, overrides), averages=cfg.trainer.get("ema") is not None)
        overrides = overrides + identity.check_resumed(checkpoint, cfg, build.source(cfg))
        if not rank_zero_only.rank:
            tidy(run)
            resume.update_hydra_folder(run, cfg, overrides)
    with nullcontext({}) if rank_zero_only.rank else status.record_status(run, overrides) as ending:
        metrics = fit(cfg, run, overrides, job, step)
        ending |= verdict(run, metrics)
    return metrics


def fit(cfg: DictConfig, run: Path, overrides: list[str], job: sweeps.Job | None, step: int | None) -> dict[str, Any]:
    """What `train` does, from the step of the checkpoint `cfg.ckpt_path`, if there is one."""
    from lightning.pytorch.callbacks import WeightAveraging
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    from src import build
    from src.run import identity, record, tracking
    from src.run.loggers import build_loggers
    from src.training import checkpoints, trial

    record.write(run / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(plain(cfg))))
    module = build.module(cfg, overrides)
    data = build.data(cfg, module.vae)
    trial.try_few(module, data)
    identity.keep(run, module.run, data, in_sweep=job is not None)
    log.info("%s -> %s", cfg.title, os.path.relpath(run))

    loggers = build_loggers(cfg, run, job, build.make, step)
    best, last = (run / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    metrics: dict[str, Any] = {}
    try:
        trainer = build.trainer(cfg, run, loggers)
        if job and trainer.world_size > 1:
            raise UserError("a sweep trains with one process a run: the others would start the whole sweep again")
        try:
            trainer.fit(module, data, ckpt_path=cfg.ckpt_path, weights_only=True)
        except MisconfigurationException as error:
            raise UserError(f"trainer: {str(error).splitlines()[0]}") from error
        if not best.is_file():
            raise UserError("no epoch was finished and validated, so there is no checkpoint to test: train longer")
        # in a test that follows a fit it would load the weights as they were trained, not their average
        trainer.callbacks = [each for each in trainer.callbacks if not isinstance(each, WeightAveraging)]
        trainer.test(module, data, ckpt_path=best, weights_only=True, verbose=False)
        metrics = measured(module, data, run, checkpoints.read(best)["epoch"] + 1)
        if trainer.is_global_zero:
            record.write_terms(run, {split: module.terms[split] for split in ("val", "test")})
            record.write_json(run / "metrics.json", metrics)
            report(metrics, run)
    except SystemExit:  # Lightning's answer to Ctrl-C
        if last.is_file():
            again = words.option("ckpt_path", os.path.relpath(last))
            log.warning("interrupted; to go on after the last whole epoch: python -m src.train %s", again)
        raise
    finally:
        tracking.close(loggers, {k: v for k, v in metrics.items() if isinstance(v, int | float)}, bool(metrics))
    return metrics


def import_libraries(with_wandb: bool) -> None:
    """Imports what takes seconds, once: so late that --help and a mistyped option answer before."""
    if "src.build" in sys.modules:
        return
    gc.disable()  # it would search the modules for garbage time and again, and find nothing
    if with_wandb:
        import wandb.apis.public  # noqa: F401 (first: each of its classes searches all modules that are there already)
    from src.run import record

    record.git_commit()  # of this code: a sweep's later jobs run it, too, whatever changes meanwhile
    gc.freeze()  # what is imported stays
    gc.enable()


def verdict(run: Path, metrics: dict[str, Any]) -> dict[str, str]:
    """How a training ended that came to its end: it may have left the model worse than it was untrained, or no better
    than one that knows nothing."""
    from src.run import record

    epochs = record.epochs(run)
    if reason := status.divergence(epochs):
        log.warning("the training has diverged: %s", reason)
        return {"state": "diverged", "reason": reason}
    found = status.warnings(epochs, metrics)
    for line in found:
        log.warning("finished, but %s", line)
    return {"warning": "; ".join(found)} if found else {}


def measured(module: "VAEModule", data: "ImageData", run: Path, epoch: int) -> dict[str, Any]:
    """What metrics.json holds: the numbers of the tested checkpoint, of `epoch`, and where they come from."""
    from src.run import record

    rows = record.epochs(run)
    best = next(row for row in rows if row["epoch"] == epoch)
    return {
        **{name: value for name, value in best.items() if name not in ("seconds", "step")},
        **module.numbers,
        "epoch": epoch,
        "training_seconds": sum(row.get("seconds", 0) for row in rows),
        "parameters": sum(weight.numel() for weight in module.vae.parameters()),
        "likelihood": type(module.vae.likelihood).__name__,
        "pixels": data.pixels,
        "data": data.description(),
        "device": str(module.device),
        "precision": module.trainer.precision,
        **record.provenance(),
    }


def quieten() -> None:
    """Silences what libraries say of things that are as they should be here."""
    # sync_dist: every process evaluates all images, so there is nothing to gather
    # and a test of averaged weights needs no averaging
    expected = ("exists and is not empty", "treespec, LeafSpec", "does not have many workers", "sync_dist=True")
    for message in (*expected, r"add the following callbacks: \['Average'\]"):
        warnings.filterwarnings("ignore", f".*{message}.*")
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda", "openTSNE"):
        logging.getLogger(name).setLevel(logging.WARNING)


def report(metrics: dict[str, Any], run: Path) -> None:
    """Says how it ended and where everything lies."""
    from src.run import record

    known = ["train/elbo_se" in row for row in record.epochs(run)]
    if any(known) and not all(known):  # begun when fewer training images were measured
        log.warning("train/... of the first %d rows of metrics.csv is of other training images", known.count(False))
    for split in ("val", "test"):
        numbers = ", ".join(f"{name} {metrics[f'{split}/{name}']:.2f}" for name in ("elbo", "recon", "kl"))
        log.info("%s: %s nats per image (epoch %d)", split, numbers, metrics["epoch"])
    log.info("pictures and numbers: %s", os.path.relpath(run))


if __name__ == "__main__":
    main()
