"""Sweeps are planned before the first job, continued where they stopped, and summed up."""

import json
import re
from pathlib import Path

import pytest
import yaml

from src.run import status
from src.run.jobs_file import read_jobs
from src.sweeps import jobs
from tests.helpers.sweeps import modification_times


def test_a_changed_grid_adds_jobs_and_touches_no_other(sweep):
    assert sweep("beta=4,1", "sweep_name=a") == 0
    folder = Path("outputs/sweeps/a")
    before = modification_times(folder / "0") | modification_times(folder / "1")
    assert sweep("beta=1,2", "sweep_name=a") == 0
    assert modification_times(folder / "0") | modification_times(folder / "1") == before
    assert sorted(path.name for path in folder.iterdir() if path.name.isdigit()) == ["0", "1", "2"]
    betas = [yaml.safe_load((folder / f"{i}" / "config.yaml").read_text())["beta"] for i in range(3)]
    assert betas == [4, 1, 2]
    assert {job.number for job in read_jobs(folder).values() if job.wanted} == {1, 2}


def test_a_sweep_whose_jobs_are_over_launches_nothing(sweep, capfd):
    assert sweep("beta=1,4", "sweep_name=a") == 0
    folder = Path("outputs/sweeps/a")
    before = modification_times(folder / "0") | modification_times(folder / "1")
    said = capfd.readouterr().out
    jobs_begun = [line for line in said.splitlines() if line.startswith("job ")]
    assert jobs_begun == ["job 1 of 2: beta=1", "job 2 of 2: beta=4"]
    assert len(re.findall(r"^  val/elbo -\d+\.\d\d ± \d+\.\d\d, \d+ s; [12] of 2 done", said, flags=re.MULTILINE)) == 2
    assert "recon" not in said  # of each epoch, which each job's own log has
    assert sweep("beta=1,4", "sweep_name=a") == 0
    said = capfd.readouterr().out
    assert "sweep_name=a: 2 jobs, 2 of them done before" in said
    assert "job 1 of" not in said
    assert "2 of 2 jobs finished" in said
    assert modification_times(folder / "0") | modification_times(folder / "1") == before
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"0", "1"}


def test_a_job_is_launched_with_its_number_as_its_folder(sweep):
    assert sweep("beta=4", "sweep_name=a") == 0
    assert sweep("beta=1,4,2", "sweep_name=a", "hydra.sweeper.max_batch_size=1") == 0
    betas = [yaml.safe_load(Path(f"outputs/sweeps/a/{i}/config.yaml").read_text())["beta"] for i in range(3)]
    assert betas == [4, 1, 2]
    for i in range(3):
        (log,) = Path(f"outputs/sweeps/a/{i}").glob("*.log")
        assert f"outputs/sweeps/a/{i}" in log.read_text()


def test_seeds_are_swept_and_a_run_says_how_it_stands(sweep):
    assert sweep("sweep=seeds", "sweep_name=seeds", "trainer.max_epochs=1") == 0
    runs = [Path("outputs/sweeps/seeds", str(i)) for i in range(5)]
    assert len({json.loads((run / "metrics.json").read_text())["val/elbo"] for run in runs}) == 5
    told = status.read(runs[3])
    assert told["state"] == "finished"
    assert told["reason"] is None
    assert told["started"] < told["ended"]
    assert "seed=3" in told["overrides"]


def test_what_goes_wrong_is_marked_and_leaves_the_others_alone(sweep, capfd):
    assert sweep("optimizer.lr=1e-3,1e6", "data.exclude_labels=[],[7]", "sweep_name=a") == 1
    told = [status.read(Path("outputs/sweeps/a", str(i))) for i in range(4)]
    assert [one["state"] for one in told] == ["finished", "failed", "diverged", "failed"]
    assert told[2]["reason"].startswith("training diverged in epoch 1, step ")
    assert told[1]["reason"] == "data.exclude_labels: blobs has no label 7, but 0, 1, 2, 3"
    said = capfd.readouterr()
    assert "1 of 4 done, 3 failed" in said.out
    assert "Traceback" not in said.out + said.err
    summary = said.out.partition("1 of 4 jobs finished")[2]
    assert "optimizer.lr=0.001 data.exclude_labels=[7]  failed  data.exclude_labels: blobs has no label 7" in summary
    assert ("data.exclude_labels=[]  finished, but " in summary) == bool(told[0].get("warning"))


def test_a_sweep_of_which_only_diverged_jobs_are_left_has_the_exit_code_of_a_diverged_run(sweep):
    """A loop that starts it again would get nothing by it."""
    assert sweep("optimizer.lr=1e-3,1e6", "trainer.max_epochs=1", "sweep_name=a") == 3
    assert sweep("optimizer.lr=1e-3,1e6", "trainer.max_epochs=1", "sweep_name=a") == 3
    assert status.read(Path("outputs/sweeps/a/1"))["state"] == "diverged"


def test_two_sweeps_of_one_name_are_refused(sweep, holder):
    Path("outputs/sweeps/a").mkdir(parents=True)
    holder(Path("outputs/sweeps/a/.lock"))
    assert "sweep_name=a is running already" in sweep("beta=1,2", "sweep_name=a")
    assert [path.name for path in Path("outputs/sweeps/a").iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["beta=1,1.0"], "two jobs are the same: "),
        (["logger=csv,wandb"], "two jobs are the same: "),
        (["sweep_name=a/b"], "sweep_name=a/b can't name a folder"),
        (["beta=interval(0,1)"], "python -m src.search searches a space"),
        (["beta=1,2", "trainer=ddp"], "a sweep trains with one process a run"),
        (["beta=1,2", "trainer.devices=2"], "a sweep trains with one process a run"),
        (["beta=1,2", "hydra/sweeper=basic"], "hydra/sweeper: a sweep tries all combinations"),
        (["beta=1,2", "hydra.sweep.subdir=${hydra.job.id}"], "hydra.sweep.subdir: a job is found again by its number"),
    ],
)
def test_mistakes_are_answered_before_any_job(sweep, words, message):
    assert message in str(sweep(*words))
    assert not list(Path().glob("outputs/sweeps/*/0"))


def test_a_sweep_whose_launcher_breaks_off_still_says_how_it_stands(sweep, monkeypatch, capfd):
    def broken(node: dict) -> None:
        raise MemoryError("the launcher's")

    with monkeypatch.context() as patched:
        patched.setattr(jobs, "import_targets", broken)
        assert sweep("beta=1,2", "sweep_name=a") == 1
    said = capfd.readouterr()
    assert "MemoryError: the launcher's" in said.err
    assert "0 of 2 jobs finished" in said.out
    assert "   1  beta=2  waiting" in said.out
    assert said.out.count("jobs finished") == 1
    assert Path("outputs/sweeps/a/report.html").is_file()
    assert sweep("beta=1,2", "sweep_name=a") == 0


def test_a_folder_that_can_not_be_a_sweeps_is_refused(sweep, capfd):
    Path("outputs/sweeps").mkdir(parents=True)
    Path("outputs/sweeps/a").touch()
    assert "File exists: outputs/sweeps/a" in sweep("beta=1,2", "sweep_name=a")
    assert sweep("beta=1,2", "sweep_name=b") == 0
    Path("outputs/sweeps/b/jobs.json").write_text("{")
    assert "jobs.json is damaged (Invalid JSON" in sweep("beta=1,2", "sweep_name=b")
    assert sorted(path.name for path in Path("outputs/sweeps/b").iterdir() if path.name.isdigit()) == ["0", "1"]
