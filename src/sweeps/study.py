"""A search on disk: optuna's journal in the folder of the search, beside a folder for each trial."""

import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from src.run import epochs
from src.support import noise
from src.support.errors import UserError, one_line
from src.support.folders import SweepFolder
from src.sweeps.space import Dimension, Plan, split

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

REMEDY = f"delete {SweepFolder(Path()).journal.name}, and the search finds its trials by their folders"
current: ContextVar["Trial | None"] = ContextVar("the trial that is being trained", default=None)


class PrunedError(UserError):
    """A trial was ended before its last epoch, because it was worse than others."""


def storage(folder: Path) -> "BaseStorage":
    """optuna's storage in the journal of a search's folder, which this process has locked.

    Raises UserError where the journal is damaged before its last line, or is that of another search.
    """
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    repair(folder)
    journal = SweepFolder(folder).journal
    try:
        store = JournalStorage(JournalFileBackend(str(journal)))
        names = [each.study_name for each in store.get_all_studies()]
    except OSError:
        raise
    except Exception as error:  # optuna does not check what it reads
        raise UserError(f"{journal} is damaged ({one_line(error)}): {REMEDY}") from None
    if other := [name for name in names if name != folder.name]:
        raise UserError(f"{journal} is that of the search {other[0]!r}: {REMEDY}")
    return store


def open_study(store: "BaseStorage", name: str, plan: Plan) -> "Study":
    """The study of that name in a storage; a new one where there is none."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=store,
        study_name=name,
        directions=plan.directions,
        pruner=pruner(plan),
        load_if_exists=True,
    )
    dimensions = {each.option: each for each in split(plan.words)[1]}
    directions = [each.name.lower() for each in study.directions]
    if directions != plan.directions or not all(is_trial_of(dimensions, each) for each in study.get_trials()):
        raise UserError(f"the journal of {name} is that of a search of other options: {REMEDY}")
    return study


def is_trial_of(dimensions: dict[str, Dimension], trial: "FrozenTrial") -> bool:
    """Whether a trial of a journal, which may come from somebody else, has values in these dimensions and nothing else
    that could become an option, and only texts and numbers to be printed."""
    params, attributes = trial.params, trial.user_attrs
    fits = all(name in dimensions and dimensions[name].contains(value) for name, value in params.items())
    if not fits or trial.system_attrs.get("fixed_params"):
        return False
    if "words" in attributes and attributes["words"] != [
        each.override(params[name]) for name, each in dimensions.items() if name in params
    ]:
        return False
    notes = [attributes.get("reason"), attributes.get("warning")]
    numbers = [*(trial.values or []), *trial.intermediate_values.values()]
    return all(note is None or (isinstance(note, str) and note.isprintable()) for note in notes) and all(
        type(number) in (int, float) for number in numbers
    )


def repair(folder: Path) -> None:
    """Remove what a crash may leave: a lock that nobody holds, and a last line of the journal that was cut short."""
    journal = SweepFolder(folder).journal
    SweepFolder(folder).journal_lock.unlink(missing_ok=True)
    if journal.is_file():
        text = journal.read_bytes()
        os.truncate(journal, text.rfind(b"\n") + 1)


def replay(trial: "Trial", run: Path, metric: str) -> None:
    """Report the epochs of a trial that was trained before, which a study with a new journal does not know."""
    for row in epochs.read(run).rows:
        if row["epoch"] >= 1 and metric in row:
            report(trial, int(row["epoch"]), row[metric])


def pruner(plan: Plan) -> "BasePruner":
    """optuna's pruner for a plan."""
    from optuna import pruners

    if plan.pruner == "median":
        return pruners.MedianPruner(plan.startup, n_warmup_steps=plan.warmup + 1)  # optuna prunes none below this step
    return pruners.HyperbandPruner() if plan.pruner == "hyperband" else pruners.NopPruner()


def pending_trials(study: "Study", store: "BaseStorage", total: int, startup: int) -> Iterator["Trial"]:
    """The trials that a crash left unfinished, then new ones until there are `total`; the first `startup` at random.

    A trial's suggestions depend on its number and the trials before it alone, not on how often the search was stopped.
    """
    from optuna.samplers import TPESampler
    from optuna.trial import Trial, TrialState

    def seed_sampler(number: int) -> None:
        study.sampler = TPESampler(n_startup_trials=startup, seed=noise.seed_of(0, "search", number) % 2**32)

    study_id = store.get_study_id_from_name(study.study_name)
    for left in study.get_trials(states=(TrialState.RUNNING,)):
        seed_sampler(left.number)
        yield Trial(study, store.get_trial_id_from_study_id_trial_number(study_id, left.number))
    while (count := len(study.get_trials(deepcopy=False))) < total:
        seed_sampler(count)
        yield study.ask()


def report(trial: "Trial", epoch: int, value: float) -> None:
    """Report the value of an epoch, unless it was reported before the trial was resumed from its last checkpoint."""
    reported = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    if epoch not in reported:
        trial.report(value, epoch)
