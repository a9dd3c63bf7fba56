"""Run folders as `python -m src.runs` lists and deletes them, made without a training, and the command on them."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from src import runs
from src.run import record
from tests.helpers.reports import fake_run, write_status

NOW = datetime.now(UTC)
IMAGES = {"name": "mnist", "without": [], "fingerprint": "5b007d27ac83ee31"}


def make_run(
    name: str,
    state: str = "finished",
    days: float = 1,
    images: str | None = None,
    pid: int | None = None,
    **options: Any,
) -> Path:
    """A run in outputs/ that was started so many days ago by a process, and took an hour."""
    folder = fake_run(Path("outputs", name), **options)
    started = NOW - timedelta(days=days)
    times = {"started": started.isoformat(), "ended": (started + timedelta(hours=1)).isoformat()}
    write_status(folder, state, **times, pid=pid or os.getpid(), overrides=["seed=0"])
    record.write_json(folder / "data.json", IMAGES | ({"fingerprint": images} if images else {}))
    return folder


def make_job(number: int, state: str = "finished", **options: Any) -> Path:
    """A job of the sweep outputs/sweeps/a, which stands in its jobs.json."""
    folder = make_run(f"sweeps/a/{number}", state, **options)
    plan = folder.parent / "jobs.json"
    jobs = json.loads(plan.read_text()) if plan.is_file() else {}
    jobs[f"job {number}"] = {"number": number, "options": [f"seed={number}"], "wanted": True}
    plan.write_text(json.dumps(jobs))
    return folder


def edit_status(folder: Path, **changes: object) -> None:
    """Change what the status.json of a run says; one that is to be running begins now."""
    changes |= {"started": NOW.isoformat(), "ended": None} if changes.get("state") == "running" else {}
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | changes))


def command(capsys: pytest.CaptureFixture, *words: str) -> tuple[int, str, str]:
    """python -m src.runs in this process: its exit code, what it prints, and what it says beside that."""
    capsys.readouterr()
    try:
        code = runs.main(words)
    except SystemExit as end:
        code = end.code
    return code, *capsys.readouterr()
