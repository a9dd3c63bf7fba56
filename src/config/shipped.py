"""What the files in conf/ name: the classes of each option, and the interpolations.

A checkpoint or another file of a run may name these without asking, and each only where conf/ does.
"""

import functools
from collections.abc import Iterator
from typing import Any

import yaml

from src.config.choices import CONF

NAMED = ("callbacks", "logger")  # groups whose members have any name
ADDED = {"callbacks.*": ("callbacks.prune.Prune",)}  # what a search adds to its trials
NO_RUN = ("hydra", "sweep", "task", "experiment")  # folders of conf/ that hold no group of a run


def place(option: str) -> str:
    """The key of `targets` for an option: callbacks.* for any callback, otherwise the option itself."""
    group, _, rest = option.partition(".")
    return f"{group}.*" if group in NAMED and rest and "." not in rest else option


@functools.cache
def targets() -> dict[str, set[str]]:
    """The dotted paths of the classes that conf/ names, by the place of the option that names them."""
    named: dict[str, set[str]] = {option: set(paths) for option, paths in ADDED.items()}
    for option, node in _nodes():
        if "_target_" in node:
            named.setdefault(place(option), set()).add(node["_target_"])
    return named


@functools.cache
def partials() -> set[str]:
    """The places of the options that conf/ marks as `_partial_: true`."""
    return {place(option) for option, node in _nodes() if node.get("_partial_") is True}


@functools.cache
def interpolations() -> set[tuple[str, str]]:
    """The options whose value in conf/ holds an interpolation, each with that value."""
    values = [(f"{option}.{name}".lstrip("."), value) for option, node in _nodes() for name, value in node.items()]
    return {(option, value) for option, value in values if isinstance(value, str) and "${" in value}


def _nodes() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each mapping in the files of the groups, and in train.yaml that of the options at the root, with its option."""
    for path in sorted(CONF.glob("*/*.yaml")):
        if path.parent.name not in NO_RUN:
            yield from _within(path.parent.name, yaml.safe_load(path.read_text()))
    root = yaml.safe_load((CONF / "train.yaml").read_text())
    yield "", {name: value for name, value in root.items() if name not in ("hydra", "defaults")}


def _within(option: str, node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield option, node
        for name, value in node.items():
            yield from _within(f"{option}.{name}", value)
