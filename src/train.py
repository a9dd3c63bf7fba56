"""Train a VAE: compose -> build -> fit -> test -> metrics.json.

python -m src.train model=conv latent_dim=16
"""

import gc
import logging
import os
import sys
import warnings
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from src import status, sweeps
from src.config import CONF, help_text  # the import registers the schema that conf/train.yaml starts from
from src.errors import UserError
from src.files import tidy

if TYPE_CHECKING:
    from src.data import ImageData
    from src.module import VAEModule

log = logging.getLogger(__name__)


def main() -> None:
    """The command line."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help_text("train"))
        return
    try:
        job()
    except KeyboardInterrupt:
        sys.exit(sweeps.how_to_go_on() if sweeps.Sweep.config else 1)
    except SystemExit:
        if sweeps.Sweep.config:  # the launcher broke off, of which Hydra has told
            sweeps.end(sweeps.Sweep.config)
        raise


@hydra.main(version_base="1.3", config_path=CONF, config_name="train")
def job(cfg: DictConfig) -> float | None:
    """Trains the VAE of a configuration and returns its validation ELBO, in nats per image."""
    here = HydraConfig.get()
    with_wandb = OmegaConf.select(cfg, "logger.wandb") is not None
    if here.mode == RunMode.MULTIRUN:
        return sweeps.do(cfg, here, partial(import_libraries, with_wandb), train_alone)
    return train_alone(cfg, Path(here.runtime.output_dir), list(here.overrides.task))["val/elbo"]


def train_alone(cfg: DictConfig, run: Path, overrides: list[str], job: sweeps.Job | None = None) -> dict[str, Any]:
    """As `train`, whose errors of the system are the user's to mend."""
    try:
        return train(cfg, run, overrides, job)
    except OSError as error:
        raise UserError(f"{error.strerror or error}: {error.filename or run}") from error


def train(cfg: DictConfig, run: Path, overrides: list[str], job: sweeps.Job | None = None) -> dict[str, Any]:
    """Trains, tests the best checkpoint, and returns what it writes to metrics.json, in nats per image.

    Leaves in the folder `run`: config.yaml, metrics.csv, metrics.json, {val,test}_terms.npz, checkpoints/, figures/.
    Raises UserError for anything a user can mend.
    """
    import_libraries(with_wandb=OmegaConf.select(cfg, "logger.wandb") is not None)
    from lightning.pytorch.utilities import rank_zero_only

    from src import build, checkpoints, identity

    quieten()
    step = 0
    if cfg.ckpt_path:
        checkpoint = checkpoints.read(Path(cfg.ckpt_path))
        step = checkpoint["global_step"]
        cfg, overrides = resumed(checkpoint, overrides)
        if cfg.trainer.max_epochs <= checkpoint["epoch"]:
            raise UserError(
                f"the run is past epoch {checkpoint['epoch'] + 1}: trainer.max_epochs counts from its start"
            )
        # refused before anything of the run is changed
        checkpoints.check_fit(checkpoint, build.module(cfg, overrides), averages=cfg.trainer.ema is not None)
        overrides = overrides + identity.check_resumed(checkpoint, cfg, build.source(cfg))
        if not rank_zero_only.rank:
            tidy(run)
    with nullcontext({}) if rank_zero_only.rank else status.kept(run, overrides) as ending:
        metrics = fit(cfg, run, overrides, job, step)
        ending |= verdict(run)
    return metrics


def fit(cfg: DictConfig, run: Path, overrides: list[str], job: sweeps.Job | None, step: int) -> dict[str, Any]:
    """What `train` does, from the step of the checkpoint `cfg.ckpt_path`, if there is one."""
    from lightning.pytorch.callbacks import WeightAveraging

    from src import build, checkpoints, identity, record, tracking

    record.write(run / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(build.plain(cfg))))
    module = build.module(cfg, overrides)
    data = build.data(cfg, module.vae)
    build.try_few(module, data)
    identity.keep(run, module.run, data, in_sweep=job is not None)
    log.info("%s -> %s", cfg.title, os.path.relpath(run))

    loggers = build.loggers(cfg, run, job, step)
    best, last = (run / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    metrics: dict[str, Any] = {}
    try:
        trainer = build.trainer(cfg, run, loggers)
        if job and trainer.world_size > 1:
            raise UserError("a sweep trains with one process a run: the others would start the whole sweep again")
        trainer.fit(module, data, ckpt_path=cfg.ckpt_path, weights_only=True)
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
            path = os.path.relpath(last)
            log.warning("interrupted; to go on after the last whole epoch: python -m src.train ckpt_path=%s", path)
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
    from src import build, record  # noqa: F401

    record.git_commit()  # of this code: a sweep's later jobs run it, too, whatever changes meanwhile
    gc.freeze()  # what is imported stays
    gc.enable()


def resumed(checkpoint: dict, overrides: list[str]) -> tuple[DictConfig, list[str]]:
    """The configuration of the run that a checkpoint belongs to, with new options on top of its own."""
    own = checkpoint["run"]["overrides"]
    before = OmegaConf.to_container(hydra.compose("train", own), resolve=True)
    changed = [name for name, value in checkpoint["run"]["config"].items() if before.get(name) != value]
    if set(changed) - {"ckpt_path"}:
        log.warning("conf/ or the environment has changed since the run began, in %s", ", ".join(changed))
    latest = {word.partition("=")[0]: word for word in own + overrides}
    cfg = hydra.compose("train", list(latest.values()))
    return cfg, [word for name, word in latest.items() if name != "ckpt_path"]


def verdict(run: Path) -> dict[str, str]:
    """How a training ended that came to its end: it may have left the model worse than it was untrained."""
    from src import record

    if reason := status.divergence(record.epochs(run)):
        log.warning("the training has diverged: %s", reason)
        return {"state": "diverged", "reason": reason}
    return {}


def measured(module: "VAEModule", data: "ImageData", run: Path, epoch: int) -> dict[str, Any]:
    """What metrics.json holds: the numbers of the tested checkpoint, of `epoch`, and where they come from."""
    from src import record

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
        "data": data.described(),
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
    for split in ("val", "test"):
        numbers = ", ".join(f"{name} {metrics[f'{split}/{name}']:.2f}" for name in ("elbo", "recon", "kl"))
        log.info("%s: %s nats per image (epoch %d)", split, numbers, metrics["epoch"])
    log.info("pictures and numbers: %s", os.path.relpath(run))


if __name__ == "__main__":
    main()
