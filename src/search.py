"""Search for good options: ask optuna -> train -> tell it; each trial is a run in the folder of the search.

python -m src.search name=first trials=20 "beta=tag(log,interval(0.5,8))" "latent_dim=int(interval(2,32))"
"""

import importlib.util
import json
import logging
import math
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import OmegaConf

from src.config.command_line import errors_in_one_line, readable
from src.config.options import CONF, help_text
from src.support.errors import DivergedError, UserError
from src.support.files import whole
from src.sweeps import processes
from src.sweeps.jobs import Job
from src.sweeps.space import Plan, check_plan, kept, parsed, split
from src.train import import_libraries, train

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

log = logging.getLogger(__name__)
SWEEPS = Path("outputs/sweeps")
HOPELESS = 5  # so many failures and no success end a search


def main() -> None:
    """The command line."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help_text("search"))
        return
    logging.basicConfig(level=logging.INFO, format="[%(asctime)s] %(message)s", stream=sys.stdout)
    try:
        with errors_in_one_line(Path(CONF)):
            search(readable(sys.argv[1:], Path(CONF)))
    except OSError as error:
        sys.exit(f"{error.strerror or error}: {error.filename or SWEEPS}")
    except KeyboardInterrupt:
        sys.exit("stopped")


def search(words: list[str]) -> None:
    """Begins a search, or goes on with it. Leaves outputs/sweeps/NAME/ with a run NUMBER/ for each trial, the plan
    search.yaml, optuna's study.journal, search.png and report.html. Raises UserError for anything a user can mend."""
    from src.report import conclude  # plotly and PIL: at the end is soon enough
    from src.run.identity import check_sweep

    name, trials, plan = parsed(words)
    if importlib.util.find_spec("optuna") is None:
        raise UserError("optuna is missing: pip install 'vae-lab[search]'")
    folder, file = SWEEPS / name, SWEEPS / name / "search.yaml"
    if file.is_file():
        plan = kept(file, plan)
    elif plan is None:
        raise UserError(
            f"there is no search {folder} to go on with: give an option a space, such as beta=interval(0.5,8)"
        )
    elif folder.exists() and any(path.name != ".lock" for path in folder.iterdir()):
        raise UserError(f"{folder} is there and holds no search: give another name")
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        cfg = check_plan(plan)
        with alone(folder):
            with whole(file) as partial:
                partial.write_text(OmegaConf.to_yaml(OmegaConf.create(asdict(plan))))
            import_libraries(with_wandb=OmegaConf.select(cfg, "logger.wandb") is not None)
            check_sweep(folder, [OmegaConf.to_container(cfg.data, resolve=True)])
            run(folder, plan, trials)
            conclude(folder, cfg.logger)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds a search's folder. Raises UserError where another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    if not processes.lock(folder / ".lock"):
        raise UserError(f"{folder} is searched already: wait for its end, stop it, or give another name")
    try:
        yield
    finally:
        processes.unlock(folder / ".lock")


def run(folder: Path, plan: Plan, total: int) -> None:
    """Trains what trials are left of `total`, and shows what was found."""
    from src.sweeps import study

    where = study.storage(folder)
    found = study.opened(where, folder.name, plan)
    fixed, dimensions = split(plan.words)
    reasons = []
    for trial in study.due(found, where, total, plan.startup):
        swept = [each.suggested(trial) for each in dimensions]
        trial.set_user_attr("words", swept)
        log.info("trial %d, one of %d: %s", trial.number, total, " ".join(swept))
        try:
            reason = attempt(found, trial, plan, [*fixed, *swept], folder / str(trial.number))
        except (KeyboardInterrupt, SystemExit):
            log.warning("stopped; to go on: python -m src.search name=%s trials=%d", folder.name, total)
            raise SystemExit(1) from None
        reasons += [reason] if reason else []
        if len(reasons) >= HOPELESS and not completed(found):
            raise UserError(f"{len(reasons)} trials failed and none succeeded; the last: {reason}")
    show(found, plan, folder)


def attempt(found: "Study", trial: "Trial", plan: Plan, words: list[str], run: Path) -> str | None:
    """Trains a trial and tells the study of it; why it failed, if it did."""
    from optuna.trial import TrialState

    from src.run import status
    from src.sweeps import study

    token, reason = study.current.set(trial), None
    try:
        metrics = trained(
            words, run, Job(run.parent.name, trial.user_attrs["words"]), plan.metrics[0] if plan.prunes else None
        )
        if (ended := status.read(run)).get("state") == "diverged":
            raise DivergedError(ended["reason"])
        trial.set_user_attr("warning", ended.get("warning"))
        if missing := [name for name in plan.metrics if not math.isfinite(metrics.get(name, math.nan))]:
            raise UserError(f"{missing[0]} was not measured, or is no number")
        found.tell(trial, [metrics[name] for name in plan.metrics])
    except study.PrunedError as stop:
        trial.set_user_attr("reason", str(stop))
        status.write(run, status.read(run) | {"state": "pruned"})
        found.tell(trial, state=TrialState.PRUNED)
        log.info("%s", stop)
    except Exception as error:
        if not isinstance(error, UserError):
            log.exception("trial %d", trial.number)
        reason = status.one_line(error)
        trial.set_user_attr("reason", reason)
        found.tell(trial, state=TrialState.FAIL)
        log.warning("trial %d failed: %s", trial.number, reason)
    finally:
        study.current.reset(token)
    return reason


def trained(words: list[str], run: Path, job: Job, metric: str | None) -> dict[str, Any]:
    """What a run's metrics.json holds: the run is resumed where it has a checkpoint, else trained from its start.

    metric: what decides, after each epoch, whether it is pruned
    """
    done, last = run / "metrics.json", run / "checkpoints" / "last.ckpt"
    if done.is_file():
        return json.loads(done.read_text())
    if metric:
        words = [*words, "+callbacks.prune._target_=callbacks.prune.Prune", f"+callbacks.prune.metric={metric}"]
    if last.is_file():
        words = [*words, f"ckpt_path={last}"]
    elif run.exists():
        shutil.rmtree(run)
    run.mkdir(parents=True, exist_ok=True)
    return train(hydra.compose("train", words), run, words, job)


def completed(found: "Study") -> list["FrozenTrial"]:
    """The trials that were trained to their end, the best first; of two metrics the first counts."""
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    sign = -1 if found.directions[0] == StudyDirection.MAXIMIZE else 1
    return sorted(found.get_trials(states=(TrialState.COMPLETE,)), key=lambda trial: sign * trial.values[0])


def show(found: "Study", plan: Plan, folder: Path) -> None:
    """Prints all trials, the best first, and how to train the best again; draws search.png."""
    from src.figures.animation import write_image
    from src.sweeps import pictures as figures

    fixed, dimensions = split(plan.words)
    good = completed(found)
    best = {trial.number for trial in found.best_trials} if good else set()
    others = [trial for trial in found.get_trials() if trial.number not in {each.number for each in good}]
    rows = [["trial", *plan.metrics, *(each.option for each in dimensions), ""]]
    for trial in [*good, *others]:
        values = [f"{value:.2f}" for value in trial.values] if trial in good else [""] * len(plan.metrics)
        words = trial.user_attrs.get("words", [""] * len(dimensions))
        note = "best" if len(plan.metrics) == 1 else "on the front"
        remark = note if trial.number in best else trial.user_attrs.get("reason", "")
        rows.append([str(trial.number), *values, *(word.partition("=")[2] for word in words), remark])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())
    for trial in good:
        if trial.user_attrs.get("warning"):
            print(f"trial {trial.number} finished, but {trial.user_attrs['warning']}")
    for trial in good:
        if trial.number in best and len(plan.metrics) == 1:
            print(f"trial {trial.number}: python -m src.train {shlex.join([*fixed, *trial.user_attrs['words']])}")
    tried = []
    for trial in found.get_trials():
        values = trial.values if trial.values and all(map(math.isfinite, trial.values)) else []
        pruned = trial.state.name == "PRUNED"
        if values or trial.state.name == "FAIL":
            tried.append(figures.Tried(trial.number, values, trial.params, pruned, trial.number in best))
    if any(each.values for each in tried):
        scales = {each.option: each.arguments.get("log", False) for each in dimensions}
        title = f"{folder.name}: {' '.join(fixed) or 'the default'}"
        figure = figures.search(title, plan.metrics, plan.directions[0] == "maximize", scales, tried)
        print(f"picture: {write_image(figure, folder / 'search.png', 2)}")


if __name__ == "__main__":
    main()
