"""Several processes that torchrun or srun has started train one run, in one folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed import TCPStore

from src.config.shared import shared_folder
from src.run import status
from src.support import world
from src.support.errors import UserError
from tests.helpers.processes import children
from tests.helpers.project import ROOT
from tests.helpers.runs import identical, weights
from tests.helpers.sweeps import numbers, wait_until

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
TWO = ["trainer=ddp", "trainer.devices=2"]
SLURM = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a command: one thread, and nothing of a launcher."""
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def torchrun(small, environment, tmp_path):
    """torchrun("beta=4", ...): torchrun with two processes of src.train; the exit code, and what they print."""

    def start(*words: str) -> tuple[int, str]:
        options = [] if any(word.startswith("ckpt_path=") for word in words) else small
        command = [*TORCHRUN, "-m", "src.train", *options, *words]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=150)
        return result.returncode, result.stdout + result.stderr

    return start


def folders(path: Path) -> list[Path]:
    """All run folders below a folder."""
    return sorted(path.glob("outputs/runs/*"))


def test_processes_that_know_of_each_other_train_one_run(first_zygote, small, tmp_path):
    """They have the variables that torchrun gives to its processes, and no libraries to import."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # torchrun has one of its own
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    place |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "none"}
    line = ["train", *small, *TWO, "trainer.max_epochs=1"]
    running = [first_zygote.start(line, tmp_path, RANK=rank, LOCAL_RANK=rank, **place) for rank in "01"]
    ended = [each.wait() for each in running]
    said = "".join(each.console for each in ended)
    assert [each.code for each in ended] == [0, 0], said
    check_one_run(tmp_path, said)


@pytest.mark.slow
def test_processes_of_torchrun_train_one_run(torchrun, tmp_path):
    code, said = torchrun(*TWO, "trainer.max_epochs=1")
    assert code == 0, said
    check_one_run(tmp_path, said)


def check_one_run(folder: Path, said: str) -> None:
    """Assert that both processes trained one run in a folder, and that each line was printed once."""
    (run,) = folders(folder)
    assert status.read(run)["state"] == "finished"
    assert {path.name for path in run.glob("*.log")} == {"train.log"}
    for line in ("best checkpoint: epoch 1;", "  validation  ", "task=evaluate"):
        assert said.count(line) == (run / "train.log").read_text().count(line) == 1
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_run_of_torchrun_is_that_of_lightnings_own_launcher_and_resumes(torchrun, small, environment, tmp_path):
    code, said = torchrun(*TWO, "hydra.run.dir=a")
    assert code == 0, said
    command = [sys.executable, "-m", "src.train", *small, *TWO, "hydra.run.dir=b"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=300)
    assert numbers(tmp_path / "a") == numbers(tmp_path / "b")
    assert identical(weights(tmp_path / "a"), weights(tmp_path / "b"))
    for folder in "ab":
        words = [f"ckpt_path={folder}/checkpoints/last.ckpt", "trainer.max_epochs=3"]
        if folder == "a":
            assert torchrun(*words)[0] == 0
        else:
            command = [sys.executable, "-m", "src.train", *words]
            subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=300)
    assert numbers(tmp_path / "a") == numbers(tmp_path / "b")
    assert identical(weights(tmp_path / "a"), weights(tmp_path / "b"))


@pytest.mark.slow
def test_a_run_whose_second_process_is_killed_ends_and_resumes(torchrun, small, environment, tmp_path):
    words = [*TWO, "trainer.max_epochs=40"]
    command = [*TORCHRUN, "-m", "src.train", *small, *words]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    wait_until(lambda: list(tmp_path.glob("outputs/runs/*/checkpoints/last.ckpt")), tmp_path / "log")
    (run,) = folders(tmp_path)
    (other,) = (pid for pid in children(process.pid) if pid != status.read(run)["pid"])
    os.kill(other, signal.SIGKILL)
    assert process.wait(timeout=120) != 0
    assert status.read(run)["state"] in ("killed", "interrupted", "failed")
    assert torchrun(f"ckpt_path={run}/checkpoints/last.ckpt")[0] == 0
    assert torchrun(*words, "hydra.run.dir=whole")[0] == 0
    assert identical(weights(run), weights(tmp_path / "whole"))


@pytest.mark.slow
def test_resume_auto_begins_goes_on_and_ends_under_torchrun(torchrun, tmp_path):
    words, run = [*TWO, "run_name=mine", "resume=auto"], tmp_path / "outputs/runs/mine"
    for epochs in (1, 3, 3):
        code, said = torchrun(*words, f"trainer.max_epochs={epochs}")
        assert code == 0, said
        assert "Traceback" not in said
        assert status.read(run)["state"] == "finished"
    assert said.count("nothing is left to do") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "torchrun has started 2 processes, but the run asks for 1: trainer=ddp trainer.devices=2"),
        ([*TWO, "latent_dim=0"], "latent_dim must be at least 1"),
        ([*TWO, "latent_dimm=0"], "there is no option latent_dimm"),
        (["-m", "seed=0,1"], "each would start the whole sweep: leave torchrun out"),
    ],
)
def test_a_refusal_is_printed_once(torchrun, words, message, tmp_path):
    code, said = torchrun(*words)
    assert code != 0
    assert said.count(message) == 1
    assert not list(tmp_path.glob("outputs/*/*"))


def test_a_process_knows_its_place(monkeypatch):
    assert world.world() is None
    assert world.rank() == 0
    monkeypatch.setenv("LOCAL_RANK", "3")  # Lightning's own
    assert world.rank() == 3
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert world.world() == ("srun", 1, 2, 1)
    assert world.rank() == 1
    monkeypatch.setenv("SLURM_PTY_PORT", "1")
    assert world.world() is None
    elastic = {"TORCHELASTIC_RUN_ID": "none", "RANK": "2", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
    for name, value in elastic.items():
        monkeypatch.setenv(name, value)
    assert world.world() == ("torchrun", 2, 4, 2)


def test_tasks_of_srun_agree_on_a_folder(monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert shared_folder("outputs/runs/9:00:01") == shared_folder("outputs/runs/9:00:02")
    with pytest.raises(UserError, match="srun has started 2 processes, but the run asks for 1"):
        world.check_size(1, 1)
    for devices, nodes in ((2, 1), ([0, 1], 1), (1, 2), ("auto", 1)):
        world.check_size(devices, nodes)
    for command in ("sweep", "search"):
        with pytest.raises(UserError, match=f"each would start the whole {command}"):
            world.refuse_several(command)
