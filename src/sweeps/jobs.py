"""The jobs of a sweep: what identifies each, how far each is, and how one is trained.

A job is identified by the fingerprint of its configuration. SWEEP/jobs.json gives it a number, which is the name of its
folder. A sweep that is started again finds its jobs there and gives the next numbers to new ones.
"""

import hashlib
import importlib
import json
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config.moved import current_paths
from src.config.plain import check_resolved
from src.run import status
from src.run.job import Job
from src.run.status import State
from src.support.errors import DamagedError, UserError
from src.support.files import atomic_path
from src.support.folders import RunFolder, SweepFolder
from src.support.texts import read_json, read_yaml
from src.sweeps import processes

WITHOUT_EFFECT = (
    "hydra",
    "logger",
    "callbacks",
    "title",
    "ckpt_path",
    "trust",
    "sweep_name",
)  # options that change no number
NEW_OPTIONS = {"white": "auto"}  # options of data that were added later, with the value that keeps the old behaviour
OVER = (State.FINISHED, State.DIVERGED)  # states after which another attempt would only repeat the last one
RESUMABLE = (State.INTERRUPTED, State.KILLED, State.RUNNING)  # states from which a job is resumed
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError),
    *(UserError, yaml.YAMLError, OmegaConfBaseException),
)  # what a damaged configuration raises
PATIENCE = 5  # seconds to wait for a process that trains the same job and may be about to end

Entry = dict[str, Any]  # the entry of a job in jobs.json


def fingerprint(cfg: DictConfig) -> str:
    """A hash of all that the numbers of a job depend on: its resolved configuration, without the places of files.

    A configuration of an earlier version has the fingerprint that it would have today: its classes are named by today's
    paths, and the options in NEW_OPTIONS are left out at the values that keep the old behaviour.
    """
    relevant = OmegaConf.masked_copy(cfg, [name for name in cfg if name not in WITHOUT_EFFECT])
    config = current_paths(OmegaConf.to_container(relevant, resolve=True))
    for node in (config["data"], config["data"]["source"]):
        node.pop("root", None)
        for option, value in NEW_OPTIONS.items():
            if node.get(option) == value:
                node.pop(option)
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def fingerprint_of_run(folder: Path) -> str | None:
    """The fingerprint of the configuration in a run's folder; None where there is none that can be read."""
    try:
        content = read_yaml(RunFolder(folder).config)
        check_resolved(content, str(folder))  # it would read the environment
        return fingerprint(OmegaConf.create(content))
    except UNREADABLE:
        return None


def read_jobs(folder: Path) -> dict[str, Entry]:
    """The jobs of a sweep by fingerprint, as SWEEP/jobs.json has them; empty where there is no such file.

    Each has its `number`, the `options` in which it differs from the others, and whether it is `wanted`, that is, one
    of the jobs that the sweep was last started with. Raises UserError where the file is damaged.
    """
    path = SweepFolder(folder).jobs
    if not path.is_file():
        return {}
    try:
        return read_json(path)
    except ValueError:
        raise UserError(f"{path} is damaged, so the jobs have lost their numbers: give another sweep_name") from None


def match_jobs(folder: Path, jobs: list[list[str]], fingerprints: list[str]) -> dict[str, Entry]:
    """The jobs in SWEEP/jobs.json by the fingerprints that they have today.

    A file of an earlier version has other fingerprints. The configuration in the folder of a job then says what was
    trained there. A job that was never begun has no configuration, and is matched by its options: a wrong match is
    harmless, since nothing was trained.
    """
    entries = read_jobs(folder)
    matched = {name: job for name, job in entries.items() if name in fingerprints}
    waiting: dict[str, Entry] = {}
    for name, job in entries.items():
        if name in fingerprints:
            continue
        trained = fingerprint_of_run(folder / str(job["number"]))
        if trained is None:
            waiting[name] = job
        else:  # under its old name if another job has the new one: its number must not be given again
            matched[trained if trained in fingerprints and trained not in matched else name] = job
    for name, overrides in zip(fingerprints, jobs, strict=True):
        similar = (other for other, job in waiting.items() if set(job["options"]) <= set(overrides))
        if name not in matched and (other := next(similar, None)):
            matched[name] = waiting.pop(other)
    return waiting | matched


def assign_numbers(folder: Path, jobs: list[list[str]], fingerprints: list[str]) -> list[int]:
    """Write SWEEP/jobs.json and return the number of each job: known jobs keep theirs, new ones get the next.

    Args:
        folder: the folder of the sweep
        jobs: the overrides of each job
        fingerprints: the fingerprint of each job's configuration

    Raises UserError where two jobs are the same.
    """
    last = {name: i for i, name in enumerate(fingerprints)}
    for i, name in enumerate(fingerprints):
        if last[name] != i:
            raise UserError(f"two jobs are the same: {' '.join(jobs[i])} and {' '.join(jobs[last[name]])}")
    shared = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    plans = {name: job | {"wanted": False} for name, job in match_jobs(folder, jobs, fingerprints).items()}
    free = max((job["number"] for job in plans.values()), default=-1) + 1
    for name, overrides in zip(fingerprints, jobs, strict=True):
        number = plans[name]["number"] if name in plans else free
        free = max(free, number + 1)
        options = [override for override in overrides if override not in shared]
        plans[name] = {"number": number, "options": options, "wanted": True}
    with atomic_path(SweepFolder(folder).jobs) as partial_file:
        partial_file.write_text(json.dumps(plans, indent=1) + "\n")
    return [plans[name]["number"] for name in fingerprints]


def job_states(folder: Path) -> dict[int, dict[str, Any]]:
    """The status and plan of each wanted job of a sweep, by number.

    A job that this start of the sweep has not come to yet has the state `waiting`.
    """
    began = SweepFolder(folder).jobs.stat().st_mtime
    states = {}
    for job in sorted((job for job in read_jobs(folder).values() if job["wanted"]), key=lambda job: job["number"]):
        record = status.read(folder / str(job["number"]))
        open_end, started = record.get("state") not in (*OVER, State.RUNNING), record.get("started")
        if not started or open_end and datetime.fromisoformat(started).timestamp() < began:  # in an earlier start
            record = {"state": State.WAITING}
        states[job["number"]] = record | job
    return states


def is_over(run: Path) -> bool:
    """Whether the job in a folder has finished or diverged, so that it is not trained again."""
    return status.read(run).get("state") in OVER


def run_job(cfg: DictConfig, hydra: DictConfig, prepare: Callable[[], None], train: Callable[..., Any]) -> float | None:
    """Train a job of a sweep in a process of its own; return its validation ELBO in nats per image, if it has one.

    An error is recorded in the job's status.json and not raised, so that no launcher stops the other jobs.

    Args:
        cfg: the job's configuration
        hydra: Hydra's own configuration of the job, whose `sweep.subdir` is the job's number
        prepare: imports what all jobs need, before this process is forked
        train: train(cfg, folder, overrides, job)
    """
    folder, number = Path(hydra.sweep.dir), int(hydra.sweep.subdir)
    run, launcher = folder / str(number), hydra.runtime.choices["hydra/launcher"]
    options = next(job["options"] for job in read_jobs(folder).values() if job["number"] == number)
    if worker_of := multiprocessing.parent_process():  # joblib's workers outlive a sweep that is killed
        processes.die_with_parent(worker_of.pid)
    prepare()
    import_targets(OmegaConf.to_container(cfg))
    work = partial(train_or_resume, cfg, run, list(hydra.overrides.task), Job(folder.name, options), train)
    code = processes.run_in_child(work, None if launcher == "basic" else RunFolder(run).log)
    ending = f"{run.name} was killed by signal {-code}; " if code < 0 else ""
    print(ending + progress(folder), flush=True)
    metrics = RunFolder(run).metrics
    return json.loads(metrics.read_text())["val/elbo"] if metrics.is_file() else None


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
    refusal = f"{run} is being trained by another process: wait for it, or stop it"
    with processes.lock(RunFolder(run).lock, refusal, PATIENCE):
        last, state = RunFolder(run).checkpoint("last"), status.read(run).get("state")
        if state in OVER:  # another process has finished it while this one waited for the lock
            return
        if last.is_file() and state in RESUMABLE:
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
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def progress(folder: Path) -> str:
    """How far a sweep is, in a line: "3 of 18 done, 1 failed, 2 running, about 12 min left"."""
    now, jobs = datetime.now().astimezone(), list(job_states(folder).values())
    count = Counter(job["state"] for job in jobs)
    times = [
        datetime.fromisoformat(job["ended"]) - datetime.fromisoformat(job["started"])
        for job in jobs
        if job["state"] == State.FINISHED
    ]
    mean = sum(times, timedelta()) / max(1, len(times))
    begun = [now - datetime.fromisoformat(job["started"]) for job in jobs if job["state"] == State.RUNNING]
    left = mean * count[State.WAITING] + sum((max(mean - each, timedelta()) for each in begun), timedelta())
    left /= max(1, len(begun) + (count[State.WAITING] > 0))
    failed = sum(count[state] for state in (State.FAILED, State.DIVERGED, State.KILLED, State.INTERRUPTED))
    parts = [f"{count[State.FINISHED]} of {len(jobs)} done", *([f"{failed} failed"] if failed else [])]
    parts += [f"{count[State.RUNNING]} running"] if begun else []
    parts += [f"about {left.total_seconds() / 60:.0f} min left"] if left > timedelta(seconds=30) else []
    return ", ".join(parts)


# here and not beside the sweeper: joblib's workers import this module before they need the folder's name
OmegaConf.register_new_resolver("either", lambda *values: next(filter(None, values)), replace=True)
