"""Commands in this process, which end as their own process would."""

import sys
from collections.abc import Callable

import pytest
from hydra.core.global_hydra import GlobalHydra

from src import train


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Callable[..., tuple[int, str]]:
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

    return run
