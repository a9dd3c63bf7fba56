"""The deletion of runs that may be jobs of a sweep or trials of a search, which has to know of it ever after."""

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from src.run import deletion, status
from src.run.jobs_file import Entry, read_jobs, write_jobs
from src.run.summary import is_sweep
from src.support.errors import UserError
from src.support.folders import SweepFolder
from src.support.locks import lock
from src.sweeps.numbering import is_deleted, training_of_folder


def delete_run(folder: Path, root: Path, hosts: Collection[str]) -> list[str]:
    """Delete a run; what could not be removed, a line each.

    That a job of a sweep was deleted is written to the sweep's jobs.json before, so that even after a kill in between
    it is not trained again unasked. Raises UserError with the reason where the run is to be left as it is.
    """
    with lock_sweep(folder.parent), deletion.reserve(folder, root, hosts):
        if is_sweep(folder.parent) and folder.name.isascii() and folder.name.isdecimal():
            record_deletion(folder)
        return deletion.remove(folder)


def lock_sweep(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a folder of runs if it is a sweep's or a search's. Raises UserError where it is running."""
    if not is_sweep(folder):
        return nullcontext()
    refusal = f"{deletion.relative(folder)} is running, and its jobs can be deleted once it has ended"
    return lock(SweepFolder(folder).lock, refusal)


def record_deletion(run: Path) -> None:
    """Record in jobs.json that a job was deleted; a trial of a search, whose jobs are in its journal, gets an entry."""
    entries, number = read_jobs(run.parent), int(run.name)
    training = training_of_folder(run)
    names = {name for name, job in entries.items() if job.number == number}
    names |= {training.fingerprint} & entries.keys() if training else set()
    marked = {name: replace(entries[name], deleted=True) for name in names}
    if not any(job.number == number for job in marked.values()):
        name = training.fingerprint if training and training.fingerprint not in entries else f"deleted {number}"
        is_trial = SweepFolder(run.parent).search.is_file()  # all of which are shown
        marked[name] = Entry(number, status.read(run).get("overrides", []), is_trial, deleted=True)
    write_jobs(run.parent, entries | marked)


def replan(folder: Path) -> None:
    """Have a sweep train a deleted job again at its next start. Raises UserError where that can't be."""
    sweep, name = folder.parent, deletion.relative(folder)
    if SweepFolder(sweep).search.is_file():
        raise UserError(f"{name} is a trial of a search, which trains new ones instead: a larger trials=N")
    if not is_sweep(sweep):
        raise UserError(f"{deletion.relative(sweep)} is no sweep")
    with lock_sweep(sweep):
        entries = read_jobs(sweep)
        wanted = {each: job for each, job in entries.items() if str(job.number) == folder.name}
        if not any(is_deleted(sweep, job) for job in wanted.values()):
            raise UserError(f"{name} is no deleted job of a sweep")
        write_jobs(sweep, entries | {each: replace(job, deleted=False) for each, job in wanted.items()})
