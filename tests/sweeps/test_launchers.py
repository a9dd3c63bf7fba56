"""The sweeps of conf/ and of the documentation, and Hydra's launchers."""

import re
import signal
from pathlib import Path

import hydra
import pytest
import yaml

from src.config.options import CONF
from src.run import epochs, status
from src.sweeps import numbering
from src.sweeps.sweeper import Sweep
from tests.helpers.project import LINES, arguments
from tests.helpers.sweeps import assert_same_jobs, modification_times, numbers, wait_until


def jobs_of(*words: str) -> list:
    """The jobs of a sweep."""
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        swept = [word for word in words if "," in word]
        cfg = hydra.compose("train", [word for word in words if word not in swept], return_hydra_config=True)
        cfg.hydra.job.config_name = "train"
        cfg.hydra.overrides.task.extend(swept)
        return Sweep(cfg, lambda: pytest.fail("nothing is launched")).compose()[1]


SWEEPS = [line for line in LINES if "src.train" in line and (" sweep=" in line or "src.train -m " in line)]


@pytest.mark.parametrize("line", [line for line in SWEEPS if "beta_latent_model" not in line])
def test_a_documented_sweep_is_one(line):
    jobs = jobs_of(*(word for word in arguments(line, "src.train") if word != "-m"))
    assert len(set(map(numbering.fingerprint, jobs))) == len(jobs) > 1


def test_the_sweep_of_beta_latent_model_covers_its_grid():
    configs = jobs_of("sweep=beta_latent_model")
    assert len({(cfg.beta, cfg.latent_dim, cfg.model.name) for cfg in configs}) == 18
    assert len(set(map(numbering.fingerprint, configs))) == 18


def test_the_sweep_of_wandb_gives_options_of_ours(composed):
    node = yaml.safe_load(Path(CONF, "sweep", "wandb.yaml").read_text())
    assert node["command"][1:4] == ["python", "-m", "src.train"]
    options = [f"{name}={v.get('min') or v['values'][0]}" for name, v in node["parameters"].items()]
    assert composed(*options).optimizer.lr == node["parameters"]["optimizer.lr"]["min"]


@pytest.mark.filterwarnings("ignore:[\\s\\S]*validated against ConfigStore")  # said at pytest's own line
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "submitit_slurm"])
def test_launchers_compose(launcher):
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        cfg = hydra.compose("train", [f"hydra/launcher={launcher}"], return_hydra_config=True)
    launcher = hydra.utils.instantiate(cfg.hydra.launcher, _convert_="all")
    assert type(launcher).__name__.removesuffix("Launcher").lower() in cfg.hydra.runtime.choices["hydra/launcher"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_launcher_leaves_what_the_basic_one_does(sweep, background, launcher, tmp_path):
    words = ["optimizer.lr=3e-3,2e-3,1e6", "trainer.max_epochs=3"]
    process = background(*words, f"hydra/launcher={launcher}", "sweep_name=a")
    assert process.wait(timeout=300) == 3, (tmp_path / "log").read_text()
    assert sweep(*words, "sweep_name=b") == 3
    for number in "01":
        assert numbers(Path("outputs/sweeps/a", number)) == numbers(Path("outputs/sweeps/b", number))
    assert status.read(Path("outputs/sweeps/a/2"))["state"] == "diverged"
    said = (tmp_path / "log").read_text()
    assert "2 of 3 jobs finished" in said
    assert not re.search("Traceback|deprecated", said)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_ctrl_c_says_how_a_sweep_goes_on(background, sweep, launcher, tmp_path):
    words = ["seed=0,1,2", "trainer.max_epochs=30"]
    process = background(*words, f"hydra/launcher={launcher}")
    wait_until(lambda: list(tmp_path.glob("outputs/sweeps/*/1/checkpoints/last.ckpt")), tmp_path / "log")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == -signal.SIGINT
    (folder,) = tmp_path.glob("outputs/sweeps/*")
    said = (tmp_path / "log").read_text()
    assert f"trainer.max_epochs=30 hydra/launcher={launcher} sweep_name={folder.name}" in said
    assert "Traceback" not in said
    assert sweep(*words, f"sweep_name={folder.name}") == 0
    assert [status.read(folder / number)["state"] for number in "012"] == ["finished"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_that_was_killed_ends_like_one_that_was_not(sweep, background, launcher, tmp_path):
    words = ["seed=0,1,2,3", "trainer.max_epochs=30"]
    process = background(*words, f"hydra/launcher={launcher}", "sweep_name=killed")
    folder = tmp_path / "outputs" / "sweeps" / "killed"
    wait_until((folder / "2" / "checkpoints" / "last.ckpt").is_file, tmp_path / "log")
    process.kill()
    process.wait()
    wait_until(lambda: status.read(folder / "2")["state"] == "killed", tmp_path / "log")  # the job ends with its sweep
    before, seconds = modification_times(folder / "0"), epochs.read(folder / "2").rows[1]["seconds"]
    assert sweep(*words, "sweep_name=killed") == 0
    assert modification_times(folder / "0") == before
    assert epochs.read(folder / "2").rows[1]["seconds"] == seconds  # resumed, not begun anew
    assert sweep(*words, "sweep_name=whole") == 0
    assert_same_jobs(folder, folder.with_name("whole"), "0123")
