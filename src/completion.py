"""Tab completion of the commands: a script for each shell, and the answers that it asks for at each press of the key.

eval "$(python -m src.train --completion bash)"
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from src.config.choices import GROUPS, choices, default_choices, options, root_options
from src.config.shells import SCRIPTS
from src.support.folders import RunFolder

# A run's folder, or a name in outputs/, completes these options; other paths are left to the shell.
RUNS = ("run", "task.other")
LISTED = {"direction": ["maximize", "minimize"], "pruner": ["median", "hyperband", "none"], "resume": ["auto"]}
LISTED |= {"checkpoint": ["best", "last"], "device": ["auto", "cpu", "cuda"]}
SEARCH = ("name", "trials", "metric", "direction", "pruner", "startup", "warmup")
FLAGS = {"train": ["--help", "--multirun", "--cfg", "--completion"], "apply": ["--help", "--multirun", "--cfg"]}
FLAGS |= {"search": ["--help"]}
SPECIAL = " '\"\\$`&;|<>()"  # what the shell would not take as it is, as a folder's name may hold


def completion_script(arguments: Sequence[str]) -> str | None:
    """The script of the completion, where the arguments of a command ask for it; None where they do not.

    Raises UserError for a shell that has none.
    """
    if "--completion" not in arguments:
        return None
    shell = arguments[1] if len(arguments) == 2 else ""
    if arguments[0] == "--completion" and shell in SCRIPTS:
        return SCRIPTS[shell]
    from src.support.errors import UserError  # imports Hydra, for which no press of the key should wait

    raise UserError(f"there is completion for {', '.join(SCRIPTS)}: python -m src.train --completion SHELL")


def candidates(command: str, words: Sequence[str], word: str) -> list[str]:
    """What a word of a command line may become, given the words before it."""
    if word.startswith("-"):
        return [flag for flag in FLAGS[command] if flag.startswith(word)]
    option, equals, value = word.partition("=")
    if not equals:
        found = sorted({name for name in names(command, words, word) if name.startswith(word)})
        return found or [f"task={name}" for name in tasks(command) if name.startswith(word)]
    before, comma, last = value.rpartition(",")  # a sweep tries several values
    return [f"{option}={before}{comma}{each}" for each in values(command, words, option) if each.startswith(last)]


def names(command: str, words: Sequence[str], word: str) -> Iterator[str]:
    """The names of options, each with `=`; those within a group only once its name and a dot are typed."""
    groups = current_choices(command, words)
    if "." in word:
        group = word.partition(".")[0]
        nodes = root_options("apply")["data"] if (command, group) == ("apply", "data") else {}
        yield from (f"data.{name}=" for name in nodes)
        if choice := groups.get(group):
            yield from (f"{each.name}=" for each in options(group, choice))
        return
    for group in groups:
        yield f"{group}="
        if groups[group] and any(True for _ in options(group, str(groups[group]))):
            yield f"{group}."
    yield from (f"{name}=" if name != "data" else "data." for name in root_options(source(command)))
    if command == "search":
        yield from (f"{name}=" for name in SEARCH)
    elif command == "train":
        yield "hydra/launcher="


def tasks(command: str) -> Iterable[str]:
    """The tasks that a command does, whose names may be typed without `task=`."""
    return choices("task") if command == "apply" else ()


def values(command: str, words: Sequence[str], option: str) -> Iterable[str]:
    """The values of an option, where they are known."""
    if option in GROUPS:
        return choices(option)
    if option in RUNS:
        return run_folders()
    if option == "ckpt_path":
        return [str(RunFolder(Path(folder)).checkpoint("last")) for folder in run_folders()]
    if option in ("run_name", "sweep_name", "name"):
        return folder_names(Path("outputs", "runs" if option == "run_name" else "sweeps")) if command != "apply" else []
    if option in LISTED:
        return LISTED[option]
    group = option.partition(".")[0]
    choice = current_choices(command, words).get(group)
    found = [each for each in options(group, choice) if each.name == option] if choice else []
    return alternatives(found[0].comment, found[0].default) if found else []


def alternatives(comment: str, default: str) -> list[str]:
    """The values that a comment lists as `one | two | three`, before any other text; of a truth value both."""
    if default in ("true", "false"):
        return ["true", "false"]
    parts = [part.split() for part in comment.partition(":")[0].split(" | ")]
    return [part[0] for part in parts] if len(parts) > 1 and all(len(part) == 1 for part in parts) else []


def current_choices(command: str, words: Sequence[str]) -> dict[str, str | None]:
    """The choice of each group of a command, by its defaults and the words before."""
    groups = default_choices(source(command))
    groups = {name: choice for name, choice in groups.items() if name in GROUPS}
    for word in words:
        group, _, choice = word.partition("=")
        if group in groups and choice in choices(group):
            groups[group] = choice
    return groups


def source(command: str) -> str:
    """The command whose file in conf/ has the options: a search trains, too."""
    return "train" if command == "search" else command


def run_folders() -> list[str]:
    """The folders in outputs/ of runs that have a checkpoint, the newest first."""
    folders = [*Path("outputs/runs").glob("*"), *Path("outputs/sweeps").glob("*/*")]
    found = [folder for folder in folders if RunFolder(folder).checkpoints.is_dir()]
    return [str(folder) for folder in sorted(found, key=lambda folder: -RunFolder(folder).checkpoints.stat().st_mtime)]


def folder_names(folder: Path) -> list[str]:
    """The names of the folders in a folder."""
    return [path.name for path in sorted(folder.glob("*")) if path.is_dir()]


def main() -> None:
    """Print what the last word of a command line may become: `python -m src.completion train "beta=4 prior=v"`."""
    command, line = sys.argv[1:3]
    words = line.split()
    word = "" if not words or line[-1].isspace() else words.pop()
    for each in candidates(command, words, word):
        if not set(each) & set(SPECIAL):
            print(each)


if __name__ == "__main__":
    main()
