"""The jobs of a sweep: how far each is, and how one is trained."""

import importlib
import json
import multiprocessing
import os
import shlex
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.run import status
from src.run.checkpoint_file import epoch_count
from src.run.job import Job
from src.run.jobs_file import read_jobs
from src.run.status import State
from src.support.console import duration, print_warnings_alone
from src.support.errors import DamagedError, UserError
from src.support.folders import RunFolder, SweepFolder
from src.support.locks import lock
from src.sweeps import processes
from src.sweeps.numbering import belongs, is_deleted, training_of_job

OVER = (State.FINISHED, State.DIVERGED)  # states after which another attempt would only repeat the last one
RESUMABLE = (State.INTERRUPTED, State.KILLED, State.RUNNING)  # states from which a job is resumed
SLURM = "submitit_slurm"
PATIENCE = 5  # seconds to wait for a process that trains the same job and may be about to end


def job_states(folder: Path) -> dict[int, dict[str, Any]]:
    """The status and plan of each wanted job of a sweep, by number.

    A job that this start of the sweep has not come to yet has the state `waiting`, one whose folder the user has
    deleted the state `deleted`. Raises UserError where jobs.json is gone or damaged.
    """
    path = SweepFolder(folder).jobs
    if not path.is_file():
        raise UserError(f"{path} is gone: start the sweep again, which finds its jobs by their folders")
    began, states = path.stat().st_mtime, {}
    for job in sorted((job for job in read_jobs(folder).values() if job.wanted), key=lambda job: job.number):
        if is_deleted(folder, job):
            states[job.number] = {"state": State.DELETED, "options": job.options}
            continue
        record = status.read(folder / str(job.number))
        open_end, started = record.get("state") not in (*OVER, State.RUNNING), time_of(record, "started")
        if not started or (open_end and started.timestamp() < began):  # in an earlier start
            record = {"state": State.WAITING}
        if record["state"] not in list(State):
            record |= {"state": State.UNKNOWN}
        states[job.number] = record | {"options": job.options}
    return states


def time_of(record: dict[str, Any], event: str) -> datetime | None:
    """The time of an event in a run's status, `started` or `ended`; None where there is none that can be read."""
    try:
        return datetime.fromisoformat(record[event]).astimezone()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def is_over(run: Path) -> bool:
    """Whether the job in a folder has finished or diverged, so that it is not trained again."""
    return status.read(run).get("state") in OVER


def run_job(cfg: DictConfig, hydra: DictConfig, prepare: Callable[[], None], train: Callable[..., Any]) -> float | None:
    """Train a job of a sweep in a process of its own; return its validation ELBO in nats per image, if it has one.

    An error is recorded in the job's status.json and not raised, so that no launcher stops the other jobs. Raises
    UserError where the folder has become another job's since the sweep was planned, and leaves it as it is.

    Args:
        cfg: the job's configuration
        hydra: Hydra's own configuration of the job, whose `sweep.subdir` is the job's number
        prepare: imports what all jobs need, before this process is forked
        train: train(cfg, folder, overrides, job)
    """
    folder, number = Path(hydra.sweep.dir), int(hydra.sweep.subdir)
    run, launcher = folder / str(number), hydra.runtime.choices["hydra/launcher"]
    entry = next((job for job in read_jobs(folder).values() if job.number == number), None)
    is_alone = launcher == "basic"  # the jobs come one after another, and have the console
    if entry is None or not belongs(run, training_of_job(cfg)):
        raise UserError(f"{run} is no longer the folder of this job: start the sweep again")
    if is_deleted(folder, entry):  # since the sweep was planned: SLURM may start its jobs long after it has ended
        raise UserError(f"{run} was deleted: {replan_hint(run)}")
    if worker_of := multiprocessing.parent_process():  # joblib's workers outlive a sweep that is killed
        processes.die_with_parent(worker_of.pid)
    prepare()
    import_targets(OmegaConf.to_container(cfg))
    work = partial(train_or_resume, cfg, run, list(hydra.overrides.task), Job(folder.name, entry.options), train)
    name = f"{place(folder, number)}: {' '.join(entry.options)}"
    if is_alone:
        print(f"{name}{resume_note(run)}", flush=True)
    code = processes.run_in_child(work, None if is_alone else RunFolder(run).log)
    is_stopped = code in (-signal.SIGTERM, 128 + signal.SIGTERM) or status.read(run).get("state") == State.INTERRUPTED
    if launcher == SLURM and is_stopped:
        os._exit(128 + signal.SIGTERM)  # SLURM ends the job, perhaps to requeue it: submitit must not see it as done
    try:
        line = f"{result(run, code)}; {progress(folder)}"
    except UserError as error:
        line = str(error)
    print(f"  {line}" if is_alone else f"{name}: {line}", flush=True)
    metrics = RunFolder(run).metrics
    return json.loads(metrics.read_text())["val/elbo"] if metrics.is_file() else None


def goes_on(run: Path) -> bool:
    """Whether the job in a folder was stopped after an epoch, so that it is resumed and not begun."""
    return RunFolder(run).checkpoint("last").is_file() and status.read(run).get("state") in RESUMABLE


def resume_note(run: Path) -> str:
    """From where a stopped job goes on: ", goes on after epoch 5"; empty for one that begins."""
    if not goes_on(run):
        return ""
    try:
        return f", goes on after epoch {epoch_count(RunFolder(run).checkpoint('last'))}"
    except UserError:  # the job ends with it, and says so
        return ""


def replan_hint(run: Path) -> str:
    """How a deleted job of a sweep is trained after all."""
    return f"python -m src.runs replan {shlex.quote(os.path.relpath(run))} has its sweep train it again"


def place(folder: Path, number: int) -> str:
    """Which of a sweep's wanted jobs one is: "job 3 of 8"."""
    numbers = sorted(job.number for job in read_jobs(folder).values() if job.wanted)
    return f"job {numbers.index(number) + 1 if number in numbers else number} of {len(numbers)}"


def result(run: Path, code: int) -> str:
    """How a job has ended, in a line; `code` is the exit code of its process."""
    record, metrics = status.read(run), RunFolder(run).metrics
    if code < 0:
        hint = ", as a system does that runs out of memory" if code == -signal.SIGKILL else ""
        return f"{run.name} was killed by signal {-code}{hint}"
    if record.get("state") != State.FINISHED or not metrics.is_file():
        return ": ".join(filter(None, (record.get("state", State.UNKNOWN), record.get("reason"))))
    numbers, started, ended = json.loads(metrics.read_text()), time_of(record, "started"), time_of(record, "ended")
    error = f" ± {numbers['val/elbo_se']:.2f}" if "val/elbo_se" in numbers else ""
    seconds = f", {duration((ended - started).total_seconds())}" if started and ended else ""
    return f"val/elbo {numbers['val/elbo']:.2f}{error}{seconds}"


def import_targets(node: dict[str, Any]) -> None:
    """Import the modules that a configuration names, once for all jobs that are forks of this process.

    The jobs then run the same program even if its files change while the sweep goes on.
    """
    for name, value in node.items():
        if name == "_target_":
            with suppress(Exception):  # the job raises it again, with the name of the option
                importlib.import_module(value.rpartition(".")[0])
        elif isinstance(value, dict):
            import_targets(value)


def train_or_resume(cfg: DictConfig, run: Path, overrides: list[str], job: Job, train: Callable[..., Any]) -> None:
    """Train a job from its last checkpoint where it was stopped, else from the start.

    A job whose checkpoint is damaged has failed, so that the next attempt begins anew. After any other error that keeps
    it from being resumed, such as a changed network, the checkpoint is kept.
    """
    print_warnings_alone()
    refusal = f"{run} is being trained by another process: wait for it, or stop it"
    with lock(RunFolder(run).lock, refusal, PATIENCE):
        last = RunFolder(run).checkpoint("last")
        if is_over(run):  # another process has finished it while this one waited for the lock
            return
        if goes_on(run):
            cfg.ckpt_path = os.path.relpath(last)
            overrides = [*overrides, f"ckpt_path={cfg.ckpt_path}"]
        else:
            remove_results(run)
        try:
            train(cfg, run, overrides, job)
        except Exception as error:
            if status.read(run).get("state", State.KILLED) in RESUMABLE:
                lost = isinstance(error, DamagedError) or not last.is_file()
                status.stop(run, overrides, State.FAILED if lost else State.INTERRUPTED, error)
            raise


def remove_results(run: Path) -> None:
    """Remove what an earlier attempt at a job has left, except for the files that Hydra has just written or opened."""
    folder = RunFolder(run)
    for path in run.iterdir():
        if path in (folder.hydra, folder.lock) or path.suffix == ".log":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def progress(folder: Path, with_waiting: bool = False) -> str:
    """How far a sweep is, in a line: "3 of 18 done, 1 failed, 2 running, about 12 min left".

    with_waiting: whether the line also has the number of jobs that were not begun
    """
    now, jobs = datetime.now().astimezone(), list(job_states(folder).values())
    count = Counter(job["state"] for job in jobs)
    finished = [job for job in jobs if job["state"] == State.FINISHED]
    times = [(time_of(job, "ended") or now) - time_of(job, "started") for job in finished]
    mean = sum(times, timedelta()) / max(1, len(times))
    begun = [now - time_of(job, "started") for job in jobs if job["state"] == State.RUNNING]
    left = mean * count[State.WAITING] + sum((max(mean - each, timedelta()) for each in begun), timedelta())
    left /= max(1, len(begun) + (count[State.WAITING] > 0))
    failed = sum(count[state] for state in (State.FAILED, State.DIVERGED, State.KILLED, State.INTERRUPTED))
    parts = [f"{count[State.FINISHED]} of {len(jobs)} done", *([f"{failed} failed"] if failed else [])]
    parts += [f"{count[State.DELETED]} deleted"] if count[State.DELETED] else []
    parts += [f"{count[State.RUNNING]} running"] if begun else []
    parts += [f"{count[State.WAITING]} waiting"] if with_waiting and count[State.WAITING] else []
    parts += [f"about {duration(left.total_seconds())} left"] if left > timedelta(seconds=30) else []
    return ", ".join(parts)


# here and not beside the sweeper: joblib's workers import this module before they need the folder's name
OmegaConf.register_new_resolver("either", lambda *values: next(filter(None, values)), replace=True)
