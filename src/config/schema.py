"""Types and ranges of all options, checked as soon as a configuration is composed.

A part states its options once, as the annotated arguments of its class or function, which signatures.py reads. Only
options of groups that are not a call, and of library classes, whose annotations have no ranges, are stated here.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict, get_type_hints

from annotated_types import MaxLen, MinLen
from omegaconf import DictConfig, OmegaConf

from src.config.signatures import OURS, Signature, signature
from src.config.trainer_options import Trainer
from src.support.errors import UserError
from src.support.ranges import Count, NonNegative, Positive, fault

# groups whose classes get all options they are given, even those of other libraries
EXACT = ("trainer", "optimizer", "callbacks", "logger")


class Data(TypedDict, total=False):
    """The options of a data set; those of its `source` are in that function's signature."""

    name: str
    root: str | None
    path: str | None
    source: dict
    shape: Annotated[Sequence[Count], MinLen(3), MaxLen(3)] | Literal["auto"]
    binarize: Literal["auto", "dynamic", "none"]
    exclude_labels: Sequence[int | str]
    batch_size: Count | Literal["auto"]
    epochs: Count | Literal["auto"]
    lr: Positive


class Model(TypedDict, total=False):
    """A pair of networks."""

    name: str
    start: Literal["zero", "data"]
    encoder: dict
    decoder: dict


class Optimizer(TypedDict, total=False):
    """The options that optimizers have in common."""

    lr: NonNegative
    weight_decay: NonNegative
    fused: bool


STATED = {"data": Data, "model": Model, "optimizer": Optimizer, "trainer": Trainer}


def check_parts(parts: Mapping[str, Any], cfg: DictConfig) -> None:
    """Check every option of the parts: `parts` is the configuration `cfg` with its values resolved, as a plain dict.

    Raises UserError for an option that its part does not have and that no interpolation refers to, and for a value of
    another type or out of range.
    """
    for option, value, owner in options(parts):
        name = option.rpartition(".")[2]
        if name in owner.options:
            if problem := fault(value, owner.options[name]):
                raise UserError(f"{origin(option, cfg)} {problem}")
        elif not owner.is_open and not is_referred_to(name, cfg):
            raise UserError(f"there is no option {option}; {suggestion(option, owner.options)}")


def is_referred_to(name: str, cfg: DictConfig) -> bool:
    """Whether an interpolation in the configuration contains an option's name: ${data.side}, ${.side}, ..."""
    return bool(re.search(rf"\$\{{[^{{}}]*\b{re.escape(name)}\b", OmegaConf.to_yaml(cfg)))


def origin(option: str, cfg: DictConfig) -> str:
    """The option that another one refers to: data.split for data.source.split, whose value is ${data.split}."""
    within, _, name = option.rpartition(".")
    value = OmegaConf.to_container(OmegaConf.select(cfg, within), resolve=False)[name]
    reference = re.fullmatch(r"\$\{([\w.]+)\}", str(value))
    return reference[1] if reference else option


def options(node: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any, Signature]]:
    """Each option of the parts below a node: its full name, its value, and the signature that it belongs to."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            option = f"{within}{name}"
            if owner := signature_at(option, value):
                yield from ((f"{option}.{key}", each, owner) for key, each in value.items() if not key.startswith("_"))
            yield from options(value, f"{option}.")


def signature_at(option: str, node: Mapping[str, Any]) -> Signature | None:
    """The signature of the part that a node describes; None where nothing is known about it."""
    stated = get_type_hints(STATED[option], include_extras=True) if option in STATED else {}
    if "_target_" not in node:
        return Signature(stated, False) if stated else None
    target = node["_target_"]
    check_value(f"{option}._target_", target, str)
    try:
        found = signature(target)
    except UserError as error:
        raise UserError(f"{option}._target_={error}") from None
    if found is None:
        return Signature(stated, True)
    is_exact = target.partition(".")[0] in OURS or option.partition(".")[0] in EXACT
    return Signature(found.options | stated, found.is_open or not is_exact)


def check_value(option: str, value: Any, kind: Any) -> None:
    """Raise UserError for a value that does not fit an annotation."""
    if problem := fault(value, kind):
        raise UserError(f"{option} {problem}")


def suggestion(option: str, names: Iterable[str]) -> str:
    """The end of a message about an option that does not exist: the most similar name, otherwise all names."""
    within, _, name = option.rpartition(".")
    names = sorted(name for name in map(str, names) if not name.startswith("_"))
    if near := difflib.get_close_matches(name, names, 1):
        return f"did you mean {within}{'.' if within else ''}{near[0]}?"
    return f"{within} has {', '.join(names) or 'none'}" if within else "--help lists them"
