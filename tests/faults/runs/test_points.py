"""A run whose process is killed at an operation on a file, or in which one fails, and that goes on afterwards."""

import errno
import os
from collections.abc import Callable, Iterator

import pytest

from tests.helpers.faults.commands import KILL_WITHIN, Operation, run_all
from tests.helpers.faults.trials import Trial, errors, file_name, find, kills


@pytest.fixture
def fail(request, first_zygote) -> Callable[..., list[str]]:
    """fail("write", "best.ckpt", count, failure): what is wrong after the failure of an operation on such a file.

    The run draws figures only where one of them is the file.
    """

    def fail_once(kind: str, name: str, count: int, failure: int) -> list[str]:
        trial: Trial = request.getfixturevalue("start" if name.endswith(".gif") else "plain")
        return trial.fail(first_zygote, find(trial.operations, kind, name, count).number, failure)

    return fail_once


@pytest.mark.parametrize(
    ("kind", "name", "count"),
    [
        ("open", "config.yaml", 1),  # Hydra's
        ("write", "status.json", 1),
        ("write", "best.ckpt", 1),
        ("rename", "metrics.csv", 2),
        ("write", "latent.gif", 1),
        ("rename", "metrics.json", 1),
    ],
)
def test_a_run_that_is_killed_ends_as_if_it_had_not_been(fail, kind, name, count):
    assert fail(kind, name, count, KILL_WITHIN) == []


@pytest.mark.parametrize(
    ("kind", "name", "error"),
    [
        ("mkdir", "x", errno.EACCES),
        ("write", "trace.npz", errno.ENOSPC),
        ("rename", "samples.gif", errno.EIO),
    ],
)
def test_an_error_of_the_disk_is_said_in_one_line_and_the_run_goes_on(fail, kind, name, error):
    assert fail(kind, name, 1, error) == []


@pytest.mark.slow
@pytest.mark.parametrize("points", [kills, errors], ids=["killed", "failed"])
@pytest.mark.parametrize("which", ["start", "resumed"])
def test_every_operation(request, which, points, zygotes, report):
    trial: Trial = request.getfixturevalue(which)
    chosen = points(trial.operations)

    def results() -> Iterator[tuple[str, list[str]]]:
        jobs = [
            lambda zygote, at=each.number, failure=failure: trial.fail(zygote, at, failure) for each, failure in chosen
        ]
        for (operation, failure), found in zip(chosen, run_all(zygotes, jobs), strict=True):
            yield describe(operation, failure), found

    report(f"{points.__name__} of a {'run' if which == 'start' else 'resumed run'}", len(chosen), results())


def describe(operation: Operation, failure: int) -> str:
    """An operation and its failure."""
    what = "killed" if failure < 0 else os.strerror(failure)
    return f"{operation.number} {operation.kind} {file_name(operation.path)} ({what})"
