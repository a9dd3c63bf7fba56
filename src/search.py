"""Search for good options with optuna: suggest -> train -> report; each trial is a run in the folder of the search.

python -m src.search name=first trials=20 "beta=tag(log,interval(0.5,8))" "latent_dim=int(interval(2,32))"
"""

import importlib.util
import logging
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from src.config import trust
from src.config.command_line import errors_in_one_line, prepare_arguments
from src.config.help import help_answer
from src.config.options import CONF
from src.run.confine import confine
from src.startup import as_user_errors, import_libraries
from src.support.console import duration, log_to_console
from src.support.errors import UserError
from src.support.files import atomic_path
from src.support.folders import SweepFolder
from src.support.links import check_links
from src.support.locks import lock
from src.support.ranges import as_argument
from src.support.signals import run_program, stop_on_signals
from src.support.world import refuse_several
from src.sweeps.space import Dimension, Plan, check_plan, load_space, parse_command_line, split
from src.train import train

if TYPE_CHECKING:
    from optuna import Study

log = logging.getLogger(__name__)
SWEEPS = Path("outputs/sweeps")
DETAILS = ("callbacks", "src.run", "src.train", "src.training")  # which say of each trial what a run says of itself
HOPELESS = 5  # a search ends after so many failures without a success


def main() -> None:
    """Search as the command line says, and end the program with a line about what went wrong."""
    trust.command.set(["python", "-m", "src.search", *sys.argv[1:]])
    log_to_console(without_details_of=DETAILS)
    with stop_on_signals(), errors_in_one_line(Path(CONF)), as_user_errors(SWEEPS, "search fewer or smaller values"):
        if text := help_answer("search", sys.argv[1:]):
            print(text)
            return
        search(prepare_arguments(sys.argv[1:], Path(CONF)))


def search(arguments: list[str]) -> None:
    """Begin a search, or go on with it, as the arguments of a command line say.

    Leaves outputs/sweeps/NAME/ with a run NUMBER/ for each trial, the plan search.yaml, optuna's study.journal,
    search.png and report.html. Raises UserError for anything that the user can correct, SystemExit on Ctrl-C.
    """
    from src.reporting.conclude import conclude  # imports plotly and PIL
    from src.run.identity import check_sweep

    refuse_several("search")
    trusted, arguments = take_trust(arguments)
    name, trials, plan = parse_command_line(arguments)
    if importlib.util.find_spec("optuna") is None:
        raise UserError("optuna is missing: pip install 'vae-lab[search]'")
    folder, file = SWEEPS / name, SweepFolder(SWEEPS / name).search
    check_links(folder)
    requested = plan
    if file.is_file():
        plan = load_space(file, requested, trusted)
    elif plan is None:
        raise UserError(
            f"there is no search {folder} to go on with: give an option a space, such as beta=interval(0.5,8)"
        )
    elif folder.exists() and any(path != SweepFolder(folder).lock for path in folder.iterdir()):
        raise UserError(f"{folder} is there and holds no search: give another name")
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        cfg = check_plan(plan)
        if requested is None:
            check_places(cfg, plan, f"name={name} trials={trials}")
        folder.mkdir(parents=True, exist_ok=True)
        refusal = f"{folder} is searched already: wait for its end, stop it, or give another name"
        with lock(SweepFolder(folder).lock, refusal):
            with atomic_path(file, durable=True) as partial:
                partial.write_text(OmegaConf.to_yaml(OmegaConf.create(asdict(plan))))
            import_libraries(with_wandb=OmegaConf.select(cfg, "logger.wandb") is not None)
            check_sweep(folder, [OmegaConf.to_container(cfg.data, resolve=True)])
            train_trials(folder, plan, trials)
            conclude(folder, cfg.logger)


def check_places(cfg: DictConfig, plan: Plan, request: str) -> None:
    """Raise UserError where the plan in a search's file decides where else trials write, and to whom they send.

    request: the options of the command that goes on with the search
    """
    confined = cfg.copy()
    confine(confined)
    if OmegaConf.to_container(confined, resolve=True) != OmegaConf.to_container(cfg, resolve=True):
        own = [f"{name}={as_argument(value)}" for name, value in asdict(plan).items() if value != getattr(Plan(), name)]
        words = [*request.split(), *(each for each in own if not each.startswith("words=")), *plan.words]
        raise UserError(
            "only the search's file names the folders and the account that its trials write and send to; if they are "
            f"right: python -m src.search {shlex.join(words)}"
        )


def take_trust(arguments: list[str]) -> tuple[Any, list[str]]:
    """The value of the option `trust` among the arguments, which no file keeps, and the other arguments."""
    options = [each for each in arguments if each.startswith("trust=")]
    values = [each.value() for each in OverridesParser.create().parse_overrides(options)]
    return values[-1] if values else None, [each for each in arguments if each not in options]


def train_trials(folder: Path, plan: Plan, total: int) -> None:
    """Train the trials that are left of `total`, then print and draw all of them."""
    from src.sweeps import study, trials

    storage = study.storage(folder)
    optuna_study = study.open_study(storage, folder.name, plan)
    fixed, dimensions = split(plan.words)
    log.info("search in %s: %d trials, by %s", folder, total, " and ".join(plan.metrics))
    reasons, times, deleted = [], [time.monotonic()], trials.deleted_numbers(folder)
    for trial in study.pending_trials(optuna_study, storage, total, plan.startup):
        suggestion = [each.suggest(trial) for each in dimensions]
        trial.set_user_attr("words", suggestion)
        if trial.number in deleted:
            trials.give_up(trial)
            continue
        log.info("trial %d, one of %d: %s", trial.number, total, " ".join(suggestion))
        trials.check_folder(folder / str(trial.number), [*fixed, *suggestion])
        try:
            reason = trials.train_trial(trial, plan, [*fixed, *suggestion], folder / str(trial.number), train)
        except (KeyboardInterrupt, SystemExit):
            log.warning("stopped; to go on: python -m src.search name=%s trials=%d", folder.name, total)
            raise
        reasons += [reason] if reason else []
        times.append(time.monotonic())
        log.info("  %s", progress(len(optuna_study.get_trials(deepcopy=False)), total, times))
        if len(reasons) >= HOPELESS and not trials.completed_trials(optuna_study):
            raise UserError(f"{len(reasons)} trials failed and none succeeded; the last: {reason}")
    show(optuna_study, plan, folder)


def progress(done: int, total: int, times: list[float]) -> str:
    """How far a search is, in a line: "3 of 20 done, about 12 min left".

    times: when the first trial of this start began, and when each has ended, in seconds
    """
    left = (total - done) * (times[-1] - times[0]) / (len(times) - 1)
    return f"{done} of {total} done" + (f", about {duration(left)} left" if left > 0 else "")


def show(study: "Study", plan: Plan, folder: Path) -> None:
    """Print all trials, the best first, and how to train the best again; draw search.png."""
    from src.figures.animation import write_image
    from src.sweeps import pictures
    from src.sweeps.trials import completed_trials, deleted_numbers

    fixed, dimensions = split(plan.words)
    completed = completed_trials(study)
    best = {trial.number for trial in study.best_trials} if completed else set()
    print_table(study, plan, dimensions, best, deleted_numbers(folder))
    for trial in completed:
        if trial.user_attrs.get("warning"):
            print(f"trial {trial.number} finished, but {trial.user_attrs['warning']}")
    for trial in completed:
        if trial.number in best and len(plan.metrics) == 1:
            print(f"trial {trial.number}: python -m src.train {shlex.join([*fixed, *trial.user_attrs['words']])}")
    points = pictures.trial_points(study, best)
    if any(each.values for each in points):
        scales = {each.option: each.arguments.get("log", False) for each in dimensions}
        title = f"{folder.name}: {' '.join(fixed) or 'the default'}"
        figure = pictures.draw_search(title, plan.metrics, plan.directions[0] == "maximize", scales, points)
        print(f"picture: {write_image(figure, SweepFolder(folder).picture, 2)}")


def print_table(study: "Study", plan: Plan, dimensions: list[Dimension], best: set[int], deleted: set[int]) -> None:
    """Print a row for each trial: first those that were trained to their end, the best first, then the others.

    best, deleted: the numbers of the best trials, and of those whose folders the user has deleted
    """
    from src.sweeps.trials import completed_trials

    completed = completed_trials(study)
    others = [trial for trial in study.get_trials() if trial.number not in {each.number for each in completed}]
    rows = [["trial", *plan.metrics, *(each.option for each in dimensions), ""]]
    for trial in [*completed, *others]:
        values = [f"{value:.2f}" for value in trial.values] if trial in completed else [""] * len(plan.metrics)
        overrides = trial.user_attrs.get("words", [""] * len(dimensions))
        note = "best" if len(plan.metrics) == 1 else "on the front"
        remark = note if trial.number in best else trial.user_attrs.get("reason", "")
        remarks = dict.fromkeys((remark, "deleted" if trial.number in deleted else ""))
        remark = ", ".join(filter(None, remarks))
        rows.append([str(trial.number), *values, *(each.partition("=")[2] for each in overrides), remark])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    run_program(main)
