"""Commands in this process, which end as their own process would; a trained run, and copies that a test may damage."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from src import train
from src.config import trust
from tests.helpers import hostile, listed
from tests.helpers.faults.commands import Zygote, zygote
from tests.helpers.own_parts import OWN_PARTS
from tests.helpers.runs import train_run


@pytest.fixture(autouse=True)
def no_command() -> None:
    """Forget the command of an earlier test, which a message about trust would repeat."""
    trust.command.set(None)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Iterator[Callable[..., tuple[int, str]]]:
    """command("beta=4", ...): python -m src.train in this process: its exit code, and what it says."""

    def run(*line: str) -> tuple[int, str]:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["train.py", *line])
        code, last = 0, ""
        capfd.readouterr()  # what was said before
        try:
            train.main()
        except SystemExit as end:
            code, last = (1, end.code) if isinstance(end.code, str) else (end.code or 0, "")
        out, err = capfd.readouterr()
        return code, out + err + last

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
    yield run
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def first_zygote() -> Iterator[Zygote]:
    """A process that runs commands in forks of itself."""
    with zygote() as running:
        yield running


@pytest.fixture(scope="session")
def trained(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs."""
    return train_run(small, tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture
def stranger(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a run, in the working directory; the environment has a secret."""
    monkeypatch.setenv("SECRET", hostile.SECRET)
    return hostile.copy_run(trained, tmp_path / "run")


@pytest.fixture
def own(small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with a network of one's own, as another process finds it that has not trained it."""
    (tmp_path / "mine.py").write_text(OWN_PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    folder = train_run([*small, "model.encoder._target_=mine.Net"], tmp_path / "run")
    monkeypatch.setattr(trust, "asked_for", set())
    return folder


@pytest.fixture
def delete(capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str]]:
    """delete("--yes", ...): deletes failed runs: the exit code, and all that is said."""

    def run(*words: str, chosen: tuple[str, ...] = ("--state", "failed")) -> tuple[int, str]:
        code, out, err = listed.command(capsys, "delete", *chosen, *words)
        assert out == ""
        return code, err

    return run


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of that run."""
    return hostile.copy_run(trained, tmp_path / "run")
