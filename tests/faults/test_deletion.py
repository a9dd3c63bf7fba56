"""python -m src.runs delete: it removes runs that have ended, asks before, touches nothing else, and may be killed."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src import runs
from src.run import deletion, places
from src.support.locks import lock
from tests.helpers.commands import contents
from tests.helpers.kills import kill_at_change
from tests.helpers.listed import NOW, command, make_job, make_run
from tests.helpers.project import ROOT

FAILED = ("delete", "--state", "failed")


@pytest.fixture
def delete(capsys):
    """delete("--yes", ...): deletes failed runs: the exit code, and all that is said."""

    def run(*words: str, chosen: tuple[str, ...] = ("--state", "failed")) -> tuple[int, str]:
        code, out, err = command(capsys, "delete", *chosen, *words)
        assert out == ""
        return code, err

    return run


@pytest.fixture
def answer(monkeypatch):
    """answer("y") is what is typed on the terminal."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    return lambda text: monkeypatch.setattr(sys, "stdin", Terminal(text))


def edit_status(folder: Path, **changes: object) -> None:
    changes |= {"started": NOW.isoformat(), "ended": None} if changes.get("state") == "running" else {}
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | changes))


def test_runs_are_deleted_after_a_question(delete, answer):
    gone, stays = make_run("runs/gone", "failed"), make_run("runs/stays")
    before = contents(stays)
    for text in ("", "n\n", "no\n", "\n", "yesterday\n"):
        answer(text)
        code, said = delete()
        assert (code, gone.is_dir()) == (0, True)
        assert "outputs/runs/gone" in said
        assert " kB" in said
        assert said.endswith("delete them? [y/N] nothing is deleted\n")
        assert "stays" not in said
    answer("y\n")
    code, said = delete()
    assert (code, gone.exists()) == (0, False)
    assert said.endswith("deleted: outputs/runs/gone\n")
    assert [path.name for path in Path("outputs/runs").iterdir()] == ["stays"]
    assert contents(stays) == before


def test_without_a_terminal_it_asks_for_a_yes(tmp_path):
    folder = make_run("runs/gone", "failed")
    call, env = [sys.executable, "-m", "src.runs", *FAILED], os.environ | {"PYTHONPATH": str(ROOT)}
    for words, code, message in [
        ([], 1, "there is no terminal on which to ask: add --yes to delete these"),
        (["--yes", "--dry-run"], 0, "nothing is deleted"),
        (["--yes"], 0, "deleted: outputs/runs/gone"),
    ]:
        assert folder.is_dir()
        pipe = subprocess.PIPE
        result = subprocess.run(
            [*call, *words], cwd=tmp_path, env=env, input="y\n", stdout=pipe, stderr=pipe, text=True
        )
        assert (result.returncode, result.stdout) == (code, "")
        assert message in result.stderr
    assert not folder.exists()


def test_old_runs_are_deleted(delete):
    old, new = make_run("runs/old", days=31), make_run("runs/new", days=29)
    assert delete("--yes", chosen=("--older-than", "30d"))[0] == 0
    assert (old.exists(), new.exists()) == (False, True)


def test_nothing_is_deleted_unless_it_is_said_what(delete):
    folders = [make_run("runs/a"), make_run("runs/b")]
    code, said = delete("--yes", chosen=())
    assert (code, all(map(Path.exists, folders))) == (1, True)
    assert "say which runs" in said
    assert delete("--yes", chosen=("outputs/runs",))[0] == 1
    assert delete("--yes", chosen=("outputs/runs/a",))[0] == 0
    assert [folder.exists() for folder in folders] == [False, True]


def prepare(case: str, folder: Path, tmp_path: Path) -> None:
    """Make the failed run in a folder one that is not to be deleted."""
    match case:
        case "running":
            edit_status(folder, state="running")
        case "another host's":
            edit_status(folder, host="elsewhere")
        case "of no host":
            edit_status(folder, host=5)
        case "without a status":
            (folder / "status.json").unlink()
        case "a status that is a link":
            (folder / "status.json").rename(tmp_path / "status.json")
            (folder / "status.json").symlink_to(tmp_path / "status.json")
        case "a strange status":
            (folder / "status.json").write_text('{"state": "failed", "pid": "x"}')
        case "around another run":
            make_run(f"{folder.relative_to('outputs')}/inner")
        case "in use by a task":
            (folder / "tasks" / "sample" / f".{os.getpid()}.now").mkdir(parents=True)
        case "a link":
            folder.rename(tmp_path / "outputs" / "moved")
            folder.symlink_to(tmp_path / "outputs" / "moved")
        case "within a link":
            folder.parent.rename(tmp_path / "elsewhere")
            folder.parent.symlink_to(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("running", "is running"),
        ("another host's", "was trained on another host, elsewhere; if nothing trains it there, --host elsewhere"),
        ("of no host", "has no status.json of this program"),
        ("without a status", "has no status.json of this program"),
        ("a status that is a link", "has no status.json of this program"),
        ("a strange status", "has no status.json of this program"),
        ("around another run", "holds another run, outputs/runs/x/inner"),
        ("in use by a task", "is in use: a process is writing"),
        ("a link", "is a link, and no links are followed"),
        ("within a link", "is a link, and no links are followed"),
    ],
)
def test_what_is_not_ours_or_not_over_is_left(delete, tmp_path, case, message):
    folder = make_run("runs/x", "failed")
    prepare(case, folder, tmp_path)
    before = contents(tmp_path)
    code, said = delete("--yes", chosen=("outputs/runs/x",))
    assert code == 1
    assert message in said
    assert said.count("\n") == 2
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "given", ["elsewhere/x", "outputs/../elsewhere/x", "../{name}/elsewhere/x", "{here}/elsewhere/x"]
)
def test_a_run_elsewhere_is_left(delete, tmp_path, given):
    folder = make_run("runs/x", "failed")
    (tmp_path / "elsewhere").mkdir()
    folder.rename(tmp_path / "elsewhere" / "x")
    code, said = delete("--yes", chosen=(given.format(here=tmp_path, name=tmp_path.name),))
    assert code == 1
    assert "is not below outputs" in said
    assert (tmp_path / "elsewhere" / "x" / "config.yaml").is_file()


def test_outputs_may_be_a_link_itself(delete, tmp_path):
    folder = make_run("runs/x", "failed")
    Path("outputs").rename(tmp_path / "disk")
    Path("outputs").symlink_to("disk")
    assert delete("--yes")[0] == 0
    assert not folder.exists()


def test_links_in_a_run_are_removed_and_not_followed(delete, tmp_path):
    folder, precious = make_run("runs/x", "failed"), tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    (folder / "link").symlink_to(precious)
    (folder / "figures").mkdir()
    (folder / "figures" / "link").symlink_to(precious / "file")
    assert delete("--yes")[0] == 0
    assert not folder.exists()
    assert (precious / "file").read_text() == "mine"


def test_a_run_of_another_host_is_deleted_if_that_is_named_and_it_has_ended(delete):
    folder = make_run("runs/x", "failed")
    edit_status(folder, host="elsewhere")
    assert delete("--yes", "--host", "another")[0] == 1
    edit_status(folder, state="running")
    assert delete("--yes", "--host", "elsewhere", chosen=(str(folder),))[0] == 1
    assert folder.is_dir()
    edit_status(folder, state="failed")
    assert delete("--yes", "--host", "elsewhere")[0] == 0
    assert not folder.exists()


@pytest.mark.parametrize("place", ["outputs/sweeps/a/0", "outputs/sweeps/a"])
def test_a_locked_run_and_a_running_sweep_are_left(delete, holder, tmp_path, place):
    make_job(0, "failed")
    process = holder(Path(place, ".lock"))
    before = contents(tmp_path)
    code, said = delete("--yes")
    assert code == 1
    assert f"process {process.pid}" in said
    assert contents(tmp_path) == before


def test_a_run_that_is_started_while_the_question_waits_is_left(delete, monkeypatch):
    folder = make_run("runs/x", "failed")
    monkeypatch.setattr(runs, "confirm", lambda _: edit_status(folder, state="running") or True)
    code, said = delete()
    assert (code, folder.is_dir()) == (1, True)
    assert "not deleted: outputs/runs/x is running" in said
    assert not (folder / ".lock").exists()


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
    assert "1 rests of a deletion" in command(capsys)[2]
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
    assert f"not all of it could be removed: Operation not permitted: {rest}/figures/stuck.png\n" in said
    assert "1 problems" in said
    assert sorted(map(str, rest.rglob("*"))) == [
        f"{rest}/{name}" for name in ("figures", "figures/stuck.png", "status.json")
    ]
    rest.rename(rest.with_name(".4194304.x"))  # this process has ended
    assert delete("--yes")[0] == 0
    assert list(Path("outputs/runs").iterdir()) == []
