"""The trials of a search: each is a run that is trained, or resumed, and whose result goes to the study."""

import json
import logging
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from src.run import status
from src.run.automatic import settle_if_readable
from src.run.checkpoint_file import epoch_count
from src.run.job import Job
from src.run.jobs_file import read_jobs
from src.run.status import State
from src.support.errors import DivergedError, UserError
from src.support.folders import RunFolder
from src.sweeps import study
from src.sweeps.numbering import belongs, is_deleted, training_of_job
from src.sweeps.space import Plan

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

log = logging.getLogger(__name__)


def train_trial(
    trial: "Trial", plan: Plan, overrides: list[str], run: Path, train: Callable[..., dict[str, Any]]
) -> str | None:
    """Train a trial in the folder `run` and tell the study its result; return why it failed, or None.

    train: train(cfg, folder, overrides, job), which returns the content of metrics.json
    """
    from optuna.trial import TrialState

    token, reason = study.current.set(trial), None
    try:
        if plan.prunes:
            study.replay(trial, run, plan.metrics[0])
        if (ending := status.read(run)).get("state") == State.PRUNED:
            raise study.PrunedError(ending.get("reason") or "pruned")
        job = Job(run.parent.name, trial.user_attrs["words"])
        metrics = train_or_resume(with_pruning(overrides, plan), run, job, train)
        if (ending := status.read(run)).get("state") == State.DIVERGED:
            raise DivergedError(ending.get("reason") or "its loss is higher than at the start")
        trial.set_user_attr("warning", ending.get("warning"))
        if missing := [name for name in plan.metrics if not math.isfinite(metrics.get(name, math.nan))]:
            raise UserError(f"{missing[0]} was not measured, or is no number")
        trial.study.tell(trial, [metrics[name] for name in plan.metrics])
        log.info("  %s", ", ".join(f"{name} {metrics[name]:.2f}" for name in plan.metrics))
    except study.PrunedError as stop:
        trial.set_user_attr("reason", str(stop))
        status.write(run, status.read(run) | {"state": State.PRUNED})
        trial.study.tell(trial, state=TrialState.PRUNED)
        log.info("  %s", stop)
    except Exception as error:
        if not isinstance(error, UserError):
            log.exception("trial %d", trial.number)
        reason = status.one_line(error)
        trial.set_user_attr("reason", reason)
        trial.study.tell(trial, state=TrialState.FAIL)
        log.warning("trial %d failed: %s", trial.number, reason)
    finally:
        study.current.reset(token)
    return reason


def deleted_numbers(folder: Path) -> set[int]:
    """The numbers of a search's trials whose folders the user has deleted."""
    return {job.number for job in read_jobs(folder).values() if is_deleted(folder, job)}


def give_up(trial: "Trial") -> None:
    """Tell the study that a trial has failed, whose folder the user has deleted before it was at its end."""
    from optuna.trial import TrialState

    trial.set_user_attr("reason", str(State.DELETED))
    trial.study.tell(trial, state=TrialState.FAIL)
    log.info("trial %d was deleted, and is not trained again", trial.number)


def check_folder(run: Path, overrides: list[str]) -> None:
    """Raise UserError where the folder of a trial holds another training."""
    if not belongs(run, training_of_job(compose(overrides))):
        raise UserError(
            f"{run} holds another training than this trial's: move it away, or give the search another name"
        )


def compose(overrides: list[str]) -> DictConfig:
    """The configuration of a trial."""
    cfg = hydra.compose("train", overrides)
    settle_if_readable(cfg)
    return cfg


def with_pruning(overrides: list[str], plan: Plan) -> list[str]:
    """The overrides of a trial with the callback that reports its metric after each epoch, if the plan prunes."""
    if not plan.prunes:
        return overrides
    callback = "+callbacks.prune"
    return [*overrides, f"{callback}._target_=callbacks.prune.Prune", f"{callback}.metric={plan.metrics[0]}"]


def train_or_resume(overrides: list[str], run: Path, job: Job, train: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The content of a run's metrics.json, after it was resumed from its checkpoint, or trained where it has none."""
    done, last = RunFolder(run).metrics, RunFolder(run).checkpoint("last")
    if done.is_file():
        return json.loads(done.read_text())
    if last.is_file():
        overrides = [*overrides, f"ckpt_path={last}"]
        log.info("  goes on after epoch %d", epoch_count(last))
    elif run.exists():
        shutil.rmtree(run)
    run.mkdir(parents=True, exist_ok=True)
    return train(compose(overrides), run, overrides, job)


def completed_trials(optuna_study: "Study") -> list["FrozenTrial"]:
    """The trials of a study that were trained to their end, the best first; of two metrics the first decides."""
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    sign = -1 if optuna_study.directions[0] == StudyDirection.MAXIMIZE else 1
    return sorted(optuna_study.get_trials(states=(TrialState.COMPLETE,)), key=lambda trial: sign * trial.values[0])
