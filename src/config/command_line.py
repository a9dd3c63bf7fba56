"""What the commands have in common: values that Hydra's grammar lacks, and errors in one line."""

import difflib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from src.config.overrides import NONE
from src.config.schema import suggestion
from src.support.errors import UserError

WITH_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--cfg", "-c", "--package", "-p")
FULL_ERROR = "HYDRA_FULL_ERROR"  # the environment variable with which Hydra shows where an error arose


@contextmanager
def errors_in_one_line(groups: Path) -> Iterator[None]:
    """End the program with one line on an error that its user can correct, with a traceback if HYDRA_FULL_ERROR is 1.

    groups: the folder of configurations, whose subfolders are groups of options
    """
    if os.environ.get(FULL_ERROR) == "1":
        yield
        return
    os.environ[FULL_ERROR] = "1"  # Hydra would print the error itself, between two lines of its own
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(in_one_line(error, groups))
    except ValueError as error:
        if not is_hydras(error):
            raise
        sys.exit(str(error))
    finally:
        del os.environ[FULL_ERROR]


def is_hydras(error: Exception) -> bool:
    """Whether Hydra itself raised an error: it does so for flags that exclude each other."""
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    return trace.tb_frame.f_globals["__name__"].startswith("hydra.")


def in_one_line(error: Exception, groups: Path) -> str:
    """An error of Hydra's or OmegaConf's, in a line that names the option and what it may be."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return unknown_choice(error, groups)
    text, cause = str(error), error.__cause__
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} is not an option: give option=value"
    if text.startswith("Could not override '"):
        return unknown_option(text.split("'")[1], cause, groups)
    if text.startswith("Ambiguous value for argument '"):
        word = text.split("'")[1]
        option, _, values = word.partition("=")
        a_list = "" if (groups / option).is_dir() else f"; a list is {option}=[{values}]"
        return f"{word} has several values: -m tries each of them{a_list}"
    if text.startswith("BasicSweeper does not support"):
        return "a sweep (-m) tries values: option=a,b or option=range(2,8); python -m src.search searches a space"
    lines = text.removeprefix("Error merging override ").splitlines() or [type(error).__name__]
    if isinstance(cause, OmegaConfBaseException):
        return f"{lines[0]}: {str(cause).splitlines()[0]}"
    return " ".join(line.strip() for line in lines if line.strip())


def unknown_choice(error: MissingConfigException, groups: Path) -> str:
    """What to say of a file of a group that does not exist."""
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    if not group:
        return str(error).partition("\n")[0]  # a list of folders follows
    return f"{group}={name}: there is no such choice; {choice_suggestion(group, name, groups)}"


def choice_suggestion(group: str, name: str, groups: Path) -> str:
    """The choice of a group that a name was probably meant to be, else all choices."""
    choices = sorted(path.stem for path in (groups / group).glob("*.yaml"))
    near = difflib.get_close_matches(name, choices, 1)
    return f"did you mean {group}={near[0]}?" if near else f"{group} has {', '.join(choices)}"


def unknown_option(option: str, cause: BaseException | None, groups: Path) -> str:
    """What to say of an option that does not exist; `cause` knows the node in which a key was not found."""
    names = [folder.name for folder in groups.iterdir() if folder.is_dir() and folder.name != option]
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        parts = option.split(".")
        option = ".".join(parts[: parts.index(str(cause.key)) + 1]) if str(cause.key) in parts else option
        names = [*map(str, cause.parent_node), *([] if "." in option else names)]
    return f"there is no option {option}; {suggestion(option, names)}"


def readable(words: list[str], groups: Path) -> list[str]:
    """Command-line words as Hydra takes them: a value that its grammar lacks (`café.png`, `a=b`, `f(1).npz`) is quoted,
    in a sweep each of the values between commas. Raises UserError for a group that is to be nothing (`logger=null`)."""
    parser, is_sweep = OverridesParser.create(), bool({"-m", "--multirun"} & set(words))
    for word in words:
        group, _, value = word.partition("=")
        is_nothing = value.lower() in ("null", "none", "") and not (groups / group / f"{value}.yaml").is_file()
        if is_nothing and group and group not in NONE and (groups / group).is_dir():
            raise UserError(f"{word}: there is no such choice; {choice_suggestion(group, 'none', groups)}")
    return [word if is_readable(word, parser) else quoted(word, parser, is_sweep) for word in flags_first(words)]


def flags_first(words: list[str]) -> list[str]:
    """The words with flags and their values before the options: Hydra takes no flag between two options."""
    flags, options, rest = [], [], iter(words)
    for word in rest:
        if not word.startswith("-"):
            options.append(word)
            continue
        flags.append(word)
        if word in WITH_VALUE and (value := next(rest, None)) is not None:
            flags.append(value)
    return [*flags, *options]


def is_readable(word: str, parser: OverridesParser) -> bool:
    """Whether a word is a flag, or an override of Hydra's grammar."""
    try:
        return word.startswith("-") or bool(parser.parse_overrides([word]))
    except HydraException:
        return False


def quoted(word: str, parser: OverridesParser, is_sweep: bool) -> str:
    """A word with its value, or values, in quotes; as it is where that is no override either."""
    option, equals, value = word.partition("=")
    values = value.split(",") if is_sweep else [value]
    attempt = f"{option}={','.join(map(in_quotes, values))}"
    return attempt if equals and is_readable(attempt, parser) else word


def in_quotes(value: str) -> str:
    """A value in single quotes; backslashes count as such but before a quote, where Hydra takes them for escapes."""
    return "'" + re.sub(r"(\\*)(?='|$)", r"\1\1", value).replace("'", "\\'") + "'"
