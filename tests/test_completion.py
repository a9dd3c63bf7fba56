"""Tab completion: what may follow on a command line, by itself and as bash shows it."""

import os
import subprocess
import sys

import pytest

from src import completion, train
from src.config.choices import GROUPS, choices, root_options
from tests.helpers.processes import run_code
from tests.helpers.project import ROOT

RUNS = ("outputs/runs/first", "outputs/runs/with space", "outputs/sweeps/grid/0")


@pytest.fixture(autouse=True)
def runs(tmp_path) -> None:
    """Folders of runs and of a sweep."""
    for name in RUNS:
        (tmp_path / name / "checkpoints").mkdir(parents=True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("train pri", ["prior="]),
        ("train prior=", ["prior=flow", "prior=mixture", "prior=standard", "prior=vamp"]),
        ("train prior=v", ["prior=vamp"]),
        ("train prior=vamp pri", ["prior.", "prior="]),
        ("train prior=vamp prior.", ["prior.components="]),
        ("train schedule=linear schedule.unit=", ["schedule.unit=epochs", "schedule.unit=steps"]),
        ("train model.encoder.res", ["model.encoder.residual="]),
        ("train model.encoder.residual=", ["model.encoder.residual=true", "model.encoder.residual=false"]),
        ("train trainer.p", ["trainer.patience=", "trainer.precision="]),
        ("train -m model=mlp,c", ["model=mlp,conv"]),
        ("train lat", ["latent_dim="]),
        ("train resume=", ["resume=auto"]),
        ("train run_name=f", ["run_name=first"]),
        ("train ckpt_path=outputs/s", ["ckpt_path=outputs/sweeps/grid/0/checkpoints/last.ckpt"]),
        ("train hydra/l", ["hydra/launcher="]),
        ("train --c", ["--cfg", "--completion"]),
        ("train nothing", []),
        ("train data.path=", []),
        ("apply run=outputs/runs/f", ["run=outputs/runs/first"]),
        ("apply run=x task=ev", ["task=evaluate"]),
        ("apply run=x inter", ["task=interpolate"]),  # the name of a task alone
        ("apply run", ["run="]),
        ("train inter", []),
        ("apply task=evaluate task.spl", ["task.split="]),
        ("apply task=evaluate task.split=", ["task.split=test", "task.split=val"]),
        ("apply task=compare task.other=outputs/sw", ["task.other=outputs/sweeps/grid/0"]),
        ("apply device=c", ["device=cpu", "device=cuda"]),
        ("apply data.", ["data.path=", "data.root="]),
        ("search name=", ["name=grid"]),
        ("search prun", ["pruner="]),
        ("search pri", ["prior="]),
    ],
)
def test_candidates(line, expected):
    command, *words, word = line.split(" ")
    assert completion.candidates(command, words, word) == expected


def test_all_groups_and_options_are_offered():
    offered = completion.candidates("train", [], "")
    assert {f"{group}=" for group in GROUPS if group != "task"} <= set(offered)
    assert {f"{name}=" for name in root_options("train")} <= set(offered)
    assert completion.candidates("apply", [], "task=") == [f"task={name}" for name in choices("task")]


COMPLETE = """
set -u
_vae_lab_before=""
complete -F _python_before python
_python_before() { COMPREPLY=("before"); }
compopt() { local IFS=' '; echo "$*"; }
eval "$("$PYTHON" -m src.train --completion bash)"
python() { "$PYTHON" "$@"; }
ask() {
    COMP_LINE="$1" COMP_POINT=${#1} COMPREPLY=()
    COMP_WORDS=("$PYTHON")
    _vae_lab python
    echo "$1 -> ${COMPREPLY[*]}"
}
ask "python -m src.train pri"
ask "python -m src.train prior=v"
ask "python -m src.apply run=outputs/runs/"
ask "python -m src.apply run=outputs/runs/first task=trav"
ask "python script"
ask "python -m src.train latent_dim="
ask "python -m src.train data.path="
ask "python -m src.apply run=x task=anomaly task.input=my"
"""


def test_bash_completes_a_command_line(tmp_path):
    env = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", COMPLETE], capture_output=True, text=True, cwd=tmp_path, env=env, timeout=120)
    assert done.stdout.splitlines() == [
        "-o nospace",
        "python -m src.train pri -> prior=",
        "python -m src.train prior=v -> vamp",  # what follows the =, at which bash divides words
        "python -m src.apply run=outputs/runs/ -> outputs/runs/first",  # a space would divide the other one's name
        "python -m src.apply run=outputs/runs/first task=trav -> traverse",
        "python script -> before",
        "+o default +o bashdefault",  # a number has no values to offer, least of all files
        "python -m src.train latent_dim= -> ",
        "python -m src.train data.path= -> ",  # files
        "python -m src.apply run=x task=anomaly task.input=my -> ",
    ], done.stderr


def test_a_press_of_the_key_imports_little(tmp_path):
    loaded = run_code("import json, sys, src.completion\nprint(json.dumps(list(sys.modules)))", tmp_path)
    assert not {name.partition(".")[0] for name in loaded} & {"hydra", "omegaconf", "pydantic", "torch", "numpy"}


def test_another_shell_is_told_what_there_is(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train", "--completion", "zsh"])
    with pytest.raises(SystemExit) as stop:
        train.main()
    assert "bash alone" in stop.value.code


def test_folders_are_those_of_the_working_directory():
    assert set(completion.run_folders()) == set(RUNS)
