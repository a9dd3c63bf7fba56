"""What a configuration that comes from a file may name, and whom the user trusts besides.

A checkpoint may come from somebody else, and the classes in its configuration are imported and called. Only the classes
that conf/ names for an option are built without asking. Any other needs the user's word: the option `trust`, the
environment variable, or an option of the same command that names the class. Nothing in a file gives it.
"""

import os
import shlex
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from src.config import shipped
from src.config.names import trusted_names
from src.config.plain import check_override, values_of
from src.config.signatures import OURS
from src.support.errors import UserError

VARIABLE = "VAE_LAB_TRUST"  # modules or classes, with commas between
INSTALLED = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")]
NOT_BUILT = ("callbacks", "logger")  # groups of a configuration that are not built where a trained run is opened
# the command that runs, for a message that repeats it; None in Python
command: ContextVar[list[str] | None] = ContextVar("the command that runs", default=None)
asked_for: set[str] = set()  # the classes that options of this process's commands have named


def remember(config: DictConfig | dict[str, Any]) -> None:
    """Trust the classes that a configuration names which was composed from the user's options in this process."""
    for option, node in nodes(config):
        target = node.get("_target_")
        if isinstance(target, str) and not is_ours(option, target):
            asked_for.add(target)


def remember_overrides(overrides: list[str]) -> None:
    """Trust the classes that options of the present command name."""
    for config in settings(overrides):
        remember(config)


def settings(overrides: list[str]) -> Iterator[dict[str, Any]]:
    """What each value of each override sets, as a configuration of nothing else."""
    for override in OverridesParser.create().parse_overrides(overrides):
        for value in values_of(override):
            for part in reversed(override.key_or_group.split(".")):
                value = {part: value}
            yield value


def is_ours(option: str, target: Any) -> bool:
    """Whether conf/ names a class for an option."""
    return target in shipped.targets().get(shipped.place(option), ())


def all_names(trust: Any = None) -> list[str]:
    """The modules and classes that the user trusts: those of the option and those of the environment variable.

    Raises UserError for anything that is no name.
    """
    variable = [name.strip() for name in os.environ.get(VARIABLE, "").split(",")]
    return [*trusted_names(trust), *trusted_names([name for name in variable if name], VARIABLE)]


def check(config: dict[str, Any], who: str, trusted: list[str], without: Iterable[str] = ()) -> None:
    """Raise UserError unless the resolved configuration of a file names only classes that may be built.

    Args:
        config: the configuration, as plain data.
        who: the file or the run, as the error names it.
        trusted: what `all_names` returns.
        without: groups that are not built, and not checked.
    """
    judge(foreign_classes({name: value for name, value in config.items() if name not in without}, who), who, trusted)


def check_overrides(overrides: list[str], who: str, trusted: list[str]) -> None:
    """Raise UserError, as `check` does, for overrides of a file, and for those that `check_override` refuses."""
    for override in overrides:
        check_override(override, who)
    judge([each for config in settings(overrides) for each in foreign_classes(config, who)], who, trusted)


def foreign_classes(config: dict[str, Any], who: str) -> list[tuple[str, str]]:
    """The options of a configuration that name a class which conf/ does not name for them, each with that class.

    Raises UserError for keys of Hydra that no configuration of this program has.
    """
    foreign = []
    for option, node in nodes(config):
        target = node.get("_target_")
        if "_target_" in node and not isinstance(target, str):
            raise UserError(f"{who}: {option}._target_ is no name of a class")
        if target is None or is_ours(option, target):
            check_keys(option, node, who)
        else:
            foreign.append((option, target))
    return foreign


def judge(foreign: list[tuple[str, str]], who: str, trusted: list[str]) -> None:
    """Raise UserError unless the user trusts all of these classes, and each is defined where its name says."""
    if refused := [target for _, target in foreign if not is_trusted(target, trusted)]:
        raise UserError(refusal(who, list(dict.fromkeys(refused))))
    for option, target in foreign:
        check_definition(target, option, who, trusted)


def check_keys(option: str, node: dict[str, Any], who: str) -> None:
    """Raise UserError for one of Hydra's keys that conf/ does not have there, such as `_args_`."""
    is_partial = shipped.place(option) in shipped.partials()
    for name, value in node.items():
        if (
            str(name).startswith("_")
            and name != "_target_"
            and not (name == "_partial_" and value is True and is_partial)
        ):
            raise UserError(f"{who}: {option}.{name} is in no configuration of this program: the file was changed")


def nodes(config: Any, option: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each mapping in a configuration, with the name of its option; of an element of a list, that of the list."""
    if OmegaConf.is_config(config):
        config = OmegaConf.to_container(config)
    if isinstance(config, dict):
        yield option, config
        for name, value in config.items():
            yield from nodes(value, f"{option}.{name}" if option else str(name))
    elif isinstance(config, list):
        for value in config:
            yield from nodes(value, f"{option}.[]")


def covers(names: Iterable[str], path: str) -> bool:
    """Whether a dotted path is one of the names, or lies within one of them."""
    return any(path == name or path.startswith(f"{name}.") for name in names)


def is_trusted(target: str, trusted: list[str]) -> bool:
    """Whether the user trusts a class by name, or has named it in an option of this process."""
    return target in asked_for or covers(trusted, target)


def check_definition(target: str, option: str, who: str, trusted: list[str]) -> None:
    """Raise UserError where a class that a trusted module has is defined in a module that is not trusted.

    Every module holds the names of others: mine.os.system is not the user's own.
    """
    if target in asked_for or target in trusted:
        return
    from src.config.classes import locate  # imports PyTorch

    located = locate(target, option)
    name, *rest = target.split(".")
    step: Any = sys.modules[name]
    homes = [step.__name__]
    for part in rest:
        step = getattr(step, part)
        homes += [step.__name__] if isinstance(step, ModuleType) else []
    homes = [home for home in homes if not covers([home], target)]  # a module's own packages need no trust
    homes.append(f"{getattr(located, '__module__', '')}.{getattr(located, '__qualname__', '')}")
    if others := [home for home in homes if not covers(trusted, home)]:
        raise UserError(
            f"{who}: {target} is {others[-1]}, which trust={','.join(trusted)} does not cover; {remedy([others[-1]])}"
        )


def refusal(who: str, names: list[str]) -> str:
    """The message about classes that are not this program's, with the command that trusts them."""
    top = [name for name in names if name.partition(".")[0] in {*sys.stdlib_module_names, "builtins"}]
    if top:
        return f"{who} names {', '.join(top)}, which is no part of a VAE: the file was made to run a program"
    return f"{who} was trained with {', '.join(names)}, code that is not this program's: {remedy(names)}"


def remedy(names: list[str]) -> str:
    """The end of a message: how to trust what these names need, on the command line or in Python."""
    wanted = list(dict.fromkeys(map(smallest_word, names)))
    line = command.get()
    if line is None:
        return f"if you trust it, trust={wanted}".replace("'", '"')
    before = [each.partition("=")[2].strip("[]").split(",") for each in line if each.startswith("trust=")]
    wanted = list(dict.fromkeys([*(name for each in before for name in each if name), *wanted]))
    others = [each for each in line if not each.startswith("trust=")]
    return f"if you trust it: {shlex.join([*others, *format_trust(wanted)])}"


def format_trust(names: list[str]) -> list[str]:
    """The option that trusts these modules and classes, as one types it; none where there are none."""
    return [f"trust={names[0]}" if len(names) == 1 else f"trust=[{','.join(names)}]"] if names else []


def option_for(config: DictConfig | dict[str, Any], without: Iterable[str] = NOT_BUILT) -> list[str]:
    """The option `trust` with which another command opens a run of this configuration, the user's own; none where it
    needs none."""
    foreign = [
        target
        for place, node in nodes(config)
        if isinstance(target := node.get("_target_"), str)
        and not is_ours(place, target)
        and place.partition(".")[0] not in without
    ]
    known = all_names()
    return format_trust(list(dict.fromkeys(smallest_word(each) for each in foreign if not covers(known, each))))


def smallest_word(target: str) -> str:
    """What to trust for a class: the module of a user's own, but no more than the class itself of an installed one."""
    top = target.partition(".")[0]
    if top in OURS:
        return target
    try:
        spec = util.find_spec(top)
    except ValueError:
        spec = None
    places = [spec.origin, *(spec.submodule_search_locations or [])] if spec else []
    is_installed = any(Path(place).resolve().is_relative_to(each) for place in places if place for each in INSTALLED)
    return target if is_installed else target.rpartition(".")[0] or target
