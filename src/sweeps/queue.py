"""Jobs of a sweep that another program starts: how far they are, and what SLURM's queue still has of them."""

import logging
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.support.errors import UserError
from src.sweeps.jobs import progress

INTERVAL = 3  # seconds between two looks at the jobs

log = logging.getLogger(__name__)


@contextmanager
def progress_lines(folder: Path) -> Iterator[None]:
    """Log how far the sweep in a folder is, in a line whenever a job begins or ends while the body waits for them."""
    over = threading.Event()

    def watch() -> None:
        before = ""
        while not over.wait(INTERVAL):
            try:
                line = progress(folder, with_waiting=True)
            except (OSError, UserError):  # the sweep itself says it
                continue
            if (counts := line.partition(", about")[0]) != before:
                log.info("%s", line)
                before = counts

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def jobs_in_queue(submissions: Path) -> set[str]:
    """The ids of the jobs in SLURM's queue that were submitted from a folder, where submitit has a folder for each."""
    names = {match[1] for path in submissions.glob("*") if (match := re.fullmatch(r"(\d+)(_\d+)?", path.name))}
    if not names:
        return set()
    command = ["squeue", "--me", "--noheader", "--format=%F"]
    try:
        return names & set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    except (OSError, subprocess.CalledProcessError):
        return set()


def wait_for_queue(submissions: Path, folder: Path, why: str) -> None:
    """Wait until SLURM's queue has none of the jobs that were submitted from a folder, and say `why`."""
    if not (left := jobs_in_queue(submissions)):
        return
    log.info("%s: scancel %s ends them", why, " ".join(sorted(left)))
    with progress_lines(folder):
        while jobs_in_queue(submissions):
            time.sleep(INTERVAL)


def explain(error: Exception, launcher: str) -> UserError | None:
    """The UserError for an error by which SLURM refuses jobs; None for any other."""
    text = " ".join(str(error).split())
    if "sbatch: error" in text:
        reason = text.replace("sbatch: error: ", "")
        return UserError(
            f"SLURM refused the jobs ({reason}): hydra.launcher.partition=... and hydra.launcher.account=... choose "
            "others, and sinfo lists the partitions"
        )
    if 'detect "srun"' in text:
        return UserError(f"hydra/launcher={launcher} needs SLURM, and there is no srun here: hydra/launcher=joblib")
    return None
