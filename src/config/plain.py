"""Plain data from a file, checked before it is used: of bounded size and depth, and what it interpolates.

OmegaConf would read environment variables, and could be made to fill the memory, if it resolved a stranger's
interpolations. A resolved configuration has none; one with interpolations has those of conf/, or plain references.
"""

import re
from collections.abc import Iterator
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from src.config import shipped
from src.support.errors import UserError
from src.support.texts import CONTROL

DEEPEST = 20  # levels of nesting; a configuration has 4
MOST = 20_000  # values; a configuration has 150
LONGEST = 100_000  # characters of a text
LARGEST = 2**64  # no whole number reaches this
RESOLVERS = re.compile(r"\$\{(parts|images_name|prior_dim):\}")  # of all versions (src/config/names.py)
LATENTS = re.compile(r"\$\{latents:\d+\}")  # of latent_dim, of all versions
REFERENCE = re.compile(r"\$\{(\.*)([^\W\d]\w*(?:\.\w+)*)\}")


def check_plain(content: Any, who: str) -> None:
    """Raise UserError unless a value holds only mappings by text, lists, texts, numbers, booleans and None, is of a
    bounded size and depth, and has no characters that control a terminal."""
    waiting, count = [(content, "", 0)], 0
    while waiting:
        value, option, depth = waiting.pop()
        count += 1
        if depth > DEEPEST or count > MOST:
            raise UserError(f"{who} holds more values, or deeper ones, than any configuration")
        if isinstance(value, dict):
            if wrong := [name for name in value if not isinstance(name, str | int) or CONTROL.search(str(name))]:
                raise UserError(f"{who}: {option or 'the configuration'} has the option {wrong[0]!r}, which is none")
            waiting += [(each, f"{option}.{name}".lstrip("."), depth + 1) for name, each in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(each, option, depth + 1) for each in value]
        elif isinstance(value, str):
            if len(value) > LONGEST or CONTROL.search(value):
                raise UserError(f"{who}: {option} is no text: it is too long, or holds control characters")
        elif value is not None and type(value) not in (bool, int, float):
            raise UserError(f"{who}: {option} is a {type(value).__name__}, which no option is")
        elif type(value) is int and abs(value) >= LARGEST:
            raise UserError(f"{who}: {option} is larger than any whole number that an option takes")


def check_resolved(config: dict[str, Any], who: str) -> None:
    """Raise UserError for an interpolation in a configuration that is said to be resolved."""
    for option, value in texts(config):
        if "${" in value:
            raise UserError(f"{who}: {option}={value} in a resolved configuration, which has no ${{...}}")


def check_interpolations(config: dict[str, Any], who: str) -> None:
    """Raise UserError for an interpolation that is neither a reference to another option nor one of those in conf/, and
    for references that refer to each other so often that they would not end."""
    left = [MOST]
    for option, value in texts(config):
        if not may_interpolate(option, value):
            raise UserError(f"{who}: {option}={value} may only refer to other options, as in ${{latent_dim}}")
        follow(value, option.split("."), config, who, left)


def check_override(line: str, who: str) -> None:
    """Raise UserError for an override of a file that sets no option of a run, that could choose a file outside of
    conf/, or that interpolates more than options."""
    try:
        override = OverridesParser.create().parse_override(line)
        name, values = override.key_or_group, values_of(override)
    except HydraException:
        raise UserError(f"{who}: {line!r} is no option of a run") from None
    is_option = re.fullmatch(r"[^\W\d]\w*(\.\w+)*", name) and override.package is None
    if not is_option or name.partition(".")[0] in ("hydra", "trust"):
        raise UserError(f"{who}: {line!r} is no option of a run")
    choices = [each for value in values for each in (value if isinstance(value, list) else [value])]
    if (shipped.CONF / name).is_dir() and any(isinstance(each, str) and not each.isidentifier() for each in choices):
        raise UserError(f"{who}: {line!r} is no choice of {name}")
    check_plain(values, f"{who}: {name}")
    if any(not may_interpolate(name, text) for _, text in texts(values)):
        raise UserError(f"{who}: {line!r} may only refer to other options, as in ${{latent_dim}}")


def values_of(override: Override) -> list[Any]:
    """The values of an override: one, the choices of a sweep, or none where it spans a range or removes an option."""
    if override.is_delete():
        return []
    if not override.is_sweep_override():
        return [override.value()]
    return list(override.sweep_iterator()) if override.is_discrete_sweep() else []


def may_interpolate(option: str, value: str) -> bool:
    """Whether a value interpolates no more than other options, or what it does in conf/."""
    if option == "latent_dim" and LATENTS.fullmatch(value):
        return True
    return (option, value) in shipped.interpolations() or "${" not in REFERENCE.sub("", RESOLVERS.sub("", value))


def texts(node: Any, option: str = "") -> Iterator[tuple[str, str]]:
    """Each text in plain data, with the name of its option."""
    if isinstance(node, str):
        yield option, node
    elif isinstance(node, dict | list):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from texts(value, f"{option}.{name}" if option else str(name))


def follow(value: Any, at: list[str], config: dict[str, Any], who: str, left: list[int], depth: int = 0) -> None:
    """Follow the references in a value, and those in what they refer to; `left` is the number of values to go on with.

    Raises UserError where there are too many.
    """
    left[0] -= 1
    if left[0] < 0 or depth > 2 * DEEPEST:
        raise UserError(f"{who}: its options refer to each other without an end")
    if isinstance(value, dict | list):
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            follow(each, [*at, str(name)], config, who, left, depth + 1)
    elif isinstance(value, str):
        for dots, path in REFERENCE.findall(value):
            target = [*(at[: len(at) - len(dots)] if dots else []), *path.split(".")]
            follow(select(config, target, who), target, config, who, left, depth + 1)


def select(config: Any, path: list[str], who: str) -> Any:
    """The value at a path; None where there is none. Raises UserError where a reference is on the way."""
    for name in path:
        if isinstance(config, list) and name.isdecimal() and int(name) < len(config):
            config = config[int(name)]
        elif isinstance(config, dict):
            config = config.get(name, config.get(int(name)) if name.isdecimal() else None)
        elif isinstance(config, str) and "${" in config:
            raise UserError(f"{who}: ${{{'.'.join(path)}}} refers to an option by way of {config}")
        else:
            return None
    return config
