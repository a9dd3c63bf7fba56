"""Train a VAE: compose -> build -> fit -> test -> metrics.json.

python -m src.train model=conv latent_dim=16
"""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from src.completion import completion_script
from src.config import memory, trust
from src.config.command_line import errors_in_one_line, prepare_arguments
from src.config.help import help_answer
from src.config.names import option_name
from src.config.options import CONF, Config, check_processes, check_run, to_plain_dict  # registers the schema
from src.config.overrides import check_root, defer_changes, format_option, restore_working_folder, take_changes
from src.run import console, epochs, resume, status
from src.run.automatic import length_note, settle_if_readable, settle_options
from src.run.claim import own, release_claims
from src.run.epochs import Row
from src.run.job import Job
from src.startup import as_user_errors, import_libraries, quieten
from src.support import world
from src.support.errors import DamagedError, DivergedError, UserError, is_memory_error
from src.support.files import remove_partial_files
from src.support.folders import RunFolder
from src.support.signals import run_program, stop_on_signals
from src.sweeps import jobs
from src.sweeps.sweeper import UnfinishedError

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from src import build
    from src.data.module import ImageData
    from src.training.module import VAEModule

log = logging.getLogger(__name__)


def main() -> None:
    """Train as the command line says, and end the program with a line about what went wrong."""
    trust.command.set(["python", "-m", "src.train", *sys.argv[1:]])
    if world.rank():  # the first process prints all there is to say
        logging.disable(logging.WARNING)
    try:
        with stop_on_signals(), release_claims(), errors_in_one_line(Path(CONF)):
            if text := help_answer("train", sys.argv[1:]) or completion_script(sys.argv[1:]):
                print(text)
                return
            sys.argv[1:] = [*prepare_arguments(sys.argv[1:], Path(CONF)), *world.hydra_overrides()]
            hydra_main()
    except UnfinishedError as error:  # a sweep has listed the jobs that did not finish
        sys.exit(error.exit_code)


@defer_changes
@hydra.main(version_base="1.3", config_path=CONF, config_name="train")
def hydra_main(cfg: DictConfig) -> float | None:
    """Train the VAE of a configuration, or a job of a sweep, and return its validation ELBO in nats per image."""
    here, changes = HydraConfig.get(), take_changes()
    check_root(cfg, Config, "train")
    restore_working_folder(here)
    with_wandb = OmegaConf.select(cfg, "logger.wandb") is not None
    if here.mode == RunMode.MULTIRUN:
        settle_if_readable(cfg)
        return jobs.run_job(cfg, here, partial(import_libraries, with_wandb), train_for_user)
    run = Path(here.runtime.output_dir)
    try:
        metrics = train_for_user(cfg, run, [*here.overrides.task, *changes])
    except UserError as error:  # Hydra would print a line of its own before it
        sys.exit(world.last_words(str(error), error.exit_code))
    if status.read(run).get("state") == status.State.DIVERGED:  # it has been measured all the same
        sys.exit(DivergedError.exit_code)
    return metrics["val/elbo"]


def train_for_user(cfg: DictConfig, run: Path, overrides: list[str], job: Job | None = None) -> dict[str, Any]:
    """Train as `train` does, with errors of the operating system and lack of memory as UserErrors."""
    with as_user_errors(run, memory.remedy(cfg)):
        return train(cfg, run, overrides, job)


def train(cfg: DictConfig, run: Path, overrides: list[str], job: Job | None = None) -> dict[str, Any]:
    """Train a VAE, test its best checkpoint, and return what metrics.json holds, in nats per image.

    Leaves in the folder `run`: config.yaml, metrics.csv, metrics.json, {val,test}_terms.npz, checkpoints/, figures/.
    With cfg.ckpt_path, the run of that checkpoint is resumed in its own folder; if that is refused, nothing in the
    folder has changed. Raises UserError for anything that a user can correct.
    """
    trust.remember(OmegaConf.to_container(cfg))
    with ExitStack() as stack:
        stack.enter_context(own(run))
        if cfg.ckpt_path and not cfg.resume:  # resume=auto has compared the configuration with that in the checkpoint
            cfg, overrides = resume.compose(Path(cfg.ckpt_path), overrides, cfg.trust)
        check_run(cfg)
        settle_options(cfg)
        check_processes(cfg)
        import_libraries(with_wandb=OmegaConf.select(cfg, "logger.wandb") is not None)
        from src import build
        from src.training import checkpoints

        quieten()
        checkpoint = checkpoints.read(Path(cfg.ckpt_path)) if cfg.ckpt_path else None
        if not checkpoint:
            ending = stack.enter_context(record_run(run, cfg, overrides, in_sweep=job is not None))
        training = build.everything(cfg, overrides, checkpoint)
        if checkpoint:
            words = training.module.run["overrides"]
            ending = stack.enter_context(record_run(run, cfg, words, resumes=True, in_sweep=job is not None))
        metrics, rows = fit(cfg, run, training, job)
        ending |= judge(rows, metrics)
        console.log_next(run, metrics, "warning" in ending, trust.option_for(OmegaConf.to_container(cfg)))
    return metrics


@contextmanager
def record_run(
    run: Path, cfg: DictConfig, overrides: list[str], resumes: bool = False, in_sweep: bool = False
) -> Iterator[dict[str, Any]]:
    """Record a run's configuration, and its state until it ends; yields the ending. Only the first process writes."""
    from lightning.pytorch.utilities import rank_zero_only

    from src.run import record

    if rank_zero_only.rank:
        yield {}
        return
    if resumes:
        remove_partial_files(run)
        resume.update_hydra_folder(run, cfg, overrides)
    try:
        with status.record_status(run, overrides) as ending:
            record.write(RunFolder(run).config, OmegaConf.to_yaml(OmegaConf.create(to_plain_dict(cfg))))
            yield ending
    except (SystemExit, KeyboardInterrupt, OSError) as error:
        last = RunFolder(run).checkpoint("last")
        if last.is_file() and not in_sweep:  # a sweep says how it goes on itself
            again = f"python -m src.train {format_option('ckpt_path', os.path.relpath(last))}"
            again = "start it again" if cfg.resume else again
            end = "failed" if isinstance(error, OSError) else "interrupted"
            log.warning("%s; to go on after the last whole epoch: %s", end, again)
        raise


def fit(cfg: DictConfig, run: Path, training: "build.Training", job: Job | None) -> tuple[dict[str, Any], list[Row]]:
    """Minimise the objective, test the best checkpoint, and return what metrics.json and metrics.csv hold."""
    from src.run import guard, identity
    from src.run.loggers import build_loggers
    from src.training.trainer import make_trainer

    module, data, position = training
    identity.keep(run, module.run, data, in_sweep=job is not None)
    metrics: dict[str, Any] = {}
    loggers = build_loggers(cfg, run, job, position, data.step_size())
    try:
        trainer = make_trainer(cfg, run, loggers)
        if job and trainer.world_size > 1:
            raise UserError("a sweep trains with one process a run: the others would start the whole sweep again")
        length = length_note(module.run["config"], module.run["overrides"], len(data.source.train.images))
        console.log_opening(cfg.title, run, module.vae, data, trainer, position.epoch if position else 0, length)
        with end_other_processes(trainer):
            minimise(trainer, training, cfg.ckpt_path)
            metrics, rows = test(trainer, training, run)
    finally:
        final = {k: v for k, v in metrics.items() if isinstance(v, int | float)}
        guard.close(loggers, final, status.state_after(sys.exception()))
    return metrics, rows


@contextmanager
def end_other_processes(trainer: "Trainer") -> Iterator[None]:
    """Where a signal ends this process, end those that Lightning has started for its run."""
    try:
        yield
    except SystemExit:
        if (launcher := trainer.strategy.launcher) is not None:
            launcher.kill(signal.SIGTERM)
        raise


def minimise(trainer: "Trainer", training: "build.Training", ckpt_path: str | None) -> None:
    """Train until max_epochs, from the checkpoint if there is one."""
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    from src.training import checkpoints
    from src.training.early_stopping import early_end

    restoration = checkpoints.Restoration()
    trainer.callbacks.insert(0, restoration)
    try:
        trainer.fit(training.module, training.data, ckpt_path=ckpt_path, weights_only=True)
        if not restoration.is_complete:
            reason = early_end(trainer) or f"it has all of its {trainer.max_epochs} epochs"
            log.info("nothing is left to train, and the results are measured again: %s", reason)
    except MisconfigurationException as error:
        raise UserError(f"trainer: {str(error).splitlines()[0]}") from error
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:
        if world.is_connection_lost(error):
            raise UserError("another process of this run has ended, so this one can't go on") from error
        if ckpt_path is None or restoration.is_complete or is_memory_error(error):
            raise
        raise DamagedError(
            f"{ckpt_path}: the training can't go on from it ({status.one_line(error)}): try another of its folder"
        ) from error


def test(trainer: "Trainer", training: "build.Training", run: Path) -> tuple[dict[str, Any], list[Row]]:
    """Measure the best checkpoint on the validation and the test images, and write metrics.json and the terms.

    Returns what metrics.json and metrics.csv hold.
    """
    from lightning.pytorch.callbacks import WeightAveraging

    from src.run import record
    from src.training import checkpoints
    from src.training.early_stopping import early_end

    module, data, _ = training
    best, stop = RunFolder(run).checkpoint("best"), early_end(trainer)
    if not best.is_file():
        reason = "no epoch was finished and validated, or its checkpoint was removed"
        raise UserError(f"{best}: there is no such checkpoint to test ({reason}): train longer")
    # in a test after a fit, WeightAveraging would load the weights as they were trained, not their average
    trainer.callbacks = [each for each in trainer.callbacks if not isinstance(each, WeightAveraging)]
    trainer.test(module, data, ckpt_path=best, weights_only=True, verbose=False)
    rows = epochs.read_with_warning(run)
    metrics = final_metrics(module, data, rows, checkpoints.read(best)["epoch"] + 1)
    metrics |= {"early_stop": stop} if stop else {}
    if trainer.is_global_zero:
        record.write_terms(run, {split: module.terms[split] for split in data.measured})
        record.write_json(RunFolder(run).metrics, metrics)
        epochs.warn_of_other_images(run, rows)
        console.log_results(metrics)
    return metrics, rows


def judge(rows: list[Row], metrics: dict[str, Any]) -> dict[str, str]:
    """The entries of status.json that the results of an uninterrupted training add or change.

    rows: those of metrics.csv

    The state is `diverged` if the model is worse than it was untrained, on its training images, too. There is a
    `warning` if it is no better than one that has learned nothing, and a `reason` if the training has ended before its
    last epoch.
    """
    if reason := status.divergence(rows):
        log.warning("the training has diverged: %s", reason)
        return {"state": status.State.DIVERGED, "reason": reason}
    warnings = status.warnings(rows, metrics)
    for line in warnings:
        log.warning("finished, but %s", line)
    return ({"reason": metrics["early_stop"]} if "early_stop" in metrics else {}) | (
        {"warning": "; ".join(warnings)} if warnings else {}
    )


def final_metrics(module: "VAEModule", data: "ImageData", rows: list[Row], epoch: int) -> dict[str, Any]:
    """The content of metrics.json: the numbers of the tested checkpoint, of `epoch`, and where they come from."""
    from src.run import record

    best = next((row for row in rows if row["epoch"] == epoch), {})  # its row may have been lost
    return {
        **{name: value for name, value in best.items() if name not in ("seconds", "step")},
        **module.numbers,
        "epoch": epoch,
        "training_seconds": sum(row.get("seconds", 0) for row in rows),
        "parameters": sum(weight.numel() for weight in module.vae.parameters()),
        "likelihood": type(module.vae.likelihood).__name__,
        "condition": option_name(module.run["config"]["condition"]["_target_"]) if module.vae.condition else "none",
        "pixels": data.pixels,
        "data": data.description(),
        "device": str(module.trainer.strategy.root_device),  # the module is on the CPU again
        "precision": module.trainer.precision,
        **record.provenance(),
    }


if __name__ == "__main__":
    run_program(main)
