"""A run's folder belongs to one process: a second one is refused in one line, and touches nothing."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from src.run import status
from src.run.status import State
from src.support.errors import UserError
from src.support.files import remove_partial_files
from src.support.locks import is_alive, lock
from tests.helpers.commands import contents, start, wait_until

RUN = Path("outputs/runs/mine")


@pytest.mark.parametrize(
    "options",
    [
        ["run_name=mine"],
        ["run_name=mine", "resume=auto"],
        ["hydra.run.dir=outputs/runs/mine"],
        ["ckpt_path=outputs/runs/mine/checkpoints/last.ckpt", "trainer.max_epochs=3"],
    ],
    ids=lambda options: options[-1],
)
def test_a_run_that_another_process_trains_is_refused(command, run, small, holder, options):
    """The first has written a checkpoint in the last two cases alone."""
    (Path.cwd() / RUN).parent.mkdir(parents=True)
    if options[0].startswith("ckpt_path"):
        run("trainer.max_epochs=1", folder=str(RUN))
    RUN.mkdir(exist_ok=True)
    process = holder(RUN / ".lock")
    before = contents(RUN)
    code, said = command(*(small if "ckpt_path" not in options[0] else []), *options)
    assert code == 1
    expected = (
        rf"{RUN} is being trained by another process: wait for its end, or stop it \(process {process.pid} on \S+\)"
    )
    assert re.search(expected, said)
    assert "Traceback" not in said
    assert contents(RUN) == before


def test_a_folder_that_holds_a_run_is_refused(command, small):
    assert command(*small, "trainer.max_epochs=1", "hydra.run.dir=outputs/runs/mine")[0] == 0
    before = contents(RUN)
    code, said = command(*small, "hydra.run.dir=outputs/runs/mine")
    assert code == 1
    assert f"or go on with that run by ckpt_path={RUN}/checkpoints/last.ckpt" in said
    code, said = command(*small, "run_name=mine")
    assert code == 1
    assert "go on with it by adding resume=auto" in said
    assert contents(RUN) == before


def test_what_was_killed_before_its_first_checkpoint_is_no_free_folder(command, small):
    RUN.mkdir(parents=True)
    with status.record_status(RUN, []):
        pass
    status.write(RUN, status.read(RUN) | {"state": "failed"})
    before = contents(RUN)
    code, said = command(*small, "hydra.run.dir=outputs/runs/mine")
    assert code == 1
    assert "holds a run that was failed before its first checkpoint: give another folder, or begin it again" in said
    assert contents(RUN) == before


def test_a_lock_is_released_with_its_process_and_taken_again_within_it(holder):
    path = Path("a.lock")
    process = holder(path)
    with pytest.raises(UserError, match=rf"taken \(process {process.pid} on "), lock(path, "taken"):
        pytest.fail("two hold the lock")
    process.kill()
    process.wait()
    with lock(path, "taken"):
        with lock(path, "taken"):
            assert str(os.getpid()) in path.read_text()
        assert path.exists()
    assert not path.exists()


def test_a_lock_whose_file_can_not_be_removed_is_released_all_the_same(tmp_path, monkeypatch, holder):
    def fail(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    with monkeypatch.context() as patch, lock(tmp_path / "lock", "held"):
        patch.setattr(Path, "unlink", fail)
    holder(tmp_path / "lock")  # which takes it


def test_the_partial_files_of_living_processes_stay(holder):
    process = holder(Path("a.lock"))
    gone = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout.strip()
    for name in (f".{process.pid}.last.ckpt", f".{gone}.last.ckpt", f".{os.getpid()}.old"):
        Path(name).touch()
    os.utime(f".{os.getpid()}.old", (1, 1))  # of a process that had this PID before
    Path(f".{gone}.results").mkdir()
    (Path(f".{gone}.results") / "table.json").touch()
    remove_partial_files(Path.cwd())
    assert {path.name for path in Path.cwd().iterdir()} == {"a.lock", f".{process.pid}.last.ckpt"}


@pytest.mark.parametrize(
    "entry",
    [{"state": "unheard"}, {"started": 5}, {"pid": "x"}, {"overrides": None}, {"reason": 3}, {"state": ["running"]}],
    ids=str,
)
def test_a_status_with_wrong_entries_is_none(tmp_path, entry):
    with status.record_status(tmp_path, []):
        pass
    assert status.read(tmp_path)["state"] == State.FINISHED
    status.write(tmp_path, status.read(tmp_path) | entry)
    assert status.read(tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize("options", [["run_name=mine"], ["hydra.run.dir=outputs/runs/mine"]], ids=str)
def test_of_two_runs_that_begin_at_the_same_moment_one_is_refused(small, tmp_path, options):
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
        (folder / "outputs").symlink_to(tmp_path)
    processes = [start("train", *small, *options, folder=folder) for folder in folders]
    codes = sorted(process.wait(timeout=120) for process in processes)
    said = [(folder / "log").read_text() for folder in folders]
    assert codes == [0, 1], said
    assert any("is being trained by another process" in each or "holds a run" in each for each in said)
    assert status.read(tmp_path / "runs" / "mine")["state"] == "finished"


@pytest.mark.slow
def test_a_sweep_is_not_disturbed_by_a_resume_of_its_job(command, small, tmp_path):
    options = ["-m", *small, "trainer.max_epochs=100000", "seed=0,1", "sweep_name=mine"]
    with start("train", *options, folder=tmp_path) as process:
        try:
            job = Path("outputs/sweeps/mine/0")
            wait_until((job / "checkpoints" / "last.ckpt").is_file, process, tmp_path / "log")
            code, said = command(f"ckpt_path={job}/checkpoints/last.ckpt", "trainer.max_epochs=100001")
            assert code == 1
            assert f"{job} is being trained by another process" in said
            assert is_alive(process.pid)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == -signal.SIGINT
        finally:
            process.kill()
