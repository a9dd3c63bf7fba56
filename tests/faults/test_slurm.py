"""SLURM: its refusals, and runs and sweeps that it cancels or requeues."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.run import status
from src.sweeps import queue
from tests.helpers.project import ROOT
from tests.helpers.runs import identical, weights
from tests.helpers.sweeps import assert_same_jobs, wait_until

SCRIPT = Path(ROOT, "tests", "faults", "slurm.sh")
LAUNCHER = ["hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]
TWO = ["trainer=ddp", "trainer.devices=2"]


def pretend(folder: Path, **programs: str) -> None:
    """Write shell scripts in place of SLURM's programs."""
    folder.mkdir()
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)


def test_a_wrong_partition_is_one_line(sweep, monkeypatch, tmp_path, capfd):
    pretend(
        tmp_path / "bin",
        srun="exit 0",
        squeue="exit 0",
        sbatch="echo 'sbatch: error: invalid partition specified: nope' >&2\n"
        "echo 'sbatch: error: Batch job submission failed: Invalid partition name specified' >&2; exit 1",
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    said = sweep("seed=0,1", *LAUNCHER, "hydra.launcher.partition=nope", "sweep_name=a")
    assert said.startswith("SLURM refused the jobs (invalid partition specified: nope")
    assert "hydra.launcher.partition=..." in said
    assert "\n" not in said
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_machine_without_slurm_is_one_line(sweep, monkeypatch, tmp_path, capfd):
    if shutil.which("srun"):
        pytest.skip("SLURM is installed here")
    said = sweep("seed=0,1", *LAUNCHER, "sweep_name=a")
    assert said == "hydra/launcher=submitit_slurm needs SLURM, and there is no srun here: hydra/launcher=joblib"
    assert "Traceback" not in "".join(capfd.readouterr())


def test_the_jobs_of_a_sweep_are_recognised_in_the_queue(monkeypatch, tmp_path):
    for name in ("12_0", "12_3", "14", "latest", "9x"):
        (tmp_path / "jobs" / name).mkdir(parents=True)
    assert queue.jobs_in_queue(tmp_path / "jobs") == set()  # without SLURM
    pretend(tmp_path / "bin", squeue="printf '12\\n12\\n13\\n'")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert queue.jobs_in_queue(tmp_path / "jobs") == {"12"}
    assert queue.jobs_in_queue(tmp_path / "none") == set()


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A SLURM of this machine with four CPUs; its folder."""
    release = Path("/etc/os-release")
    if os.geteuid() or "bookworm" not in (release.read_text() if release.is_file() else ""):
        pytest.skip("SLURM is set up as root on Debian 12 alone")
    folder = tmp_path_factory.mktemp("slurm")
    try:
        made = subprocess.run(["bash", SCRIPT, "up", folder, "4"], capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"SLURM can't be set up: {' '.join(made.stderr.split())[-500:]}")
        yield folder
    finally:
        subprocess.run(["bash", SCRIPT, "down", folder], check=False)


@pytest.fixture
def command(slurm, monkeypatch, small):
    """command("seed=0"): the words of python -m src.train with small images, in an environment with SLURM."""
    monkeypatch.setenv("SLURM_CONF", str(slurm / "slurm.conf"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield lambda *words: [sys.executable, "-m", "src.train", *small, *words]
    subprocess.run(["scancel", "--me"], check=False)  # those of a test that failed


def run_line(*line: object) -> tuple[int, str]:
    """Run a command; its exit code, and what it prints."""
    result = subprocess.run(list(map(str, line)), capture_output=True, text=True, timeout=300)
    return result.returncode, result.stdout + result.stderr


@pytest.mark.slow
def test_a_sweep_ends_as_a_local_one_after_a_job_was_cancelled_and_another_requeued(command, sweep, tmp_path):
    words = ["seed=0,1,2,3", "trainer.max_epochs=60"]
    folder, line = tmp_path / "outputs" / "sweeps" / "a", command("-m", *words, *LAUNCHER, "sweep_name=a")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log)
    wait_until(lambda: all((folder / n / "checkpoints" / "last.ckpt").is_file() for n in "12"), tmp_path / "log")
    (first,) = {path.name.partition("_")[0] for path in (folder / ".submitit").glob("[0-9]*_*")}
    assert run_line("scancel", f"{first}_1")[0] == 0
    assert run_line("scontrol", "requeue", f"{first}_2")[0] == 0
    assert process.wait(timeout=500) == 1
    said = (tmp_path / "log").read_text()
    assert "0 of 4 done" in said
    assert "3 of 4 jobs finished" in said
    assert "Traceback" not in said
    assert status.read(folder / "1")["state"] in ("killed", "interrupted")
    code, said = run_line(*line)
    assert code == 0, said
    assert "4 of 4 jobs finished" in said
    assert sweep(*words, "sweep_name=b") == 0
    assert_same_jobs(folder, folder.with_name("b"), "0123")


@pytest.mark.slow
def test_a_sweep_whose_submitting_process_was_killed_waits_for_its_jobs(command, sweep, tmp_path):
    words = ["seed=0,1", "trainer.max_epochs=60"]
    folder, line = tmp_path / "outputs" / "sweeps" / "a", command("-m", *words, *LAUNCHER, "sweep_name=a")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log)
    wait_until((folder / "1" / "checkpoints" / "last.ckpt").is_file, tmp_path / "log")
    process.send_signal(signal.SIGKILL)
    process.wait()
    code, said = run_line(*line)
    assert code == 0, said
    assert "the sweep goes on after them" in said
    assert "2 jobs, 2 of them done before" in said
    assert sweep(*words, "sweep_name=b") == 0
    assert_same_jobs(folder, folder.with_name("b"), "01")


@pytest.mark.slow
def test_tasks_of_srun_train_the_run_of_lightnings_own_launcher(command, tmp_path):
    code, said = run_line("srun", "-n2", *command(*TWO))
    assert code == 0, said
    (run,) = tmp_path.glob("outputs/runs/*")
    assert "Traceback" not in said
    assert {path.name for path in run.glob("*.log")} == {"train.log"}
    assert said.count("best checkpoint: epoch") == 1
    assert run_line(*command(*TWO, "hydra.run.dir=local"))[0] == 0
    assert identical(weights(run), weights(tmp_path / "local"))


@pytest.mark.slow
def test_one_task_of_srun_and_a_batch_script_train_as_a_local_process_does(command, tmp_path):
    code, said = run_line("srun", "-n1", *command("hydra.run.dir=task"))
    assert code == 0, said
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/bash\n" + " ".join(command("hydra.run.dir=batch")) + "\n")
    code, said = run_line("sbatch", "--wait", "-n2", f"--output={tmp_path / 'batch.log'}", script)
    assert code == 0, (tmp_path / "batch.log").read_text()
    code, said = run_line(*command("hydra.run.dir=local"))
    assert code == 0
    assert "srun" not in said
    for name in ("task", "batch"):
        assert identical(weights(tmp_path / name), weights(tmp_path / "local"))


@pytest.mark.slow
def test_refusals_under_slurm_are_one_line(command, tmp_path):
    for line, message in (
        (command("-m", "seed=0,1", *LAUNCHER, "hydra.launcher.partition=nope"), "SLURM refused the jobs"),
        (["srun", "-n2", *command()], "srun has started 2 processes, but the run asks for 1"),
        (["srun", "-n2", *command("-m", "seed=0,1")], "each would start the whole sweep: leave srun out"),
    ):
        code, said = run_line(*line)
        assert code == 1
        assert said.count(message) == 1
        assert "Traceback" not in said
    assert not (tmp_path / "outputs" / "runs").exists()


@pytest.mark.slow
def test_a_batch_script_that_is_requeued_ends_as_an_uninterrupted_run(command, tmp_path):
    words, run = ["trainer.max_epochs=60"], tmp_path / "outputs" / "runs" / "mine"
    log, script = tmp_path / "batch.log", tmp_path / "job.sh"
    line = shlex.join(command(*words, "run_name=mine", "resume=auto"))
    script.write_text(f"#!/bin/bash\nexec {line}\n")
    code, said = run_line("sbatch", "--parsable", "--open-mode=append", f"--output={log}", script)
    assert code == 0, said
    wait_until((run / "checkpoints" / "last.ckpt").is_file, log)
    assert run_line("scontrol", "requeue", said.strip())[0] == 0
    wait_until(lambda: said.strip() not in run_line("squeue", "--noheader", "--format=%i")[1], log)
    assert status.read(run)["state"] == "finished", log.read_text()
    assert [path.name for path in run.parent.iterdir()] == ["mine"]
    assert run_line(*command(*words, "hydra.run.dir=whole"))[0] == 0
    assert identical(weights(run), weights(tmp_path / "whole"))
