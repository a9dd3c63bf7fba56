"""Types of options with their ranges, for the annotations of a part's arguments, and messages about them.

src/config/schema.py checks the options of a configuration, `check_arguments` those of an object made in Python.
"""

import functools
import inspect
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError

MAX_COUNT = 10_000_000  # more of anything would take all memory, or years
Count = Annotated[int, Ge(1), Le(MAX_COUNT)]
Whole = Annotated[int, Ge(0), Le(MAX_COUNT)]
Several = Annotated[int, Ge(2), Le(MAX_COUNT)]
Positive = Annotated[float, Gt(0), Lt(math.inf)]
NonNegative = Annotated[float, Ge(0), Lt(math.inf)]
Share = Annotated[float, Ge(0), Le(1)]
OpenShare = Annotated[float, Gt(0), Lt(1)]
Depth = Annotated[int, Ge(1), Le(1000)]  # layers one after the other
Widths = Annotated[Sequence[Count], MinLen(1)]  # widths of layers

STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)
Part = TypeVar("Part", bound=type)


def check_arguments(part: Part) -> Part:
    """Have a class raise ValueError for an argument that does not fit its annotated type and range."""
    make = part.__init__

    @functools.wraps(make)
    def check_and_make(self: Any, *values: Any, **named: Any) -> None:
        kinds = get_type_hints(make, include_extras=True)
        for name, value in inspect.signature(make).bind(self, *values, **named).arguments.items():
            if name in kinds and (problem := fault(value, kinds[name])):
                raise ValueError(f"{name} {problem}")
        make(self, *values, **named)

    part.__init__ = check_and_make
    return part


def fault(value: Any, kind: Any) -> str | None:
    """The message about a value that does not fit an annotation, "must be ..., got ..."; None where it fits."""
    try:
        adapter(kind).validate_python(value)
    except ValidationError as error:
        is_too_large = any(each.get("ctx") == {"le": MAX_COUNT} for each in error.errors())
        return f"must be {f'at most {MAX_COUNT}' if is_too_large else describe_type(kind)}, got {as_argument(value)}"
    return None


@functools.cache
def adapter(kind: Any) -> TypeAdapter:
    """The validator of an annotation."""
    return TypeAdapter(kind, config=STRICT)


def as_argument(value: Any) -> str:
    """A value as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{','.join(map(as_argument, value))}]" if isinstance(value, list | tuple) else str(value)


def describe_type(kind: Any) -> str:
    """An annotation for a message: "a whole number, 1 or more" for `Count`."""
    simple = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    if kind in simple:
        return simple[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return describe_type(arguments[0]) + describe_limits(arguments[1:])
    if origin is Literal:
        return " or ".join(map(as_argument, arguments))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a list, each element {describe_type(arguments[0])}"
    return " or ".join(map(describe_type, arguments)) if arguments else "a group of options"


def describe_limits(limits: Sequence[Any]) -> str:
    """The constraints of an annotation for a message: ", 1 or more"."""
    bounds = {type(limit): getattr(limit, limit.__match_args__[0]) for limit in limits}
    if bounds.get(Le) == MAX_COUNT:  # mentioned only in the message for a larger value
        del bounds[Le]
    if {Ge, Le} <= set(bounds):
        return f" from {bounds[Ge]} to {bounds[Le]}"
    if bounds.get(MinLen, 0) == bounds.get(MaxLen):
        return f", {bounds[MinLen]} of them"
    texts = {Ge: ", {:.4g} or more", Gt: " above {:.4g}", Le: ", at most {:.4g}", Lt: " and below {:.4g}"}
    texts[MinLen] = ", {} or more of them"
    return "".join(texts[kind].format(bound) for kind, bound in bounds.items() if bound != math.inf)
