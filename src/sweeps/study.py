"""A search on disk: optuna's journal in the folder of the search, each trial a folder of its own beside it."""

import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from src.support import noise
from src.support.errors import UserError
from src.sweeps.space import Plan

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage
    from optuna.trial import Trial

JOURNAL = "study.journal"
current: ContextVar["Trial | None"] = ContextVar("the trial that is being trained", default=None)


class PrunedError(UserError):
    """A trial was hopeless, and ended before its last epoch."""


def storage(folder: Path) -> "BaseStorage":
    """optuna's storage in the journal of a folder that this process holds."""
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    mend(folder / JOURNAL)
    return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))


def opened(where: "BaseStorage", name: str, plan: Plan) -> "Study":
    """The study of that name, or a new one."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=where,
        study_name=name,
        directions=plan.directions,
        pruner=pruner(plan),
        load_if_exists=True,
    )


def mend(journal: Path) -> None:
    """Drops what a crash may leave: a lock that nobody holds, and a last line cut short."""
    Path(f"{journal}.lock").unlink(missing_ok=True)
    if journal.is_file():
        text = journal.read_bytes()
        os.truncate(journal, text.rfind(b"\n") + 1)


def pruner(plan: Plan) -> "BasePruner":
    """optuna's pruner of that name."""
    from optuna import pruners

    if plan.pruner == "median":
        return pruners.MedianPruner(plan.startup, n_warmup_steps=plan.warmup + 1)  # optuna spares what is below
    return pruners.HyperbandPruner() if plan.pruner == "hyperband" else pruners.NopPruner()


def due(study: "Study", where: "BaseStorage", total: int, startup: int) -> Iterator["Trial"]:
    """The trials that a crash left unfinished, then new ones, until there are `total`.

    What a trial suggests depends on its number and the trials before it alone, not on how often the search was stopped.
    """
    from optuna.samplers import TPESampler
    from optuna.trial import Trial, TrialState

    def seeded(number: int) -> None:
        study.sampler = TPESampler(n_startup_trials=startup, seed=noise.seed_of(0, "search", number) % 2**32)

    here = where.get_study_id_from_name(study.study_name)
    for left in study.get_trials(states=(TrialState.RUNNING,)):
        seeded(left.number)
        yield Trial(study, where.get_trial_id_from_study_id_trial_number(here, left.number))
    while (count := len(study.get_trials(deepcopy=False))) < total:
        seeded(count)
        yield study.ask()


def report(trial: "Trial", epoch: int, value: float) -> None:
    """Reports an epoch once: a trial that is resumed meets the epoch after its last checkpoint again."""
    known = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    if epoch not in known:
        trial.report(value, epoch)
