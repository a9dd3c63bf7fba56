"""Common parts of the commands: arguments that Hydra's grammar lacks, and errors in one line."""

import difflib
import itertools
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from src.config.choices import has_ending
from src.config.overrides import NONE, format_option
from src.config.schema import suggestion
from src.config.synonyms import CHOICES, meanings, synonym
from src.support.errors import UserError, describe_os_error, printable
from src.support.world import refusal

WITH_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--cfg", "-c", "--package", "-p")
SEVERAL = ("experiment", "callbacks", "logger")  # groups that can be composed of several choices
NOT_CONVERTED = re.compile(r"Value '(.*)' of type '.*' could not be converted to (Integer|Float)")
NUMBERS = {"Integer": "a whole number", "Float": "a number"}
APPLY = "python -m src.apply run=outputs/runs/RUN task="
PATHS = ("path", "input", "root", "run", "other")  # last names of options whose values are paths
FULL_ERROR = "HYDRA_FULL_ERROR"  # the environment variable that makes Hydra show tracebacks


@contextmanager
def errors_in_one_line(groups: Path, command: str = "train") -> Iterator[None]:
    """End the program with one line for an error that its user can correct; with a traceback if HYDRA_FULL_ERROR is 1.

    Args:
        groups: the folder of configurations, whose subfolders are groups of options
        command: which of the commands runs
    """
    if os.environ.get(FULL_ERROR) == "1":
        yield
        return
    os.environ[FULL_ERROR] = "1"  # otherwise Hydra prints the error itself, between two lines of its own
    try:
        yield
        return
    except (HydraException, OmegaConfBaseException) as error:
        line = in_one_line(error, groups, command)
    except BrokenPipeError:  # nobody reads the console any more, see src/support/signals.py
        raise
    except OSError as error:
        line = describe_os_error(error)
    except Exception as error:  # Hydra checks few of its own options
        if not is_from_hydra(error):
            raise
        line = f"Hydra can't use one of these options: {error.__cause__ or str(error) or describe_place(error)}"
    finally:
        os.environ.pop(FULL_ERROR, None)
    sys.exit(refusal(printable(line)))


def is_from_hydra(error: Exception) -> bool:
    """Whether Hydra's own code, or a library that it calls, raised an error, as for flags that exclude each other."""
    modules = [
        frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    return [name for name in modules if name in ("hydra", "src", "callbacks", "__main__")][-1:] == ["hydra"]


def describe_place(error: Exception) -> str:
    """The line of code that raised an error without a message."""
    return traceback.extract_tb(error.__traceback__)[-1].line or type(error).__name__


def in_one_line(error: Exception, groups: Path, command: str = "train") -> str:
    """The message for an error of Hydra or OmegaConf: one line with the option and its possible values.

    The arguments are those of `errors_in_one_line`.
    """
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return unknown_choice(error, groups)
    text, cause = str(error), error.__cause__
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} is not an option: {override_suggestion(str(error.override), groups, command)}"
    if text.startswith("Could not override '"):
        return unknown_option(text.split("'")[1], cause, groups)
    if text.startswith("Ambiguous value for argument '"):
        override = text.split("'")[1]
        option, _, values = override.partition("=")
        a_list = "" if (groups / option).is_dir() else f"; a list is {option}=[{values}]"
        if option.rpartition(".")[2] in PATHS:
            a_list = f"; for a comma in a name: \"{option}='{values}'\""
        return f"{override} has several values: -m tries each of them{a_list}"
    if text.startswith("You must specify '"):
        group = text.split("'")[1]
        names = ", ".join(sorted(path.stem for path in (groups / group).glob("*.yaml")))
        return f"{group} must be given: {group}=NAME, one of {names}"
    if text.startswith("BasicSweeper does not support"):
        return "a sweep (-m) tries values: option=a,b or option=range(2,8); python -m src.search searches a space"
    lines = text.removeprefix("Error merging override ").splitlines() or [type(error).__name__]
    if wrong := NOT_CONVERTED.search(str(cause)):
        return f"{lines[0].lstrip('+').partition('=')[0]} must be {NUMBERS[wrong[2]]}, got {wrong[1]}"
    if isinstance(cause, OmegaConfBaseException):
        return f"{lines[0]}: {str(cause).splitlines()[0]}"
    return " ".join(line.strip() for line in lines if line.strip())


def override_suggestion(word: str, groups: Path, command: str) -> str:
    """The end of a message about a word without `=`: the groups that have a choice of that name, if there are any."""
    if command != "apply" and (groups / "task" / f"{word}.yaml").is_file():
        return f"a task is done on a trained run: {APPLY}{word}"
    found = sorted(file.parent.name for file in groups.glob(f"*/{re.sub(r'[^-.a-zA-Z0-9_]', '', word)}.yaml"))
    if found:
        return f"did you mean {' or '.join(f'{group}={word}' for group in found)}?"
    if command == "apply" and Path(word).is_dir():
        return f"did you mean {format_option('run', word)}?"
    return "give option=value, without a blank beside the ="


def unknown_choice(error: MissingConfigException, groups: Path) -> str:
    """The message for a choice that its group does not have."""
    file = error.missing_cfg_file or ""
    group, _, name = file.partition("/") if file.startswith("data/") else file.rpartition("/")
    if not group:
        return str(error).partition("\n")[0]  # a list of folders follows
    return f"{group}={name}: there is no such choice; {choice_suggestion(group, name, groups)}"


def choice_suggestion(group: str, name: str, groups: Path) -> str:
    """The end of a message: the choice of a group that a name resembles, otherwise all its choices."""
    if meant := CHOICES.get(group, {}).get(name.lower()):
        return f"did you mean {meant}?"
    choices = sorted(path.stem for path in (groups / group).glob("*.yaml"))
    if group == "data" and (re.fullmatch(r".+\.\w+", name) or Path(name).expanduser().exists()):
        return f"did you mean data=images {format_option('data.path', name)}?"
    if name.lower() in choices:
        return f"did you mean {group}={name.lower()}?"
    near = difflib.get_close_matches(name, choices, 1)
    return f"did you mean {group}={near[0]}?" if near else f"{group} has {', '.join(choices)}"


def unknown_option(option: str, cause: BaseException | None, groups: Path) -> str:
    """The message for an option that does not exist.

    cause: OmegaConf's error, with the node in which a key was not found
    """
    if option == "task":
        return f"a task is done on a trained run: {APPLY}TASK"
    names = [folder.name for folder in groups.iterdir() if folder.is_dir() and folder.name != option]
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        parts = option.split(".")
        option = ".".join(parts[: parts.index(str(cause.key)) + 1]) if str(cause.key) in parts else option
        names = [*map(str, cause.parent_node), *([] if "." in option else names)]
        if meant := elsewhere(option, cause.parent_node, names):
            return f"there is no option {option}; did you mean {' or '.join(meant)}?"
    return f"there is no option {option}; {suggestion(option, names)}"


def elsewhere(option: str, node: Any, names: Sequence[str]) -> list[str]:
    """The options that may be meant by one that does not exist: by another project's name, or in another place.

    node, names: where it was looked for, and the names there
    """
    group, _, name = option.rpartition(".")
    root = node._get_root()  # noqa: SLF001 - OmegaConf has no other way up
    if group and difflib.get_close_matches(name, names, 1):
        return []
    if meant := synonym(name, root):
        return [meant]
    return [name] if group and name in root else names_within_groups(name, OmegaConf.to_container(root))


def names_within_groups(name: str, root: Any) -> list[str]:
    """The full names of the options in groups whose last part is a name, otherwise, if none at the root is similar to
    it, the most similar to it.

    """
    groups = {group: node for group, node in root.items() if group != "hydra" and isinstance(node, Mapping)}
    values = dict(leaves(groups))
    options = [each for each in values if not has_ending(each) and not gives_way(each, values)]
    last = {option: option.rpartition(".")[2] for option in options}
    if name not in last.values() and difflib.get_close_matches(name, root, 1):
        return []
    near = difflib.get_close_matches(name, set(last.values()) - set(root), 1, 0.7)
    return [option for option in options if last[option] in near]


def gives_way(option: str, values: Mapping[str, Any]) -> bool:
    """Whether another option is rather meant: the one that gets this one's value (optimizer.lr, not data.lr), or within
    a group the one that this one gets its value from (model.encoder.activation, not model.decoder.activation)."""
    group, source = option.partition(".")[0], re.fullmatch(r"\$\{([\w.]+)\}", str(values[option]))
    takers = [name for name, value in values.items() if value == f"${{{option}}}"]
    passes_on = any(name.partition(".")[0] != group for name in takers)
    return passes_on or (source is not None and source[1].startswith(f"{group}."))


def leaves(node: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Each option below a node that is no node itself: its full name and its value."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


def check_flags(arguments: Sequence[str], command: str) -> None:
    """Raise UserError for an option of a command that is written like a flag, as --latent_dim=2 or --latent_dim 2."""
    flags = re.findall(r"--[\w-]+", get_args_parser().format_usage())
    for argument, following in itertools.pairwise([*arguments, ""]):
        flag, equals, value = argument.partition("=")
        if flag.startswith("--") and not any(each.startswith(flag) for each in flags):
            value = value if equals or following.startswith("-") or "=" in following else following
            name = flag[2:].replace("-", "_")
            meant = next(iter(meanings(name)), name) if command != "apply" else name
            raise UserError(f"options have no dashes: {meant}={value or 'VALUE'}")


def prepare_arguments(arguments: list[str], groups: Path, command: str = "train") -> list[str]:
    """Rewrite command-line arguments as Hydra accepts them: flags first, and values that its grammar lacks
    (`café.png`, `a=b`, `f(1).npz`) quoted, in a sweep each of the values between commas.

    Raises UserError for a group without a choice (`prior=null`, `prior=3`), and for an option with dashes.
    """
    check_flags(arguments, command)
    parser, is_sweep = OverridesParser.create(), bool({"-m", "--multirun"} & set(arguments))
    prepared = [
        argument if is_valid(argument, parser) else quote_values(argument, parser, is_sweep)
        for argument in flags_first(arguments)
    ]
    for argument in prepared:
        check_choice(argument, parser, groups)
    return prepared


def check_choice(argument: str, parser: OverridesParser, groups: Path) -> None:
    """Raise UserError for an override that chooses from a group by something that is not a name, which Hydra would
    answer with an exception of Python."""
    group, _, text = argument.lstrip("+").partition("=")
    if not group or argument.startswith("-") or not (groups / group).is_dir() or not is_valid(argument, parser):
        return
    (override,) = parser.parse_overrides([argument])
    if override.is_delete() or (group in NONE and text.lower() in ("null", "{}")):
        return
    value = override.value()
    choices = value.list if isinstance(value, ChoiceSweep) else [] if isinstance(value, Glob) else [value]
    is_nothing = text.lower() in ("none", "") and not (groups / group / f"{text}.yaml").is_file()
    if (is_nothing and group not in NONE) or not all(is_name(each, group) for each in choices):
        raise UserError(f"{argument}: there is no such choice; {choice_suggestion(group, 'none', groups)}")


def is_name(choice: Any, group: str) -> bool:
    """Whether a value may be the name of a choice of a group, or a list of names where a group takes several."""
    names = choice if isinstance(choice, list) and group in SEVERAL else [choice]
    return all(isinstance(each, str | QuotedString) and bool(getattr(each, "text", each).strip()) for each in names)


def flags_first(arguments: list[str]) -> list[str]:
    """The arguments with flags and their values before the options, since Hydra accepts no flag between two options."""
    flags, options, rest = [], [], iter(arguments)
    for argument in rest:
        if not argument.startswith("-"):
            options.append(argument)
            continue
        flags.append(argument)
        if argument in WITH_VALUE and (value := next(rest, None)) is not None:
            flags.append(value)
    return [*flags, *options]


def is_valid(argument: str, parser: OverridesParser) -> bool:
    """Whether an argument is a flag, or an override in Hydra's grammar."""
    try:
        return argument.startswith("-") or bool(parser.parse_overrides([argument]))
    except HydraException:
        return False


def quote_values(argument: str, parser: OverridesParser, is_sweep: bool) -> str:
    """Quote the value of an override, in a sweep each of its values; an argument that stays invalid is not changed."""
    option, equals, value = argument.partition("=")
    values = value.split(",") if is_sweep else [value]
    attempt = f"{option}={','.join(map(in_quotes, values))}"
    return attempt if equals and is_valid(attempt, parser) else argument


def in_quotes(value: str) -> str:
    """A value in single quotes. Backslashes are doubled only before a quote, where Hydra reads them as escapes."""
    return "'" + re.sub(r"(\\*)(?='|$)", r"\1\1", value).replace("'", "\\'") + "'"
