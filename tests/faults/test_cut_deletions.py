"""Deletions that are killed, refused by the disk, or at work beside one another and beside runs that begin."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src import runs
from src.run import deletion, places
from src.support.locks import lock
from tests.helpers.commands import contents
from tests.helpers.kills import kill_at_change
from tests.helpers.listed import command, edit_status, make_job, make_run
from tests.helpers.project import ROOT

FAILED = ("delete", "--state", "failed")


def test_a_run_that_is_started_before_the_deletion_has_its_lock_is_left(delete, monkeypatch):
    folder = make_run("runs/x", "failed")

    @contextmanager
    def late(*arguments: object) -> Iterator[None]:
        edit_status(folder, state="running")
        with lock(*arguments):
            yield

    monkeypatch.setattr(deletion, "lock", late)
    code, said = delete("--yes")
    assert (code, folder.is_dir()) == (1, True)
    assert "not deleted: outputs/runs/x is running" in said


def test_the_lock_of_a_run_that_begins_in_the_place_of_a_deleted_one_stays(holder):
    """The deletion gives its own lock up, and not that of the new run."""
    folder = make_run("runs/x", "failed")
    with lock(folder / ".lock", "locked"):
        assert deletion.remove(folder) == []
        folder.mkdir()
        holder(folder / ".lock")
    assert (folder / ".lock").is_file()


def test_several_deletions_at_once_are_none_too_many(tmp_path):
    for i in range(6):
        make_job(i, "failed")
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    call, pipe = [sys.executable, "-m", "src.runs", *FAILED, "--yes"], subprocess.PIPE
    several = [subprocess.Popen(call, cwd=tmp_path, env=env, stderr=pipe, text=True) for _ in range(3)]
    said = "".join(process.communicate()[1] for process in several)
    assert "Traceback" not in said
    for i in range(6):
        assert said.count(f"deleted: outputs/sweeps/a/{i}\n") == 1
    assert sorted(path.name for path in Path("outputs/sweeps/a").iterdir()) == ["jobs.json"]


def test_a_deletion_that_is_killed_at_any_moment_is_finished_by_the_next(delete):
    """Either the run is whole, or it is hidden, known as deleted, and removed by the next deletion."""
    count, hidden = 0, 0
    while True:
        shutil.rmtree("outputs", ignore_errors=True)
        folder = make_job(0, "failed")
        (folder / "figures").mkdir()
        (folder / "figures" / "a.png").touch()
        before, count = contents(folder), count + 1
        if not kill_at_change(lambda: runs.main([*FAILED, "--yes"]), count):
            break
        is_whole = folder.is_dir()
        hidden += not is_whole
        assert not is_whole or {k: v for k, v in contents(folder).items() if k != ".lock"} == before
        plan = places.read_plan(folder.parent)["0"]
        assert is_whole or plan.deleted
        assert [path.name for path in places.find([Path("outputs")])] == ["0"]
        code, said = delete("--yes")
        assert code == 0, said
        assert not folder.exists()
        assert [path.name for path in folder.parent.iterdir() if path.name != ".lock"] == ["jobs.json"]
    assert hidden > 5
    assert not folder.exists()


def test_the_rest_of_a_deletion_is_listed_and_asked_about(delete, capsys):
    rest = make_run("runs/x", "failed")
    rest = rest.rename(rest.with_name(".4194304.x"))
    other = Path("outputs/runs/.4194304.y")  # of no run
    other.mkdir()
    (other / "file").touch()
    assert "1 of an earlier deletion" in command(capsys)[2]
    code, said = delete("--dry-run")
    assert (code, rest.is_dir()) == (0, True)
    assert "outputs/runs/.4194304.x: the rest of an earlier deletion" in said
    assert delete("--yes")[0] == 0
    assert [path.name for path in Path("outputs/runs").iterdir()] == [".4194304.y"]


def test_what_can_not_be_removed_is_said_and_removed_later(delete, monkeypatch):
    folder, unlink = make_run("runs/x", "failed"), os.unlink
    (folder / "figures").mkdir()
    (folder / "figures" / "stuck.png").touch()

    def refuse(path: str, **options: int) -> None:
        if str(path).endswith("stuck.png"):
            raise PermissionError(1, "Operation not permitted", path)
        unlink(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        code, said = delete("--yes")
    assert code == 1
    rest = Path(f"outputs/runs/.{os.getpid()}.x")
    assert f"not all of it could be removed: {rest}/figures: Operation not permitted: " in said
    assert "once that is solved, python -m src.runs delete removes the rest" in said
    assert sorted(map(str, rest.rglob("*"))) == [
        f"{rest}/{name}" for name in ("figures", "figures/stuck.png", "status.json")
    ]
    rest.rename(rest.with_name(".4194304.x"))  # this process has ended
    assert delete("--yes")[0] == 0
    assert list(Path("outputs/runs").iterdir()) == []
