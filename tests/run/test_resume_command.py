"""python -m src.train with folders and configurations of the user's own: a run starts, is resumed, or is refused."""

import os
import shlex
import shutil
import sys

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from src import train
from src.config.overrides import format_option
from src.run import status
from tests.helpers.runs import rows

MINE = """
defaults:
  - train
  - _self_
beta: 2
objective:
  samples: 3
"""


@pytest.fixture
def command(monkeypatch):
    """command("beta=4", ...): python -m src.train in this process."""

    def run(*line: str) -> None:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["train.py", *line])
        train.main()

    return run


def test_a_user_defined_configuration_does_not_change(command, run, small, tmp_path, monkeypatch):
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "mine.yaml").write_text(MINE)
    command("--config-dir", "my", "--config-name", "mine", *small)
    (folder,) = tmp_path.glob("outputs/runs/*")
    shutil.rmtree("my")
    before = yaml.safe_load((folder / "config.yaml").read_text())
    command(f"ckpt_path={folder.relative_to(tmp_path)}/checkpoints/last.ckpt", "trainer.max_epochs=3", "data.lr=0.001")
    after = yaml.safe_load((folder / "config.yaml").read_text())
    assert (after["beta"], after["objective"]["beta"], after["objective"]["samples"]) == (2, 2, 3)
    assert (after["optimizer"]["lr"], after["trainer"]["max_epochs"]) == (0.001, 3)
    differ = {name for name in before if before[name] != after[name]}
    assert differ == {"ckpt_path", "data", "optimizer", "trainer"}
    assert [float(row["beta"]) for row in rows(folder)] == [2] * 4
    told = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text())
    assert told == status.read(folder)["overrides"]
    assert {"latent_dim=3", "trainer.max_epochs=3", "data.lr=0.001"} <= set(told)
    assert OmegaConf.load(folder / ".hydra" / "config.yaml").beta == 2


def test_an_option_that_only_the_run_has(command, run, small, tmp_path):
    """Hydra composes against the default configuration, which lacks data.path and sigma."""
    folder = run("likelihood=gaussian", "likelihood.sigma=0.5")
    last = folder / "checkpoints" / "last.ckpt"
    path = next(word.partition("=")[2] for word in small if word.startswith("data.path="))
    copy = shutil.copy(path, tmp_path / "copy.npz")
    command(f"ckpt_path={last}", "trainer.max_epochs=3", f"data.path={copy}", "likelihood.sigma=0.4")
    after = yaml.safe_load((folder / "config.yaml").read_text())
    assert (after["data"]["source"]["path"], after["likelihood"]["sigma"]) == (str(copy), 0.4)


def test_the_working_directory_of_hydra(command, small, tmp_path, monkeypatch):
    relative = os.path.relpath(next(word.partition("=")[2] for word in small if word.startswith("data.path=")))
    options = [word for word in small if not word.startswith(("data.path", "logger"))]
    options = [*options, f"data.path={relative}", "hydra.job.chdir=true", "trainer.max_epochs=1"]
    command(*options)
    (folder,) = tmp_path.glob("outputs/runs/*")
    assert len(list(tmp_path.glob("outputs/wandb/offline-run-*"))) == 1
    last = os.path.relpath(folder / "checkpoints" / "last.ckpt")
    command(f"ckpt_path={last}", "trainer.max_epochs=2", "hydra.job.chdir=true", "logger=csv")
    assert [float(row["epoch"]) for row in rows(folder)] == [0, 1, 2]
    command("-m", *options, "sweep_name=a", "logger=csv")
    assert len(list(tmp_path.glob("outputs/sweeps/a/0/metrics.json"))) == 1


def test_a_folder_with_odd_characters(command, small, tmp_path):
    folder = tmp_path / "a b=c,d"
    command(*small, "trainer.max_epochs=1", f"hydra.run.dir='{folder}'")
    again = format_option("ckpt_path", f"{folder}/checkpoints/last.ckpt")
    command(*shlex.split(again), "trainer.max_epochs=2")
    assert [float(row["epoch"]) for row in rows(folder)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["hydra.run.dir=my/bare.yaml"], "hydra.run.dir=my/bare.yaml can't be written: my/bare.yaml is no folder"),
        (["hydra.run.dir=my/bare.yaml/a"], "my/bare.yaml is no folder"),
        (["hydra.run.dir=finished"], "hydra.run.dir=finished holds a run already: give another folder, or go on"),
        (["ckpt_path=finished/checkpoints/last.ckpt", "hydra.run.dir=b"], "a run goes on in its own folder"),
        (["ckpt_path=finished/checkpoints/last.ckpt", "sweep_name=a"], "sweep_name names a sweep"),
        (["ckpt_path=finished/checkpoints/last.ckpt", "sweep=seeds"], "ckpt_path resumes one run"),
        (["-m", "beta=1,2", "hydra.sweep.subdir=${hydra.job.override_dirname}"], "hydra.sweep.subdir: a job is found"),
        (["-m", "objective=null,elbo"], "objective=null,elbo: there is no such choice; objective has beta_tc"),
        (
            ["--config-dir=my", "--config-name=bare", "beta=1"],
            "--config-name=bare is not for this command, since it lacks ",
        ),
    ],
)
def test_what_hydra_allows_and_a_run_does_not(command, finished, tmp_path, capsys, line, message):
    (tmp_path / "finished").symlink_to(finished)
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "bare.yaml").write_text("beta: 2\n")
    before = {file: file.read_bytes() for file in finished.rglob("*") if file.is_file()}
    with pytest.raises(SystemExit) as stop:
        command(*line)
    said = capsys.readouterr().err if not isinstance(stop.value.code, str) else stop.value.code
    assert message in said
    assert "Traceback" not in said
    assert {file: file.read_bytes() for file in finished.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("word", ["logger=null", "callbacks=null", "logger={}"])
def test_null_of_a_group_is_none(command, small, tmp_path, word):
    name = word.partition("=")[0]
    command(*(each for each in small if not each.startswith(f"{name}=")), word, "trainer.max_epochs=1")
    (folder,) = tmp_path.glob("outputs/runs/*")
    assert not yaml.safe_load((folder / "config.yaml").read_text())[name]
    assert (folder / "metrics.json").is_file()
    assert not (folder / "figures").exists()


def test_the_log_keeps_another_name(command, small, tmp_path):
    command("-m", *small, "trainer.max_epochs=1", "sweep_name=a", "hydra.job.name=other")
    assert "nats per image" in (tmp_path / "outputs/sweeps/a/0/other.log").read_text()
