"""Tab completion: what may follow on a command line, by itself and as shells show it."""

import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

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


# Control-X writes the command line to a file, and empties it.
WATCH = """
autoload -Uz compinit; compinit -u -d dump
eval "$($PYTHON -m src.train --completion zsh)"
show() { print -r -- "$BUFFER|" >> lines; BUFFER=; }; zle -N show; bindkey '^X' show; print ready >> lines
"""
TYPED = {
    "python -m src.train pri": "python -m src.train prior=|",
    "python -m src.train beta=4 prior=v": "python -m src.train beta=4 prior=vamp |",
    "python -m src.apply run=outputs/runs/f": "python -m src.apply run=outputs/runs/first |",
    "python -m src.apply run=outputs/runs/first trav": "python -m src.apply run=outputs/runs/first task=traverse |",
    "python -m src.train latent_dim=": "python -m src.train latent_dim=|",
    "python -m src.train data.path=m": "python -m src.train data.path=my.npz |",
    "python -m src.train data.path=an\\ i": "python -m src.train data.path=an\\ image.npz |",
    "python my": "python my.npz |",
}


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_completes_a_command_line(tmp_path, monkeypatch):
    lines, path = tmp_path / "lines", f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for name in ("my.npz", "an image.npz", "lines"):
        (tmp_path / name).touch()
    (tmp_path / "watch").write_text(WATCH)
    for name, value in {"PATH": path, "PYTHONPATH": str(ROOT), "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHON", sys.executable)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp("zsh", ["zsh", "-f", "-i"])
    try:
        threading.Thread(target=drain, args=(terminal,), daemon=True).start()
        expected = ["ready"]
        os.write(terminal, b"source ./watch\r")
        wait_for(lines, expected)
        for typed, completed in TYPED.items():
            os.write(terminal, f"{typed}\t\x18".encode())
            expected.append(completed)
            wait_for(lines, expected)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    assert lines.read_text().splitlines() == expected


def drain(terminal: int) -> None:
    """Read what a shell draws, until it ends: it would wait for a reader."""
    with suppress(OSError):
        while os.read(terminal, 65536):
            pass


def wait_for(file: Path, lines: list[str]) -> None:
    """Wait until a file has as many lines as these, for at most a minute."""
    deadline = time.monotonic() + 60
    while len(file.read_text().splitlines()) < len(lines):
        assert time.monotonic() < deadline, file.read_text()
        time.sleep(0.02)


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes_a_command_line(tmp_path):
    (tmp_path / "my.npz").touch()
    typed = ["train prior=v", "apply run=x trav", "train latent_dim=", "train data.path=m"]
    asked = "\n".join(f"complete -C 'python -m src.{line}'; echo -" for line in typed)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": path}
    script = f"python -m src.train --completion fish | source\n{asked}"
    done = subprocess.run(["fish", "-c", script], capture_output=True, text=True, cwd=tmp_path, env=env, timeout=120)
    found = ["prior=vamp", "task=traverse", "", "data.path=my.npz"]
    assert [each.strip().partition("\n")[0] for each in done.stdout.split("-\n")[:-1]] == found, done.stderr


def test_a_press_of_the_key_imports_little(tmp_path):
    loaded = run_code("import json, sys, src.completion\nprint(json.dumps(list(sys.modules)))", tmp_path)
    assert not {name.partition(".")[0] for name in loaded} & {"hydra", "omegaconf", "pydantic", "torch", "numpy"}


def test_another_shell_is_told_what_there_is(monkeypatch):
    for words in (["csh"], [], ["bash", "beta=4"]):
        monkeypatch.setattr(sys, "argv", ["train", "--completion", *words])
        with pytest.raises(SystemExit) as stop:
            train.main()
        assert stop.value.code == "there is completion for bash, zsh, fish: python -m src.train --completion SHELL"


def test_folders_are_those_of_the_working_directory():
    assert set(completion.run_folders()) == set(RUNS)
