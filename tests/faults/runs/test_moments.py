"""Runs, sweeps and searches that get a signal at any moment, and go on by the same command."""

import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.faults.commands import Zygote, run_all
from tests.helpers.faults.comparison import differences, sweep_differences
from tests.helpers.faults.trials import RUN, interrupt_faults, messages, moments, summary

SWEEP = Path("outputs/sweeps/x")
KILLS = 40


@pytest.mark.parametrize(("number", "share"), [(signal.SIGTERM, 0.4), (signal.SIGINT, 0.7)])
def test_a_run_that_gets_a_signal_ends_as_if_it_had_not(start, first_zygote, number, share):
    assert start.interrupt(first_zygote, number, share * start.seconds) == []


@pytest.mark.slow
def test_many_signals(start, resumed, zygotes, report):
    chosen = [
        (trial, *moment)
        for trial, seed in ((start, 1), (resumed, 2))
        for moment in moments(KILLS // 2, trial.seconds, seed)
    ]
    jobs = [lambda zygote, own=each: own[0].interrupt(zygote, own[1], own[2]) for each in chosen]
    results = (
        (f"{number.name} after {after:.2f} s of {trial.seconds:.2f} s", found)
        for (trial, number, after), found in zip(chosen, run_all(zygotes, jobs), strict=True)
    )
    report("signals at random moments", KILLS, results)


def test_of_several_processes_with_one_name_one_trains(start, first_zygote, tmp_path):
    """The others are refused in one line, or find it finished."""
    outcomes = [each.wait() for each in [first_zygote.start(start.command, tmp_path) for _ in range(3)]]
    assert 0 in [outcome.code for outcome in outcomes]
    assert (
        sum(f"  folder  {RUN}\n" in outcome.console for outcome in outcomes) == 1
    )  # what a training says as it begins
    for outcome in outcomes:
        assert "Traceback" not in outcome.console
        assert outcome.code == 0 or len(messages(outcome)) == 1, outcome.console
    assert differences(tmp_path / RUN, start.whole) == []


@pytest.fixture(scope="session")
def sweep_command(tiny) -> list[str]:
    """A sweep of two jobs without figures."""
    options = [option for option in tiny if not option.startswith(("callbacks", "latent_dim"))]
    return ["train", "-m", *options, "callbacks=none", "latent_dim=2,3", f"sweep_name={SWEEP.name}"]


@pytest.fixture(scope="session")
def search_command(tiny) -> list[str]:
    """A search of three trials without figures."""
    options = [option for option in tiny if not option.startswith(("callbacks", "latent_dim"))]
    return ["search", f"name={SWEEP.name}", "trials=3", "latent_dim=int(interval(2,6))", *options, "callbacks=none"]


def disturb(zygote: Zygote, command: list[str], whole: Path, folder: Path, seconds: float, seed: int) -> list[str]:
    """What is wrong with a sweep or search of which a process got a signal at a random moment, and that went on."""
    generator = random.Random(seed)
    number, after = generator.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]), generator.uniform(0, seconds)
    running = zygote.start(command, folder)
    is_child = generator.random() < 0.5

    def send() -> None:
        running.signal(number, *(running.children() if is_child else []))

    timer = threading.Timer(after, send)
    timer.start()
    outcome = running.wait()
    timer.cancel()
    codes = () if is_child else interrupt_faults(outcome, number)
    again = zygote.run(command, folder)
    found = [*codes, *([] if again.code == 0 else [f"given again: {summary(again)}"])]
    return found + sweep_differences(folder / SWEEP, whole)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sweep", "search"])
def test_a_sweep_or_search_that_gets_a_signal_goes_on(request, kind, zygotes, tmp_path, report):
    command, count = request.getfixturevalue(f"{kind}_command"), 12
    (tmp_path / "whole").mkdir()
    begin = time.monotonic()
    outcome = zygotes[0].run(command, tmp_path / "whole")
    seconds = time.monotonic() - begin
    assert outcome.code == 0, outcome.console

    def attempt(zygote: Zygote, seed: int) -> list[str]:
        folder = tmp_path / str(seed)
        folder.mkdir()
        found = disturb(zygote, command, tmp_path / "whole" / SWEEP, folder, seconds, seed)
        shutil.rmtree(folder)
        return found

    def results() -> Iterator[tuple[str, list[str]]]:
        jobs = [lambda zygote, seed=seed: attempt(zygote, seed) for seed in range(count)]
        yield from ((f"seed {seed}", found) for seed, found in enumerate(run_all(zygotes, jobs)))

    report(f"signals to a {kind} or its child", count, results())
