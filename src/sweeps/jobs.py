"""A sweep: its jobs are planned, kept apart from each other, and continued where they stopped.

A job is known by the fingerprint of its configuration. SWEEP/jobs.json says which number, and so which folder, each
has: a sweep that is started again finds its jobs there, and gives new ones the next numbers.
"""

import hashlib
import importlib
import importlib.util
import json
import logging
import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from src.config.hooks import refuse
from src.config.multirun import compose_jobs
from src.config.options import CONF, check_run
from src.run import status
from src.support.errors import DamagedError, UserError
from src.support.files import atomic_path
from src.sweeps import processes

log = logging.getLogger(__name__)
PLACES = ("hydra", "logger", "callbacks", "title", "ckpt_path", "sweep_name")  # they change no number
OVER = ("finished", "diverged")  # what another attempt would only repeat
PATIENCE = 5  # s, for a process that is about to end
MAIN = "VAE_LAB_SWEEP"  # tells the launcher's processes which one is the sweep's
SUBDIR = "${job_folder:${hydra.sweep.dir}}"  # of conf/train.yaml
SKIPPED = ".skipped"  # where Hydra writes for a job that is over
STOPPED = ("interrupted", "killed", "running")  # what a last checkpoint goes on with


class Job(NamedTuple):
    """What a run is within a sweep or search: the name of that, and the options in which it differs from others."""

    sweep: str
    options: list[str]


class Sweep(Callback):
    """Hydra's hooks around a sweep: all jobs are checked and planned before the first, and summed up at the end."""

    config: ClassVar[DictConfig | None] = None  # of the sweep that goes on in this process

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        jobs, configs = composed(config)
        folder = Path(config.hydra.sweep.dir)
        try:  # Hydra would warn of an error and go on
            self.begin(folder, jobs, configs)
        except OSError as error:
            sys.exit(f"{error.strerror or error}: {error.filename or folder}")
        Sweep.config, os.environ[MAIN] = config, str(os.getpid())

    def begin(self, folder: Path, jobs: list[list[str]], configs: list[DictConfig]) -> None:
        """Locks the sweep's folder and plans its jobs. Ends the program where it can't be begun."""
        from src.run.identity import check_sweep  # numpy: not before the jobs are known to be good

        refuse(partial(check_sweep, folder), [OmegaConf.to_container(each.data, resolve=True) for each in configs])
        if (folder / "search.yaml").exists():
            sys.exit(
                f"sweep_name={folder.name} is a search, which python -m src.search goes on with: give another name"
            )
        folder.mkdir(parents=True, exist_ok=True)
        if not processes.lock(folder / ".lock"):
            sys.exit(f"sweep_name={folder.name} is running already: wait for it, stop it, or give another name")
        plan(folder, jobs, [fingerprint(each) for each in configs])
        over = sum(job["state"] in OVER for job in standing(folder).values())
        log.info("sweep_name=%s: %d jobs, %d of them done before", folder.name, len(jobs), over)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        end(config)


def end(config: DictConfig) -> None:
    """Sums a sweep up: lists the jobs that did not finish, writes the page. Ends the program with 1 if some did not."""
    from src.report import conclude  # plotly and PIL: at the end is soon enough

    folder, Sweep.config = Path(config.hydra.sweep.dir), None
    jobs = standing(folder)
    failed = {number: job for number, job in jobs.items() if job["state"] != "finished"}
    log.info("%d of %d jobs finished: %s", len(jobs) - len(failed), len(jobs), os.path.relpath(folder))
    for number, job in failed.items():
        log.info("%4d  %s  %s  %s", number, " ".join(job["options"]), job["state"], job.get("reason") or "")
    for number, job in jobs.items():
        if job.get("warning"):
            log.warning("%4d  %s  finished, but %s", number, " ".join(job["options"]), job["warning"])
    conclude(folder, config.logger)
    processes.unlock(folder / ".lock")
    if failed:
        sys.exit(1)


def composed(config: DictConfig) -> tuple[list[list[str]], list[DictConfig]]:
    """The jobs of a sweep: the options and the configuration of each. Ends the program where one is refused."""
    launcher = config.hydra.launcher._target_.rpartition(".")[0].rpartition(".")[0]
    if importlib.util.find_spec(launcher) is None:
        sys.exit(f"{config.hydra.runtime.choices['hydra/launcher']} is missing: pip install 'vae-lab[sweep]'")
    if not config.hydra.sweeper._target_.endswith("BasicSweeper"):
        sys.exit("hydra/sweeper: a sweep tries all combinations; python -m src.search searches")
    if OmegaConf.to_container(config.hydra.sweep)["subdir"] != SUBDIR:
        sys.exit("hydra.sweep.subdir: a job is found again by its number, which names its folder: leave it out")
    try:
        jobs, configs = compose_jobs(config, Path(CONF))
        for cfg in configs:
            check_job(cfg)
    except UserError as error:
        sys.exit(str(error))
    return jobs, configs


def check_job(cfg: DictConfig) -> None:
    """Raise UserError for a configuration that is wrong, or that no job of a sweep can have."""
    if cfg.ckpt_path:
        raise UserError("ckpt_path resumes one run: leave -m out")
    check_run(cfg)
    strategy, devices = cfg.trainer.get("strategy") not in (None, "auto"), cfg.trainer.devices
    if strategy or (isinstance(devices, int) and devices > 1) or cfg.trainer.get("num_nodes", 1) != 1:
        raise UserError("a sweep trains with one process a run: leave trainer=ddp and trainer.devices out")


def fingerprint(cfg: DictConfig) -> str:
    """Tells a job from others by what its numbers depend on: its resolved configuration, without where files lie."""
    plain = OmegaConf.to_container(OmegaConf.masked_copy(cfg, [k for k in cfg if k not in PLACES]), resolve=True)
    for node in (plain["data"], plain["data"]["source"]):
        node.pop("root", None)
        if node.get("white") == "auto":  # as it was before there was such an option
            node.pop("white")
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def known(folder: Path) -> dict[str, dict[str, Any]]:
    """The `number` of each job of a sweep, the `options` in which it differs from others, and whether it is `wanted`
    (one of those it was last started with), by fingerprint."""
    path = folder / "jobs.json"
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text())
    except ValueError:
        sys.exit(f"{path} is damaged, so the jobs have lost their numbers: give another sweep_name")


def plan(folder: Path, jobs: list[list[str]], fingerprints: list[str]) -> None:
    """Writes SWEEP/jobs.json: known jobs keep their numbers, new ones get the next. Ends the program where two are the
    same."""
    same = {name: i for i, name in enumerate(fingerprints)}
    for i, name in enumerate(fingerprints):
        if same[name] != i:
            sys.exit(f"two jobs are the same: {' '.join(jobs[i])} and {' '.join(jobs[same[name]])}")
    shared = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    plans = {name: job | {"wanted": False} for name, job in known(folder).items()}
    free = max((job["number"] for job in plans.values()), default=-1) + 1
    for name, options in zip(fingerprints, jobs, strict=True):
        number = plans[name]["number"] if name in plans else free
        free = max(free, number + 1)
        plans[name] = {
            "number": number,
            "options": [word for word in options if word not in shared],
            "wanted": True,
        }
    with atomic_path(folder / "jobs.json") as partial:
        partial.write_text(json.dumps(plans, indent=1) + "\n")


def standing(folder: Path) -> dict[int, dict[str, Any]]:
    """How each wanted job of a sweep stands, by number: its status, or the state `waiting` where this start of the
    sweep has not yet come to it."""
    began = (folder / "jobs.json").stat().st_mtime
    jobs = {}
    for job in sorted((job for job in known(folder).values() if job["wanted"]), key=lambda job: job["number"]):
        found = status.read(folder / str(job["number"]))
        left, started = found.get("state") not in (*OVER, "running"), found.get("started")
        if not started or left and datetime.fromisoformat(started).timestamp() < began:  # by an earlier start
            found = {"state": "waiting"}
        jobs[job["number"]] = found | job
    return jobs


def job_folder(folder: str, *, _root_: DictConfig) -> str:
    """The folder within the sweep's for what Hydra writes for a job: the run's own, unless there is nothing to do."""
    job = known(Path(folder)).get(fingerprint(_root_))
    if job is None:
        return "unplanned"
    return SKIPPED if status.read(Path(folder, str(job["number"]))).get("state") in OVER else str(job["number"])


def do(cfg: DictConfig, here: DictConfig, prepare: Callable[[], None], train: Callable[..., Any]) -> float | None:
    """Does one job of a sweep, unless it was done before, in a process of its own; its validation ELBO, if it has one.

    What goes wrong is left in its status.json, so that no launcher stops the other jobs.
    """
    folder, launcher = Path(here.sweep.dir), here.runtime.choices["hydra/launcher"]
    job = known(folder)[fingerprint(cfg)]
    run = folder / str(job["number"])
    if Path(here.runtime.output_dir).name == SKIPPED:
        log.info("%s is done already", os.path.relpath(run))
    else:
        main = int(os.environ.get(MAIN, os.getpid()))
        if launcher == "joblib" and main != os.getpid():  # with one job at a time joblib needs no other process
            processes.end_with(main)
        prepare()
        load(OmegaConf.to_container(cfg))
        work = partial(attempt, cfg, run, list(here.overrides.task), Job(folder.name, job["options"]), train)
        code = processes.apart(work, None if launcher == "basic" else run / "train.log")
        ending = f"{run.name} was killed by signal {-code}; " if code < 0 else ""
        print(ending + progress(folder), flush=True)
    metrics = run / "metrics.json"
    return json.loads(metrics.read_text())["val/elbo"] if metrics.is_file() else None


def load(node: dict[str, Any]) -> None:
    """Imports what a configuration names, once for the jobs that are copies of this process: they then run one and the
    same program, even if its files change meanwhile."""
    for name, value in node.items():
        if name == "_target_":
            with suppress(Exception):  # the job's to tell
                importlib.import_module(value.rpartition(".")[0])
        elif isinstance(value, dict):
            load(value)


def attempt(cfg: DictConfig, run: Path, overrides: list[str], job: Job, train: Callable[..., Any]) -> None:
    """Trains a job from its last checkpoint where it was stopped, else from the start.

    One whose checkpoint is damaged has failed, so that the next attempt begins anew; what else keeps it from going on
    (a changed network, say) costs no checkpoint.
    """
    if not processes.lock(run / ".lock", PATIENCE):
        raise UserError(f"{run} is being trained by another process: wait for it, or stop it")
    last, state = run / "checkpoints" / "last.ckpt", status.read(run).get("state")
    if state in OVER:  # the other process has finished it meanwhile
        return
    if last.is_file() and state in STOPPED:
        cfg.ckpt_path = os.path.relpath(last)
        overrides = [*overrides, f"ckpt_path={cfg.ckpt_path}"]
    else:
        for path in run.iterdir():
            if path.is_dir() and path.name != ".hydra":
                shutil.rmtree(path)
            elif path.name not in (".hydra", ".lock") and path.suffix != ".log":  # which Hydra has opened
                path.unlink()
    try:
        train(cfg, run, overrides, job)
    except Exception as error:
        if status.read(run).get("state", "killed") in STOPPED:
            lost = isinstance(error, DamagedError) or not last.is_file()
            status.stop(run, overrides, "failed" if lost else "interrupted", error)
        raise


def progress(folder: Path) -> str:
    """How far a sweep is, in a line: "3 of 18 done, 1 failed, 2 running, about 12 min left"."""
    now, jobs = datetime.now().astimezone(), list(standing(folder).values())
    count = Counter(job["state"] for job in jobs)
    times = [
        datetime.fromisoformat(job["ended"]) - datetime.fromisoformat(job["started"])
        for job in jobs
        if job["state"] == "finished"
    ]
    one = sum(times, timedelta()) / max(1, len(times))
    begun = [now - datetime.fromisoformat(job["started"]) for job in jobs if job["state"] == "running"]
    left = one * count["waiting"] + sum((max(one - each, timedelta()) for each in begun), timedelta())
    left /= max(1, len(begun) + (count["waiting"] > 0))
    failed = sum(count[state] for state in ("failed", "diverged", "killed", "interrupted"))
    words = [f"{count['finished']} of {len(jobs)} done", *([f"{failed} failed"] if failed else [])]
    words += [f"{count['running']} running"] if begun else []
    words += [f"about {left.total_seconds() / 60:.0f} min left"] if left > timedelta(seconds=30) else []
    return ", ".join(words)


def how_to_go_on() -> str:
    """What a stopped sweep's user is told."""
    words = [word for word in sys.argv[1:] if not word.startswith("sweep_name=")]
    name = Path(Sweep.config.hydra.sweep.dir).name
    command = shlex.join(["python", "-m", "src.train", *words, f"sweep_name={name}"])
    if Sweep.config.hydra.runtime.choices["hydra/launcher"] == "submitit_slurm":
        return f"stopped; jobs that were submitted go on: once they have ended, or were cancelled, {command}"
    return f"stopped; to go on: {command}"


OmegaConf.register_new_resolver("either", lambda *values: next(filter(None, values)), replace=True)
OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)
