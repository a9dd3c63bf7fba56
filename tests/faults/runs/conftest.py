"""A run, and one that goes on, to be disturbed; and the counts of the long form, printed at its end."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.faults.commands import KILL, Fault, Zygote, zygote
from tests.helpers.faults.comparison import differences
from tests.helpers.faults.trials import RUN, TINY, Trial, find

SUMMARY = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def zygotes(first_zygote: Zygote) -> Iterator[list[Zygote]]:
    """Two of them, for two processors."""
    with zygote() as second:
        yield [first_zygote, second]


@pytest.fixture(scope="session")
def tiny(small: list[str]) -> list[str]:
    """Options of a run of two epochs that draws all figures and animations, in two seconds."""
    return [*(option for option in small if not option.startswith("callbacks")), *TINY]


def trial(command: list[str], folder: Path, zygote: Zygote, whole: Path | None, begun: Path | None) -> Trial:
    """A trial of a command, which is run in a folder without a disturbance first."""
    start = time.monotonic()
    outcome = zygote.run(command, folder, Fault(folder / RUN))
    seconds = time.monotonic() - start
    assert outcome.code == 0, outcome.console
    assert not differences(folder / RUN, whole or folder / RUN)
    return Trial(command, whole or folder / RUN, outcome.operations, seconds, begun)


@pytest.fixture(scope="session")
def start(tiny: list[str], first_zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A training from its start."""
    command = ["train", *tiny, "run_name=x", "resume=auto"]
    return trial(command, tmp_path_factory.mktemp("whole"), first_zygote, None, None)


@pytest.fixture(scope="session")
def resumed(start: Trial, first_zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A training that was killed after its first epoch, and goes on."""
    begun = tmp_path_factory.mktemp("begun")
    at = find(start.operations, "rename", "last.ckpt").number + 3
    first_zygote.run(start.command, begun, Fault(begun / RUN, at, KILL))
    folder = tmp_path_factory.mktemp("resumed")
    shutil.copytree(begun, folder, dirs_exist_ok=True)
    return trial(start.command, folder, first_zygote, start.whole, begun)


@pytest.fixture
def report(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """report(name, results) prints how many results are without a fault, as they come, and fails if any has one.

    Each result is (what was done, the faults).
    """

    def report_all(name: str, total: int, results: Iterator[tuple[str, list[str]]]) -> None:
        faults, start = [], time.monotonic()
        for count, (what, found) in enumerate(results, 1):
            faults += [f"{what}: {'; '.join(found)}"] if found else []
            with capsys.disabled():
                if found:
                    print(f"\r{faults[-1]}")
                seconds = time.monotonic() - start
                print(f"\r{name}: {count} of {total}, {len(faults)} with faults, {seconds:.0f} s", end="", flush=True)
        line = f"{name}: {total - len(faults)} of {total} identical and complete"
        request.config.stash.setdefault(SUMMARY, []).append(line)
        assert not faults, "\n".join(faults)

    return report_all


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the counts of the long form."""
    for line in config.stash.get(SUMMARY, []):
        terminalreporter.write_line(line)
