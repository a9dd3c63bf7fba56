"""run_name and resume=auto: a run goes on where there is something to go on with, and begins elsewhere."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from src.run import status
from src.training.checkpoints import WholeOrNothing
from tests.helpers.commands import contents, start, wait_until
from tests.helpers.processes import HEAVY, packages_imported
from tests.helpers.project import ROOT
from tests.helpers.runs import identical, rows, weights

RUN = Path("outputs/runs/mine")
AUTO = ["run_name=mine", "resume=auto"]


def test_a_run_begins_goes_on_and_is_finished(command, run, small):
    assert command(*small, *AUTO, "trainer.max_epochs=1")[0] == 0
    before = contents(RUN)
    code, said = command(*small, *AUTO, "trainer.max_epochs=1")
    assert (code, contents(RUN)) == (0, before)
    assert f"{RUN} is finished already: nothing is left to do" in said
    assert command(*small, *AUTO, "trainer.max_epochs=3")[0] == 0
    assert [float(row["epoch"]) for row in rows(RUN)] == [0, 1, 2, 3]
    assert status.read(RUN)["state"] == "finished"


@pytest.mark.parametrize("name", ["metrics.json", "val_terms.npz", "test_terms.npz"])
def test_a_finished_run_that_has_lost_results_gets_them_back(command, run, small, name):
    run(folder=make_parent())
    before = contents(RUN)
    if name == "metrics.json":
        (RUN / name).write_text("{")
    else:
        (RUN / name).unlink()
    code, said = command(*small, *AUTO)
    assert code == 0, said
    assert contents(RUN).keys() >= before.keys()
    assert json.loads((RUN / "metrics.json").read_text())["epoch"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["beta=2"], "was begun with other options: beta=2, which was 1:"),
        (["model.encoder.hidden=[8]", "seed=1"], "seed=1, which was 0; model.encoder.hidden=[8], which was [400, 400"),
        (["+trainer.limit_train_batches=1"], "trainer.limit_train_batches=1, which was –"),
        (["schedule=cyclic", "trainer.max_epochs=7"], "with other options: schedule=cyclic, which was constant: give"),
    ],
)
def test_other_options_are_refused_before_anything_changes(command, run, small, options, message):
    run("logger=csv", "trainer.max_epochs=1", folder=make_parent())
    before = contents(RUN)
    code, said = command(*small, *AUTO, *options)
    assert code == 1
    assert message in said
    assert contents(RUN) == before


def make_parent() -> str:
    """The run's folder as a path, in a folder that exists."""
    RUN.parent.mkdir(parents=True)
    return str(RUN)


@pytest.mark.parametrize("options", [["callbacks=default"], ["trainer.max_epochs=3"]], ids=str)
def test_options_that_change_no_number_may_differ(command, run, small, options):
    run("trainer.max_epochs=1", "schedule=cyclic", folder=make_parent())
    code, said = command(*small, *AUTO, "schedule=cyclic", "trainer.max_epochs=2", *options)
    assert code == 0, said
    assert [float(row["epoch"]) for row in rows(RUN)][:3] == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["resume=auto"], "resume=auto must know which run: add run_name=NAME"),
        (["resume=yes", "run_name=a"], "resume must be null or auto, got yes"),
        (["run_name=../a"], "run_name=../a can't name a folder: use letters, digits, _ . and -"),
        (["run_name=a", "hydra.run.dir=b"], "hydra.run.dir and run_name both name the run's folder"),
        (["-m", "run_name=a", "seed=0,1"], "run_name is for one run: a sweep is named by sweep_name=NAME"),
        (["-m", "run_name=a,b"], "run_name is for one run"),
        (["-m", "resume=auto", "seed=0,1"], "resume is for one run"),
    ],
)
def test_mistakes_are_refused_before_anything_is_made(command, tmp_path, options, message):
    code, said = command(*options)
    assert code == 1
    assert message in said
    assert not list(tmp_path.iterdir())


def test_a_refusal_imports_nothing_heavy(finished, tmp_path):
    RUN.parent.mkdir(parents=True)
    RUN.symlink_to(finished)
    assert not packages_imported("train", tmp_path, *AUTO, "data=npz", "data.path=log", "beta=2") & HEAVY


def test_a_folder_that_holds_no_run_is_left_alone(command, small):
    RUN.mkdir(parents=True)
    (RUN / "notes.txt").write_text("of a user")
    for options in (AUTO, AUTO[:1]):
        code, said = command(*small, *options)
        assert code == 1
        assert f"{RUN} is there and holds no run: give another name" in said
    assert contents(RUN) == {"notes.txt": b"of a user"}


def test_what_was_killed_before_the_first_checkpoint_is_begun_again(command, run, small):
    RUN.mkdir(parents=True)
    gone = int(subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout)
    status.write(RUN, status.initial_status([]) | {"pid": gone})
    for name in ("config.yaml", "metrics.csv", f".{gone}.config.yaml", "notes.txt"):
        (RUN / name).write_text("cut sho")
    code, said = command(*small, *AUTO)
    assert code == 0, said
    assert (RUN / "notes.txt").read_text() == "cut sho"
    assert not list(RUN.glob(f".{gone}.*"))
    assert identical(weights(RUN), weights(run(folder="alone")))


def test_a_damaged_checkpoint_is_left_alone(command, run, small):
    run("trainer.max_epochs=1", folder=make_parent())
    os.truncate(RUN / "checkpoints" / "last.ckpt", 999)
    before = contents(RUN)
    code, said = command(*small, *AUTO)
    assert code == 1
    assert "resume=auto changes nothing; remove the file, and it goes on from best" in said
    assert contents(RUN) == before


def test_a_run_goes_on_from_best_where_last_was_never_written(command, run, small, monkeypatch):
    plain, written = WholeOrNothing.save_checkpoint, []

    def fail(self, checkpoint, path, storage_options=None):
        written.append(path)
        if len(written) == 2:
            raise OSError(5, "Input/output error", str(path))
        plain(self, checkpoint, path, storage_options)

    with monkeypatch.context() as patch:
        patch.setattr(WholeOrNothing, "save_checkpoint", fail)
        assert command(*small, *AUTO)[0] == 1
    assert [path.name for path in RUN.glob("checkpoints/*")] == ["best.ckpt"]
    assert command(*small, *AUTO)[0] == 0
    alone = run(folder="alone")
    for which in ("last", "best"):
        assert identical(weights(RUN, which), weights(alone, which))


def test_a_run_that_has_diverged_is_not_tried_for_ever(command, small):
    RUN.mkdir(parents=True)
    status.write(RUN, status.initial_status([]) | {"state": "diverged", "reason": "the loss is nan"})
    code, said = command(*small, *AUTO)
    assert code == 3
    assert "has diverged, and would again: the loss is nan" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["+optimizer.maximize=true", "optimizer.lr=1e-4"], "is diverged already: nothing is left to do"),
        (["optimizer.lr=1e9"], "has diverged, and would again: training diverged in epoch 1"),
    ],
)
def test_a_run_that_diverges_has_an_exit_code_of_its_own(command, small, words, said):
    """Whether its loss rises or is not finite, and each time that it is started again."""
    assert command(*small, *AUTO, *words)[0] == 3
    assert status.read(RUN)["state"] == "diverged"
    code, again = command(*small, *AUTO, *words)
    assert code == 3
    assert said in again


@pytest.mark.slow
def test_a_loop_ends_with_the_numbers_of_an_uninterrupted_run(small, tmp_path, run):
    """Killed at a moment before the first checkpoint, and after some."""
    options = [*small, *AUTO, "trainer.max_epochs=12"]
    for is_reached in ((RUN / "status.json").is_file, lambda: (RUN / "metrics.csv").is_file() and len(rows(RUN)) > 2):
        with start("train", *options, folder=tmp_path) as process:
            wait_until(is_reached, process, tmp_path / "log")
            process.send_signal(signal.SIGKILL)
    seconds = [row["seconds"] for row in rows(RUN)[:2]]  # that the first epoch took: it is not trained again
    loop = f"until {sys.executable} -m src.train {' '.join(options)}; do sleep 0.1; done"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(["sh", "-c", loop], check=True, env=env, timeout=120)
    assert [row["seconds"] for row in rows(RUN)[:2]] == seconds
    whole = run("trainer.max_epochs=12", folder="alone")
    assert identical(weights(RUN), weights(whole))
    assert (RUN / "metrics.csv").read_text().count("\n") == (whole / "metrics.csv").read_text().count("\n")
