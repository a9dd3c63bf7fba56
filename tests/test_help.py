"""What --help answers about a command, a group of options and a task."""

import sys
from pathlib import Path

import pytest
import yaml

from src import apply, search, train
from src.config.choices import CONF, GROUPS, choices, options

SHIPPED = [f"{group}={name}" for group in GROUPS for name in choices(group)]
COMMANDS = {"train": train, "apply": apply, "search": search}


@pytest.fixture
def answer(monkeypatch, capsys):
    """answer("train", "prior", "--help"): what a command prints."""

    def ask(command: str, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", [command, *words])
        COMMANDS[command].main()
        return capsys.readouterr().out

    return ask


def test_every_folder_of_conf_is_a_group_with_a_line():
    folders = {path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"}
    assert folders | {"hydra/launcher"} == set(GROUPS)


@pytest.mark.parametrize("choice", SHIPPED)
def test_every_choice_has_a_line(choice):
    group, _, name = choice.partition("=")
    assert len(choices(group)[name]) > 5


@pytest.mark.parametrize("command", ["train", "search"])
def test_the_help_of_a_command_has_every_group_or_says_where(answer, command):
    said = answer(command, "--help")
    assert answer(command, "-h") == said
    if command == "train":
        assert "latent_dim=16" in said
        for group in set(GROUPS) - {"task"}:
            assert f"\n  {group} " in said, group
        assert "vamp" in said
        assert "python -m src.train GROUP --help" in said


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "task"])
def test_the_help_of_a_group_says_what_each_choice_is(answer, monkeypatch, group):
    monkeypatch.setenv("COLUMNS", "400")
    said = answer("train", group, "--help")
    assert answer("train", "--help", group) == answer("train", f"{group}=any", "beta=4", "-h") == said
    assert said.startswith(f"{group}: {GROUPS[group]}\n")
    for name, line in choices(group).items():
        assert f"  {group}={name} " in said
        assert " ".join(line.split())[:60] in said


def test_the_default_and_the_options_of_a_choice_are_named(answer, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = answer("train", "schedule", "--help")
    assert "Constant at beta. This is the default." in said
    assert "    schedule.cycles=4               (a whole number, 1 or more)\n" in said
    assert "    schedule.unit=epochs            epochs | steps\n" in said
    assert "    model.encoder.channels=[16, 32] " in answer("train", "model", "--help")
    assert "trainer.patience=null" in answer("train", "trainer", "--help")


@pytest.mark.parametrize("task", choices("task"))
def test_the_help_of_a_task_has_its_options_with_their_defaults(answer, monkeypatch, task):
    monkeypatch.setenv("COLUMNS", "400")
    said = answer("apply", task, "--help")
    assert said == answer("apply", "--help", "run=somewhere", f"task={task}")
    assert f"python -m src.apply run=RUN_FOLDER task={task}" in said
    values = yaml.safe_load(Path(CONF, "task", f"{task}.yaml").read_text())
    assert {each.name for each in options("task", task)} == {f"task.{name}" for name in values if name != "_target_"}
    for option in options("task", task):
        assert yaml.safe_load(option.default) == values[option.name.partition(".")[2]]
        assert f"{option.name}={option.default}" in said


def test_the_help_of_tasks_names_each(answer):
    said = answer("apply", "--help")
    for task in choices("task"):
        assert f"\n  {task} " in said


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_text_fits_the_terminal(answer, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    questions = [["train", "trainer", "--help"], ["apply", "compare", "--help"]]
    questions += [[command, "--help"] for command in COMMANDS] if columns >= 80 else []
    for words in questions:
        assert not [line for line in answer(*words).splitlines() if len(line) > columns]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "priors", "--help"], "there is no group priors; did you mean prior?"),
        (["train", "--help", "task"], "there is no group task; "),
        (["apply", "sampel", "--help"], "there is no task sampel; did you mean sample?"),
    ],
)
def test_help_about_what_does_not_exist_is_one_line(answer, words, message):
    with pytest.raises(SystemExit) as stop:
        answer(*words)
    assert message in str(stop.value.code)
