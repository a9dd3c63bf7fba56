"""The answers to --help: those of a command from conf/hydra/help/, those of a group or a task from its files."""

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from src.config.choices import CONF, GROUPS, choices, default_choices, options, read_options
from src.config.schema import STATED, suggestion
from src.config.signatures import signature
from src.support.errors import UserError
from src.support.ranges import describe_type

FLAGS = {"-h", "--help"}


def help_answer(command: str, arguments: Sequence[str]) -> str | None:
    """What the arguments of a command ask for help about; None where they do not ask for it.

    With the name of a group, or one of its choices, the help is about that group: `prior --help`, `prior=vamp --help`,
    `task=sample --help`. Raises UserError where there is no such group.
    """
    if not FLAGS & set(arguments):
        return None
    words = [word for word in arguments if not word.startswith("-")]
    topic = next((word for word in words if is_topic(command, word)), None)
    return topic_text(command, topic) if topic else help_text(command)


def is_topic(command: str, word: str) -> bool:
    """Whether a word of a command line that asks for help is what the help should be about."""
    name, equals, _ = word.partition("=")
    return not equals or name == "task" or (command != "apply" and name in GROUPS)


def topic_text(command: str, topic: str) -> str:
    """The help about a group, or about a task. Raises UserError where there is neither of that name."""
    group, _, choice = topic.partition("=")
    if command == "apply":
        task = choice or group
        if task not in (tasks := choices("task")):
            raise UserError(f"there is no task {task}; {suggestion(task, tasks)}")
        return "\n".join(task_lines(task, tasks[task]))
    if group not in GROUPS or group == "task":
        raise UserError(f"there is no group {group}; {suggestion(group, GROUPS)}")
    return "\n".join(group_lines(group))


def group_lines(group: str) -> Iterator[str]:
    """The choices of a group, each with what it is and with its options."""
    default = default_choices("train").get(group)
    yield f"{group}: {GROUPS[group]}"
    for name, line in choices(group).items():
        line += " This is the default." if name == default else ""
        yield ""
        yield from columns([(f"{group}={name}", line)], 2, 32)
        if group not in ("experiment", "sweep", "hydra/launcher"):
            yield from option_lines(group, name)


def task_lines(task: str, line: str) -> Iterator[str]:
    """What a task does, and its options."""
    yield from textwrap.wrap(f"{task}: {line}", width())
    yield ""
    yield f"  python -m src.apply run=RUN_FOLDER task={task} [...]"
    yield ""
    if lines := list(option_lines("task", task)):
        yield "Its options, with their defaults:"
        yield from lines
    else:
        yield "It has no options of its own."


def option_lines(group: str, choice: str) -> Iterator[str]:
    """The options of a choice: name and default, what the value may be, and what it is for."""
    types = option_types(group, choice)
    rows = []
    for option in options(group, choice):
        kind = describe_type(types[option.name]) if types.get(option.name, Any) is not Any else ""
        says_all = option.comment.startswith(kind) or " | " in option.comment
        texts = [option.comment, "" if says_all else f"({kind})"]
        rows.append((f"{option.name}={option.default}", " ".join(filter(None, texts))))
    yield from columns(rows, 4, 32)


def option_types(group: str, choice: str) -> dict[str, Any]:
    """The annotation of each option of a choice, as far as it has one."""
    values = read_options(CONF / group / f"{choice}.yaml", group)
    targets = {each.name.rpartition(".")[0]: each.default for each in values if each.name.endswith("._target_")}
    kinds: dict[str, Any] = {}
    for node, target in targets.items():
        found = signature(target)
        kinds |= {f"{node}.{name}": kind for name, kind in (found.options if found else {}).items()}
    stated = getattr(STATED.get(group), "__annotations__", {})
    return kinds | {f"{group}.{name}": kind for name, kind in stated.items()}


def help_text(command: str) -> str:
    """The text of conf/hydra/help/ for a command, with each group and its choices, or for `apply` with each task.

    Hydra's own --help answers a second later: for each group it copies all the configurations that it knows.
    """
    text = OmegaConf.load(Path(CONF, "hydra", "help", f"{command}.yaml"))
    template = OmegaConf.create({"hydra": {"help": text}}).hydra.help.template
    rows = choices("task") if command == "apply" else group_rows()
    return template.replace("$APP_CONFIG_GROUPS", "\n".join([*columns(list(rows.items()), 2, 19), ""])).rstrip()


def group_rows() -> Mapping[str, str]:
    """What each group is, and the names of its choices."""
    return {name: f"{line}: {', '.join(choices(name))}" for name, line in GROUPS.items() if name != "task"}


def columns(rows: Sequence[tuple[str, str]], indent: int, first: int) -> Iterator[str]:
    """Lines of two columns, of which the second is wrapped."""
    for name, text in rows:
        lines = textwrap.wrap(text, max(20, width() - indent - first))
        is_long = len(name) >= first
        if is_long:
            yield " " * indent + name
        for i, line in enumerate(lines or [""]):
            label = name if i == 0 and not is_long else ""
            if label or line:
                yield f"{' ' * indent}{label.ljust(first)}{line}".rstrip()


def width() -> int:
    """The width of the text: that of the terminal, from 60 to 110 columns."""
    return min(110, max(60, shutil.get_terminal_size().columns - 1))
