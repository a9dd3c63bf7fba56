"""Waiting and comparisons that several tests of sweeps share."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from src.run import epochs
from tests.helpers.runs import weights


def wait_until(there: Callable[[], object], log: Path) -> None:
    """Wait until `there` returns something true, for at most four minutes; then fail with the text of `log`."""
    deadline = time.monotonic() + 240
    while not there():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def numbers(run: Path) -> dict:
    """The numbers of a run, of each epoch and at its end, without times and the git commit."""
    outside = ("seconds", "images_per_second", "training_seconds", "git_commit")
    rows = [json.loads((run / "metrics.json").read_text()), *epochs.read(run).rows]
    return {i: {name: value for name, value in row.items() if name not in outside} for i, row in enumerate(rows)}


def assert_same_jobs(one: Path, other: Path, jobs: str) -> None:
    """Assert that the jobs of two sweeps have the same numbers and weights, bit by bit."""
    for job in jobs:
        assert numbers(one / job) == numbers(other / job)
        for name, weight in weights(one / job).items():
            assert (weight == weights(other / job)[name]).all()


def modification_times(folder: Path) -> dict[str, int]:
    """When each file and folder was last changed."""
    return {str(path): path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}
