"""The jobs of a sweep: what identifies them, how far they are, and what becomes of one that is stopped or fails."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from src.run import epochs, status
from src.run.job import Job
from src.support.errors import UserError
from src.support.locks import lock
from src.sweeps import jobs, numbering
from src.training.module import VAEModule
from tests.helpers.sweeps import assert_same_jobs, modification_times


def test_a_job_that_is_killed_or_mistaken_is_tried_again(sweep, monkeypatch, capfd):
    def wreck(self) -> None:
        if self.seed == 1 and self.current_epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.seed == 2 and self.current_epoch == 2:
            raise RuntimeError("out of\nluck")

    words = ["seed=1,2,3", "trainer.max_epochs=4"]
    with monkeypatch.context() as patched:
        patched.setattr(VAEModule, "on_train_epoch_end", wreck)
        assert sweep(*words, "sweep_name=a") == 1
    runs = [Path("outputs/sweeps/a", number) for number in "012"]
    assert [status.read(run)["state"] for run in runs] == ["killed", "failed", "finished"]
    assert status.read(runs[1])["reason"] == "RuntimeError: out of"
    assert "0 was killed by signal 9, as a system does that runs out of memory" in capfd.readouterr().out
    before, seconds = modification_times(runs[2]), [epochs.read(run).rows[1]["seconds"] for run in runs]
    assert sweep(*words, "sweep_name=a") == 0
    said = capfd.readouterr().out
    assert "sweep_name=a: 3 jobs, 1 of them done before, 1 to go on with" in said
    begun = [line for line in said.splitlines() if line.startswith("job ")]
    assert begun == ["job 1 of 3: seed=1, goes on after epoch 2", "job 2 of 3: seed=2"]
    assert modification_times(runs[2]) == before
    resumed = [epochs.read(run).rows[1]["seconds"] == then for run, then in zip(runs, seconds, strict=True)]
    assert resumed == [True, False, True]  # after a mistake it is begun anew
    assert sweep(*words, "sweep_name=whole") == 0
    assert_same_jobs(Path("outputs/sweeps/a"), Path("outputs/sweeps/whole"), "012")


def test_a_job_that_another_process_trains_is_left_alone(sweep, monkeypatch, capfd):
    monkeypatch.setattr(jobs, "PATIENCE", 0)
    run = Path("outputs/sweeps/a/0")
    run.mkdir(parents=True)
    with lock(run / ".lock", "held"):  # the jobs are forks of this process, and do not hold it
        assert sweep("beta=1,2", "sweep_name=a") == 1
    assert status.read(run) == {}
    assert "is being trained by another process" in capfd.readouterr().out
    assert status.read(run.with_name("1"))["state"] == "finished"


def test_a_job_whose_checkpoint_is_damaged_fails_and_is_then_begun_anew(sweep):
    assert sweep("beta=1,2", "sweep_name=a") == 0
    run = Path("outputs/sweeps/a/0")
    (run / "metrics.json").unlink()
    status.write(run, status.read(run) | {"state": "interrupted"})
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    assert sweep("beta=1,2", "sweep_name=a") == 1
    told = status.read(run)
    assert told["state"] == "failed"
    assert "last.ckpt is no checkpoint, or is cut short" in told["reason"]
    assert sweep("beta=1,2", "sweep_name=a") == 0
    assert (run / "metrics.json").is_file()


def test_a_job_that_can_not_go_on_keeps_its_checkpoint(composed, finished, tmp_path):
    def refuse(*_: object) -> None:
        raise UserError("the weights do not fit")

    run = Path(shutil.copytree(finished, tmp_path / "0"))
    status.write(run, status.read(run) | {"state": "interrupted"})
    for _ in range(2):
        with pytest.raises(UserError):
            jobs.train_or_resume(composed(), run, [], Job("a", []), refuse)
        told = status.read(run)
        assert (told["state"], told["reason"]) == ("interrupted", "the weights do not fit")
        assert (run / "checkpoints" / "last.ckpt").is_file()


def test_a_job_that_another_process_has_just_finished_is_kept(finished, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / "0"))
    before = modification_times(run)
    jobs.train_or_resume(None, run, [], Job("a", []), train=None)
    assert {path: when for path, when in modification_times(run).items() if path in before and path != str(run)} == {
        path: when for path, when in before.items() if path != str(run)
    }


def test_the_progress_of_a_sweep(tmp_path):
    plans = {str(i): {"number": i, "options": [], "wanted": i < 6} for i in range(7)}
    (tmp_path / "jobs.json").write_text(json.dumps(plans))
    os.utime(tmp_path / "jobs.json", (0, 0))
    assert jobs.progress(tmp_path) == "0 of 6 done"
    mine = {"host": "another", "pid": 1, "reason": None, "overrides": []}
    for number, state in enumerate(["finished", "diverged", "running", "finished"]):
        (tmp_path / str(number)).mkdir()
        ended = None if state == "running" else "2026-01-01T00:10:00+00:00"
        told = mine | {"state": state, "started": "2026-01-01T00:00:00+00:00", "ended": ended}
        status.write(tmp_path / str(number), told)
    # two to come, ten minutes each, two at a time; that which runs has taken longer than ten already
    assert jobs.progress(tmp_path) == "2 of 6 done, 1 failed, 1 running, about 10 min left"


def test_the_fingerprint_is_of_what_changes_numbers(composed):
    mnist = numbering.fingerprint(composed("data=mnist"))
    same = composed("data=mnist", "data.root=elsewhere", "logger=csv", "callbacks=none", "sweep_name=a", "title=b")
    assert numbering.fingerprint(same) == mnist
    for word in ("seed=1", "beta=2", "data=fashion_mnist", "trainer.max_epochs=3", "model.encoder.hidden=[8]"):
        assert numbering.fingerprint(composed("data=mnist", word)) != mnist
    one, other = (numbering.fingerprint(composed("data=npz", f"data.path={name}.npz")) for name in "ab")
    assert one != other


def test_a_job_that_was_trained_on_by_itself_is_still_that_job(tmp_path, composed):
    """Its configuration is another one now, with more epochs, but jobs.json knows it."""
    wanted, configs = [["seed=0"], ["seed=1"]], [composed("seed=0"), composed("seed=1")]
    assert numbering.assign_numbers(tmp_path, wanted, configs) == [0, 1]
    for number, options in enumerate((["seed=0", "trainer.max_epochs=90"], ["seed=1"])):
        (tmp_path / str(number)).mkdir()
        config = OmegaConf.to_container(composed(*options), resolve=True)
        (tmp_path / str(number) / "config.yaml").write_text(yaml.safe_dump(config))
    assert numbering.assign_numbers(tmp_path, wanted, configs) == [0, 1]
    assert numbering.assign_numbers(tmp_path, wanted[1:], configs[1:]) == [1]
    assert numbering.assign_numbers(tmp_path, wanted, configs) == [0, 1]


def test_the_number_of_a_job_is_never_given_to_another(tmp_path, composed):
    """Two entries of jobs.json may have been trained to the same configuration by now."""
    nine, new = composed("trainer.max_epochs=9"), composed("seed=5")
    entry = {"options": [], "wanted": True}
    plan = {numbering.fingerprint(nine): entry | {"number": 0}, "earlier": entry | {"number": 1}}
    (tmp_path / "jobs.json").write_text(json.dumps(plan))
    (tmp_path / "1").mkdir()
    config = OmegaConf.to_container(nine, resolve=True)
    (tmp_path / "1" / "config.yaml").write_text(yaml.safe_dump(config))
    wanted = [["trainer.max_epochs=9"], ["seed=5"]]
    assert numbering.assign_numbers(tmp_path, wanted, [nine, new]) == [1, 2]
