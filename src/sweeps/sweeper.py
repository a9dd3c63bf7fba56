"""A sweep: all jobs are checked and planned before the first, launched, and summed up at the end."""

import importlib.util
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from src.config.hooks import refuse
from src.config.multirun import compose_jobs
from src.config.options import CONF, check_run
from src.run.automatic import is_unsettled, settle_if_readable, settle_options
from src.run.jobs_file import read_jobs
from src.run.status import State
from src.support.errors import DivergedError, UserError
from src.support.folders import SweepFolder
from src.support.links import check_links
from src.support.locks import lock
from src.support.signals import StopSignal
from src.support.world import refuse_several
from src.sweeps import jobs, queue
from src.sweeps.numbering import assign_numbers, is_deleted

log = logging.getLogger(__name__)
SWEEPER = "hydra_plugins.vae_lab_sweeper.VaeLabSweeper"
SUBDIR = "${hydra.job.num}"  # Hydra's default; each job is given its number instead


class UnfinishedError(Exception):
    """Some jobs of a sweep did not finish; the sweep has listed them, and its command has the exit code `exit_code`."""

    def __init__(self, states: list[str], total: int) -> None:
        super().__init__(f"{len(states)} of {total} jobs did not finish")
        have_diverged = all(state == State.DIVERGED for state in states)  # the sweep, started again, would train none
        self.exit_code = DivergedError.exit_code if have_diverged else UserError.exit_code


class CheckSweeper(Callback):
    """Hydra's hook before a multirun: refuses several processes, and a sweeper other than this project's."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        refuse(refuse_several, "sweep")
        refuse(check_sweeper, config)


def check_sweeper(config: DictConfig) -> None:
    """Raise UserError where another of Hydra's sweepers was chosen."""
    if config.hydra.sweeper._target_ != SWEEPER:
        raise UserError("hydra/sweeper: a sweep tries all combinations, so leave it out; python -m src.search searches")


class Sweep:
    """A sweep in the folder `hydra.sweep.dir` of Hydra's configuration `config`.

    make_launcher: instantiates Hydra's launcher, which is not done before the jobs are known to be valid
    """

    def __init__(self, config: DictConfig, make_launcher: Callable[[], Launcher]) -> None:
        self.config, self.make_launcher = config, make_launcher
        self.launcher = config.hydra.runtime.choices["hydra/launcher"]
        self.folder = Path(config.hydra.sweep.dir)

    def run(self) -> list[Any]:
        """Train the jobs that are not over yet, and return what each returned to Hydra.

        Raises UserError where the sweep can't begin or was stopped, UnfinishedError where a job did not finish.
        """
        overrides, configs = self.compose()
        with ExitStack() as stack:
            try:
                self.check_folder(configs)
                self.folder.mkdir(parents=True, exist_ok=True)
                running = f"sweep_name={self.folder.name} is running already"
                refusal = f"{running}: wait for it, stop it, or give another name"
                stack.enter_context(lock(SweepFolder(self.folder).lock, refusal))
                self.wait("jobs of an earlier start are in SLURM's queue, and the sweep goes on after them")
                pending = self.plan(overrides, configs)
            except OSError as error:
                raise UserError(f"{error.strerror or error}: {error.filename or self.folder}") from error
            return self.launch(pending)

    def compose(self) -> tuple[list[list[str]], list[DictConfig]]:
        """The overrides and the configuration of each job. Raises UserError where one of them is refused."""
        package = self.config.hydra.launcher._target_.rpartition(".")[0].rpartition(".")[0]
        if importlib.util.find_spec(package) is None:
            raise UserError(f"{self.launcher} is missing: pip install 'vae-lab[sweep]'")
        if OmegaConf.to_container(self.config.hydra.sweep)["subdir"] != SUBDIR:
            raise UserError(
                "hydra.sweep.subdir: a job is found again by its number, which names its folder: leave it out"
            )
        overrides, configs = compose_jobs(self.config, Path(CONF))
        for cfg in configs:
            check_job(cfg)
        if all(is_unsettled(cfg) for cfg in configs):  # there is no job that could be trained
            settle_options(configs[0])
        return overrides, configs

    def check_folder(self, configs: list[DictConfig]) -> None:
        """Raise UserError where the sweep's folder is a search's, leads elsewhere, or its runs were trained on other
        images."""
        from src.run.identity import check_sweep  # imports NumPy: not before the jobs are known to be valid

        check_links(self.folder)
        check_sweep(self.folder, [OmegaConf.to_container(cfg.data, resolve=True) for cfg in configs])
        if SweepFolder(self.folder).search.exists():
            raise UserError(
                f"sweep_name={self.folder.name} is a search, which python -m src.search goes on with: give another name"
            )

    def plan(self, overrides: list[list[str]], configs: list[DictConfig]) -> list[list[str]]:
        """Number the jobs, and return the overrides of those to train, with their numbers as folders.

        Those that are over are not trained, nor those whose folders the user has deleted.
        """
        numbers = assign_numbers(self.folder, overrides, configs)
        deleted = {job.number for job in read_jobs(self.folder).values() if is_deleted(self.folder, job)}
        pending = [
            [*job, f"hydra.sweep.subdir={number}"]
            for number, job in zip(numbers, overrides, strict=True)
            if number not in deleted and not jobs.is_over(self.folder / str(number))
        ]
        lost = len(deleted & set(numbers))
        done = len(overrides) - len(pending) - lost
        stopped = sum(jobs.goes_on(self.folder / str(number)) for number in set(numbers) - deleted)
        note = f", {lost} deleted" if lost else ""
        note += f", {stopped} to go on with" if stopped else ""
        log.info("sweep_name=%s: %d jobs, %d of them done before%s", self.folder.name, len(overrides), done, note)
        OmegaConf.save(self.config, SweepFolder(self.folder).multirun)  # as Hydra's own sweeper does
        return pending

    def launch(self, pending: list[list[str]]) -> list[Any]:
        """Launch jobs, given by their overrides, and sum the sweep up even where the launcher fails."""
        try:
            returned = self.start(pending)
        except (KeyboardInterrupt, StopSignal):
            raise UserError(self.resume_hint()) from None
        except UserError:
            raise
        except BaseException as error:
            if isinstance(error, Exception):
                traceback.print_exc()
            self.conclude()
            raise
        self.conclude()
        return returned

    def start(self, pending: list[list[str]]) -> list[Any]:
        """Hand jobs, given by their overrides, to Hydra's launcher, and return what they returned, a list per batch."""
        if not pending:
            return []
        launcher, size = self.make_launcher(), self.config.hydra.sweeper.max_batch_size or len(pending)
        batches = []
        for first in range(0, len(pending), size):
            batches.append(self.launch_batch(launcher, pending[first : first + size], first))
            for job in batches[-1]:
                _ = job.return_value  # raises what the job has raised
        return batches

    def launch_batch(self, launcher: Launcher, batch: list[list[str]], first: int) -> Any:
        """Launch some jobs and wait until they have ended; what they returned to Hydra.

        Raises UserError where SLURM refuses them. A job that SLURM has cancelled does not keep the others from ending.
        """
        if not self.launcher.startswith("submitit"):
            return launcher.launch(batch, initial_job_idx=first)
        from submitit.core.utils import UncompletedJobError

        try:
            with queue.progress_lines(self.folder):
                return launcher.launch(batch, initial_job_idx=first)
        except Exception as error:
            if refusal := queue.explain(error, self.launcher):
                raise refusal from error
            if not isinstance(error, UncompletedJobError):
                raise
            log.warning("a job has ended before its time: %s", str(error).partition("\n")[0])
            self.wait("waiting for the other jobs")
            return []

    def wait(self, why: str) -> None:
        """Wait for the sweep's jobs in SLURM's queue, if there are any, and say why."""
        if self.launcher == jobs.SLURM:
            submissions = Path(str(self.config.hydra.launcher.submitit_folder)).parent
            queue.wait_for_queue(submissions, self.folder, why)

    def conclude(self) -> None:
        """Sum the sweep up: list the jobs that did not finish and those with a warning, and write the page.

        Raises UnfinishedError where a job did not finish.
        """
        from src.reporting.conclude import conclude  # imports plotly and PIL, which are needed only now

        states = jobs.job_states(self.folder)
        failed = {number: job for number, job in states.items() if job["state"] not in (State.FINISHED, State.DELETED)}
        deleted = {number: job for number, job in states.items() if job["state"] == State.DELETED}
        finished = len(states) - len(failed) - len(deleted)
        log.info("%d of %d jobs finished: %s", finished, len(states), os.path.relpath(self.folder))
        for number, job in failed.items():
            log.info("%4d  %s  %s  %s", number, " ".join(job["options"]), job["state"], job.get("reason") or "")
        for number, job in deleted.items():
            hint = jobs.replan_hint(self.folder / str(number))
            log.info("%4d  %s  %s: %s", number, " ".join(job["options"]), job["state"], hint)
        for number, job in states.items():
            if job.get("warning"):
                log.warning("%4d  %s  finished, but %s", number, " ".join(job["options"]), job["warning"])
        conclude(self.folder, self.config.logger)
        if failed:
            raise UnfinishedError([job["state"] for job in failed.values()], len(states))

    def resume_hint(self) -> str:
        """The command by which a sweep that was stopped goes on."""
        overrides = [override for override in sys.argv[1:] if not override.startswith("sweep_name=")]
        command = shlex.join(["python", "-m", "src.train", *overrides, f"sweep_name={self.folder.name}"])
        if self.launcher == "submitit_slurm":
            return f"stopped; jobs that were submitted go on: once they have ended, or were cancelled, {command}"
        return f"stopped; to go on: {command}"


def check_job(cfg: DictConfig) -> None:
    """Raise UserError for a configuration that is wrong, or that no job of a sweep can have."""
    if cfg.ckpt_path:
        raise UserError("ckpt_path resumes one run: leave -m out")
    if cfg.run_name or cfg.resume:
        name = "run_name" if cfg.run_name else "resume"
        raise UserError(f"{name} is for one run: a sweep is named by sweep_name=NAME, and goes on when started again")
    check_run(cfg)
    settle_if_readable(cfg)
    strategy, devices = cfg.trainer.get("strategy") not in (None, "auto"), cfg.trainer.devices
    if strategy or (isinstance(devices, int) and devices > 1) or cfg.trainer.get("num_nodes", 1) != 1:
        raise UserError("a sweep trains with one process a run: leave trainer=ddp and trainer.devices out")
