"""A user's own classes, named by `_target_`: found, given the options that they name; each failure is told in one line.

Whatever a class raises is the user's to mend: the line says which option named it, what was raised, and where in the
user's own file.
"""

import difflib
import importlib
import importlib.util
import inspect
import sysconfig
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from src.config.options import CONF
from src.support.errors import UserError

SOURCE = Path(__file__).resolve().parent.parent
NOT_THE_USERS = (SOURCE, SOURCE.parent / "callbacks", *map(Path, set(sysconfig.get_paths().values())))
LONGEST = 300  # letters of another's message


def locate(target: Any, option: str) -> Callable[..., Any]:
    """The class or function of that dotted name. Raises UserError that says what of the name is wrong, and why."""
    if not isinstance(target, str) or not all(target.split(".")):
        raise UserError(f"{option}._target_={target} must be the name of a class, as in mine.Net for Net of mine.py")
    name, *rest = target.split(".")
    found: Any = import_module(name, option)
    for part in rest:
        try:
            found = getattr(found, part)
        except AttributeError as error:
            near = difflib.get_close_matches(part, dir(found), 1, 0.4)
            is_package = isinstance(found, ModuleType) and "__path__" in vars(found)
            if not is_package or (near and importlib.util.find_spec(f"{name}.{part}") is None):
                hint = f"; do you mean {name}.{near[0]}?" if near else ""
                raise UserError(f"{option}._target_={target}: {name} has no {part}{hint}") from error
            found = import_module(f"{name}.{part}", option)
        name = f"{name}.{part}"
    if not callable(found):
        raise UserError(f"{option}._target_={target} is a {type(found).__name__}, and must be a class or a function")
    return found


def import_module(name: str, option: str) -> ModuleType:
    """The module of that name. Raises UserError where there is none, or where it raises anything itself."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # but one that it imports
            raise UserError(f"{option}: importing {name} failed: {describe(error)}") from error
        parent, _, last = name.rpartition(".")
        missing = f"{parent} has no {last}" if parent else f"there is no module {name}"
        where = f"a module must lie in the folder where you are ({Path.cwd()}) or in one on PYTHONPATH"
        raise UserError(f"{option}: {missing}; {where}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{option}: importing {name} failed: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """An exception in one line: its kind, its message, and the line of the user's file that it came through last."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({Path(error.filename).name}, line {error.lineno})"
    return f"{type(error).__name__}: {words_of(error)}".rstrip(": ") + place_of(error)


def explain(error: Exception) -> str:
    """As `describe`, but the words alone of what a library or a part of ours refuses."""
    speaks = words_of(error) and not isinstance(error, LookupError)
    return words_of(error) if speaks and not place_of(error) else describe(error)


def words_of(error: BaseException) -> str:
    """The first line of an exception's message."""
    return str(error).strip().partition("\n")[0][:LONGEST]


def place_of(error: BaseException) -> str:
    """Where in the user's own files an exception was raised, or nothing."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_file() and not any(path.is_relative_to(folder) for folder in NOT_THE_USERS):
            return f" ({path.name}, line {frame.lineno})"
    return ""


def guard(function: Callable[..., Any], option: str) -> Callable[..., Any]:
    """The function, whose exceptions become UserErrors that name the option."""
    return partial(call, function, option)


def call(function: Callable[..., Any], option: str, /, *arguments: Any, **options: Any) -> Any:
    """What the function returns. Raises UserError, with the option's name, for anything that it raises."""
    try:
        return function(*arguments, **options)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{option}: {explain(error)}") from error


def named_options(cfg: DictConfig, option: str, positional: int = 0, trained: bool = False) -> DictConfig:
    """The node of the configuration that `option` names, without the options that its class does not name.

    positional: how many arguments the class is given besides, without a name
    trained: the configuration is one that has been trained with, and is not to be judged again

    Left out are the options of the shipped file, as they stand there, which were never meant for another class. Raises
    UserError for any other, since it would be ignored.
    """
    node = OmegaConf.select(cfg, option)
    if not OmegaConf.is_dict(node) or "_target_" not in node:
        raise UserError(f"{option} must name a class: {option}._target_=mine.Net for Net of mine.py")
    target = locate(node["_target_"], option)
    names = parameters(target, positional)
    unnamed = [key for key in node if not key.startswith("_") and names is not None and key not in names]
    if not unnamed:
        return node
    options = OmegaConf.to_container(node, resolve=True)
    shipped = {} if trained else shipped_options(cfg, option, node)
    for name in unnamed:
        value = options.pop(name)
        if not trained and (name not in shipped or shipped[name] != value):
            takes = ", ".join(names) or "none"
            raise UserError(
                f"{option}.{name}={value}: {node['_target_']} takes no {name}; the options it takes: {takes}"
            )
    return OmegaConf.create(options)


def parameters(target: Callable[..., Any], positional: int) -> list[str] | None:
    """The names by which options can be given to a function besides so many unnamed arguments; None if any can."""
    if inspect.isclass(target) and target.__init__ is nn.Module.__init__:
        return []  # which says that it takes anything, and refuses it
    try:
        found = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):  # written in C
        return None
    if any(each.kind is each.VAR_KEYWORD for each in found):
        return None
    ordered = [each for each in found if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    free = [each for each in ordered[positional:] if each.kind is each.POSITIONAL_OR_KEYWORD]
    return [each.name for each in [*free, *(each for each in found if each.kind is each.KEYWORD_ONLY)]]


def shipped_options(cfg: DictConfig, option: str, node: DictConfig) -> dict[str, Any]:
    """The options of the file in conf/ that the node began as, with the values that they have in this configuration."""
    group, _, key = option.partition(".")
    paths = [Path(CONF, "model", f"{cfg.model.name}.yaml")] if group == "model" else Path(CONF, group).glob("*.yaml")
    files = [OmegaConf.load(path) for path in sorted(paths) if path.is_file()]
    files = [file[key] if key else file for file in files]
    fitting = [file for file in files if set(file) <= set(node)]
    if not fitting:
        return {}
    whole = OmegaConf.create(OmegaConf.to_container(cfg))
    OmegaConf.update(whole, option, max(fitting, key=len), merge=False)
    return OmegaConf.to_container(OmegaConf.select(whole, option), resolve=True)
