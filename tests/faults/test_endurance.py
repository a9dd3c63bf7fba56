"""Long trainings and many runs in one process: memory, open files and threads stay as they are."""

import gc
import os
import threading
from pathlib import Path
from typing import NamedTuple

import pytest
from lightning.pytorch import Callback

from tests.helpers.runs import train_run

MEGABYTE = 2**20
# between the first point, when everything has been imported and used, and the last
GROWTH = 60  # megabytes: the allocator's fragments; a run's images and weights, kept in each of 100 runs, would be 400


class Point(NamedTuple):
    """What a process holds at one time."""

    megabytes: int
    files: int
    threads: int


def measure() -> Point:
    """What this process holds now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Point(
        pages * os.sysconf("SC_PAGE_SIZE") // MEGABYTE,
        len(list(Path("/proc/self/fd").iterdir())),
        threading.active_count(),
    )


class Watch(Callback):
    """Measures at some epochs."""

    points: list[Point] = []

    def on_train_epoch_end(self, trainer, module) -> None:
        if trainer.current_epoch + 1 in (100, 200, 300):
            self.points.append(measure())


def check(points: list[Point]) -> None:
    """Print the points, and check that nothing grows."""
    print("\n".join(f"{each.megabytes} MB, {each.files} files, {each.threads} threads" for each in points))
    assert points[-1].megabytes - points[0].megabytes < GROWTH
    assert points[0].files == points[1].files == points[2].files
    assert points[0].threads == points[1].threads == points[2].threads


@pytest.mark.slow
def test_three_hundred_epochs_in_one_process(small, tmp_path, capsys):
    options = [each for each in small if "max_epochs" not in each and "callbacks" not in each and "logger" not in each]
    watch = "+callbacks.watch._target_=tests.faults.test_endurance.Watch"
    own = [
        "trainer.max_epochs=300",
        "logger=wandb",
        f"logger.wandb.dir={tmp_path}",
        "callbacks.recorder.images=40",
        watch,
    ]
    train_run([*options, *own], tmp_path / "run")
    with capsys.disabled():
        check(Watch.points)


@pytest.mark.slow
def test_a_hundred_runs_in_one_process(small, tmp_path, capsys):
    options = [each for each in small if "max_epochs" not in each and "callbacks" not in each and "logger" not in each]
    own = ["trainer.max_epochs=1", "logger=wandb", f"logger.wandb.dir={tmp_path}", "callbacks.recorder.images=40"]
    points = []
    for number in range(100):
        train_run([*options, *own, f"seed={number}"], tmp_path / str(number))
        if number in (19, 59, 99):
            points.append(measure())
    with capsys.disabled():
        check(points)
