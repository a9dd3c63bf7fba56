"""Train a VAE: compose -> build -> fit -> test -> metrics.json.

python -m src.train model=conv latent_dim=16
"""

import logging
import os
import time
import warnings
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

import src.config  # noqa: F401 (registers the schema that conf/train.yaml starts from)
from src import record
from src.errors import UserError

log = logging.getLogger(__name__)
CONF = str(Path(__file__).resolve().parent.parent / "conf")


@hydra.main(version_base="1.3", config_path=CONF, config_name="train")
def main(cfg: DictConfig) -> float:
    """Trains the VAE of a configuration and returns its validation ELBO, in nats per image."""
    job = HydraConfig.get()
    run, overrides = Path(job.runtime.output_dir), list(job.overrides.task)
    group = Path(job.sweep.dir).name if job.mode == RunMode.MULTIRUN else None
    try:
        return train(cfg, run, overrides, group)["val/elbo"]
    except OSError as error:
        raise UserError(f"{error.strerror or error}: {error.filename or run}") from error


def train(cfg: DictConfig, run: Path, overrides: list[str], group: str | None = None) -> dict[str, Any]:
    """Trains, tests the best checkpoint, and returns what it writes to metrics.json, in nats per image.

    Leaves in the folder `run`: config.yaml, metrics.csv, metrics.json, {val,test}_terms.npz, checkpoints/, figures/.
    Raises UserError for anything a user can mend.
    """
    # Lightning takes seconds to import: --help and a mistyped option answer before that
    from src import build, checkpoints

    started = time.perf_counter()
    quieten()
    step = 0
    if cfg.ckpt_path:
        checkpoint = checkpoints.read(Path(cfg.ckpt_path))
        step = checkpoint["global_step"]
        cfg, overrides = resumed(checkpoint, overrides)
    module = build.module(cfg, overrides)
    data = build.data(cfg, module.vae)
    record.write(run / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    log.info("%s -> %s", cfg.title, os.path.relpath(run))

    loggers = build.loggers(cfg, run, group, step)
    best = run / "checkpoints" / "best.ckpt"
    finished = False
    try:
        trainer = build.trainer(cfg, run, loggers)
        trainer.fit(module, data, ckpt_path=cfg.ckpt_path, weights_only=True)
        speed = {name: module.numbers.get(name) for name in ("images_per_second", "images_seen")}
        trainer.test(module, data, ckpt_path=best, weights_only=True, verbose=False)
        metrics = {
            **module.numbers,
            **speed,
            "likelihood": type(module.vae.likelihood).__name__,
            "binarised": data.binary,
            "checkpoint": str(best.relative_to(run)),
            "checkpoint_epoch": checkpoints.read(best)["epoch"] + 1,
            "parameters": sum(weight.numel() for weight in module.vae.parameters()),
            "seconds": time.perf_counter() - started,
            "device": str(trainer.strategy.root_device),
            "data": data.described(),
            **record.provenance(),
        }
        record.write_terms(run, {split: module.terms[split] for split in ("val", "test")})
        record.write_json(run / "metrics.json", metrics)
        finished = True
    except SystemExit:  # Lightning's answer to Ctrl-C
        last = os.path.relpath(best.with_name("last.ckpt"))
        log.warning("interrupted; to go on after the last whole epoch: python -m src.train ckpt_path=%s", last)
        raise
    finally:
        build.close(loggers, module.numbers, finished)
    report(metrics, run)
    return metrics


def resumed(checkpoint: dict, overrides: list[str]) -> tuple[DictConfig, list[str]]:
    """The configuration of the run that a checkpoint belongs to, with new options on top of its own."""
    latest = {word.partition("=")[0]: word for word in checkpoint["run"]["overrides"] + overrides}
    cfg = hydra.compose("train", list(latest.values()))
    return cfg, [word for name, word in latest.items() if name != "ckpt_path"]


def quieten() -> None:
    """Silences what Lightning says of things that are as they should be here."""
    for message in (".*exists and is not empty.*", ".*treespec, LeafSpec.*", ".*does not have many workers.*"):
        warnings.filterwarnings("ignore", message)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)


def report(metrics: dict[str, Any], run: Path) -> None:
    """Says how it ended and where everything lies."""
    for split in ("val", "test"):
        numbers = ", ".join(f"{name} {metrics[f'{split}/{name}']:.2f}" for name in ("elbo", "recon", "kl"))
        log.info("%s: %s nats per image (epoch %d)", split, numbers, metrics["checkpoint_epoch"])
    log.info("%d s; pictures and numbers: %s", metrics["seconds"], os.path.relpath(run))


if __name__ == "__main__":
    main()
