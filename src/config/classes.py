"""Classes and functions that `_target_` names: located, given their options, and made into objects.

They may be a user's own. Any exception that such a class raises is for its author to correct, and becomes a UserError
of one line: the option that names the class, the exception, and the line in the user's file.
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

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from src.config.moved import current_path
from src.config.options import CONF
from src.support.errors import UserError

SOURCE = Path(__file__).resolve().parent.parent
NOT_THE_USERS = (SOURCE, SOURCE.parent / "callbacks", *map(Path, set(sysconfig.get_paths().values())))
LONGEST = 300  # characters that are quoted of an exception's message


def make(node: DictConfig | dict[str, Any], option: str, kind: type | None = None, /, **arguments: Any) -> Any:
    """Make the object that a node of the configuration names; `arguments` are passed on as they are.

    Raises UserError with the option's name where the class refuses its options, or makes something that is not of the
    expected kind.
    """
    if "_target_" in node:
        locate(node["_target_"], option)
    try:
        # `instantiate` would also make objects of the `_target_` in dicts among the arguments
        made = bind(node)(**arguments) if arguments else instantiate(node, _convert_="all")
    except UserError:
        raise
    except Exception as error:
        cause = error.__cause__ or error
        if isinstance(cause, UserError):
            raise cause from None
        raise UserError(f"{option}: {explain(cause)}") from error
    if kind and not isinstance(made, kind):
        raise UserError(f"{option}: {node['_target_']} makes a {type(made).__name__}, and must make a {kind.__name__}")
    return made


def bind(node: DictConfig | dict[str, Any]) -> Callable[..., Any]:
    """The class or function that a node names, with the node's options bound to it."""
    return instantiate(node, _partial_=True, _convert_="all")


def locate(target: Any, option: str) -> Callable[..., Any]:
    """The class or function at a dotted path. Raises UserError that says which part of the path is wrong, and why."""
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
    """Import a module. Raises UserError where it does not exist, or where it raises any exception itself."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # a module that it imports is missing
            raise UserError(f"{option}: importing {name} failed: {describe(error)}") from error
        parent, _, last = name.rpartition(".")
        missing = f"{parent} has no {last}" if parent else f"there is no module {name}"
        where = f"a module must be in the folder where you are ({Path.cwd()}) or in one on PYTHONPATH"
        raise UserError(f"{option}: {missing}; {where}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{option}: importing {name} failed: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """An exception in one line: its type, its message, and the innermost line of the user's files on its way."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({Path(error.filename).name}, line {error.lineno})"
    return f"{type(error).__name__}: {first_line(error)}".rstrip(": ") + place_of(error) + new_place_of(error)


def explain(error: Exception) -> str:
    """The message of an exception in one line, or `describe` of it where the message alone would not explain it."""
    is_message = first_line(error) and not isinstance(error, LookupError)
    return first_line(error) if is_message and not place_of(error) else describe(error)


def first_line(error: BaseException) -> str:
    """The first line of an exception's message."""
    return str(error).strip().partition("\n")[0][:LONGEST]


def new_place_of(error: BaseException) -> str:
    """The present place of a module of this project that has been moved, for a message, or an empty string."""
    name = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    return f"; {name} is {current_path(name)} now" if current_path(name) != name else ""


def place_of(error: BaseException) -> str:
    """Where in the user's files an exception was raised, as " (mine.py, line 3)", or an empty string."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_file() and not any(path.is_relative_to(folder) for folder in NOT_THE_USERS):
            return f" ({path.name}, line {frame.lineno})"
    return ""


def guard(function: Callable[..., Any], option: str) -> Callable[..., Any]:
    """Wrap a function, so that its exceptions become UserErrors that name the option."""
    return partial(call, function, option)


def call(function: Callable[..., Any], option: str, /, *arguments: Any, **options: Any) -> Any:
    """Call a function. Raises UserError, with the option's name, for any exception that it raises."""
    try:
        return function(*arguments, **options)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{option}: {explain(error)}") from error


def select_options(cfg: DictConfig, option: str, positional: int = 0, trained: bool = False) -> DictConfig:
    """The node `option` of the configuration, without the options that its class does not accept.

    A user's own class in place of ours inherits the options of the file in conf/: those that it does not accept are
    left out while they have the values of that file. Raises UserError for any other, since it would be ignored.

    positional: the number of unnamed arguments that the class is given besides
    trained: the configuration has been trained with, and is not checked again
    """
    node = OmegaConf.select(cfg, option)
    if not OmegaConf.is_dict(node) or "_target_" not in node:
        raise UserError(f"{option} must name a class: {option}._target_=mine.Net for Net of mine.py")
    target = locate(node["_target_"], option)
    names = option_names(target, positional)
    unnamed = [key for key in node if not key.startswith("_") and names is not None and key not in names]
    if not unnamed:
        return node
    options = OmegaConf.to_container(node, resolve=True)
    shipped = {} if trained else options_in_conf(cfg, option, node)
    for name in unnamed:
        value = options.pop(name)
        if not trained and (name not in shipped or shipped[name] != value):
            takes = ", ".join(names) or "none"
            raise UserError(
                f"{option}.{name}={value}: {node['_target_']} takes no {name}; the options it takes: {takes}"
            )
    return OmegaConf.create(options)


def option_names(target: Callable[..., Any], positional: int) -> list[str] | None:
    """The names of the options that a function accepts besides so many unnamed arguments; None if any name will do."""
    if inspect.isclass(target) and target.__init__ is nn.Module.__init__:
        return []  # its signature has **kwargs, but it refuses them
    try:
        found = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):  # as for a function written in C
        return None
    if any(each.kind is each.VAR_KEYWORD for each in found):
        return None
    ordered = [each for each in found if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    free = [each for each in ordered[positional:] if each.kind is each.POSITIONAL_OR_KEYWORD]
    return [each.name for each in [*free, *(each for each in found if each.kind is each.KEYWORD_ONLY)]]


def options_in_conf(cfg: DictConfig, option: str, node: DictConfig) -> dict[str, Any]:
    """The options of the file in conf/ that a node was composed from, with interpolations resolved in `cfg`."""
    group, _, key = option.partition(".")
    paths = [Path(CONF, "model", f"{cfg.model.name}.yaml")] if group == "model" else Path(CONF, group).glob("*.yaml")
    files = [OmegaConf.load(path) for path in sorted(paths) if path.is_file()]
    files = [file[key] if key else file for file in files]
    fitting = [file for file in files if set(file) <= set(node)]
    if not fitting:
        return {}
    copy = OmegaConf.create(OmegaConf.to_container(cfg))
    OmegaConf.update(copy, option, max(fitting, key=len), merge=False)
    return OmegaConf.to_container(OmegaConf.select(copy, option), resolve=True)
