"""python -m src.runs delete: it removes runs that have ended, asks before, and touches nothing else."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src import runs
from tests.helpers.commands import contents
from tests.helpers.listed import edit_status, make_job, make_run
from tests.helpers.project import ROOT


@pytest.fixture
def answer(monkeypatch):
    """answer("y") is what is typed on the terminal."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    return lambda text: monkeypatch.setattr(sys, "stdin", Terminal(text))


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
    call, env = (
        [sys.executable, "-m", "src.runs", "delete", "--state", "failed"],
        os.environ | {"PYTHONPATH": str(ROOT)},
    )
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
    old, new, undated = make_run("runs/old", days=31), make_run("runs/new", days=29), make_run("runs/undated")
    edit_status(undated, ended=None)
    assert delete("--yes", chosen=("--older-than", "30d"))[0] == 0
    assert (old.exists(), new.exists(), undated.exists()) == (False, True, True)


def test_a_run_that_was_killed_is_as_old_as_its_files(delete):
    """It was started long ago, and may have trained for long."""
    folder = make_run("runs/killed", "running", days=40, pid=2**22 + 1)
    assert delete("--yes", chosen=("--older-than", "30d"))[0] == 0
    assert folder.is_dir()
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    assert delete("--yes", chosen=("--older-than", "30d"))[0] == 0
    assert not folder.exists()


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
        ("in use by a task", "is in use: process PID is writing"),
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
    assert message.replace("PID", str(os.getpid())) in said
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
