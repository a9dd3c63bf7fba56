"""Types of options with their ranges, for the annotations of a part's arguments, and what they say of a value.

src/config/schema.py checks them for a configuration, `checked` for an object that is made in Python.
"""

import functools
import inspect
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError

MOST = 10_000_000  # of anything that is counted: more would take all memory, or years
Count = Annotated[int, Ge(1), Le(MOST)]
Whole = Annotated[int, Ge(0), Le(MOST)]
Several = Annotated[int, Ge(2), Le(MOST)]
Positive = Annotated[float, Gt(0), Lt(math.inf)]
NonNegative = Annotated[float, Ge(0), Lt(math.inf)]
Share = Annotated[float, Ge(0), Le(1)]
OpenShare = Annotated[float, Gt(0), Lt(1)]
Widths = Annotated[Sequence[Count], MinLen(1)]  # of layers

STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)
Part = TypeVar("Part", bound=type)


def checked(part: Part) -> Part:
    """Have a class check the annotated types and ranges of its arguments: ValueError for a bad value."""
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
    """What is wrong with a value for its kind (an annotation): "must be ..., got ..."; None where nothing is."""
    try:
        adapter(kind).validate_python(value)
    except ValidationError as error:
        is_too_large = any(each.get("ctx") == {"le": MOST} for each in error.errors())
        return f"must be {f'at most {MOST}' if is_too_large else in_words(kind)}, got {as_typed(value)}"
    return None


@functools.cache
def adapter(kind: Any) -> TypeAdapter:
    """The validator of an annotation."""
    return TypeAdapter(kind, config=STRICT)


def as_typed(value: Any) -> str:
    """A value as it is given on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{','.join(map(as_typed, value))}]" if isinstance(value, list | tuple) else str(value)


def in_words(kind: Any) -> str:
    """An annotation in words: `Count` is "a whole number, 1 or more"."""
    simple = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    if kind in simple:
        return simple[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return in_words(arguments[0]) + limits_in_words(arguments[1:])
    if origin is Literal:
        return " or ".join(map(as_typed, arguments))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a list, each element {in_words(arguments[0])}"
    return " or ".join(map(in_words, arguments)) if arguments else "a group of options"


def limits_in_words(limits: Sequence[Any]) -> str:
    """The constraints of an annotation in words."""
    bounds = {type(limit): getattr(limit, limit.__match_args__[0]) for limit in limits}
    if bounds.get(Le) == MOST:  # which is told where it is exceeded
        del bounds[Le]
    if {Ge, Le} <= set(bounds):
        return f" from {bounds[Ge]} to {bounds[Le]}"
    if bounds.get(MinLen, 0) == bounds.get(MaxLen):
        return f", {bounds[MinLen]} of them"
    words = {Ge: ", {:.4g} or more", Gt: " above {:.4g}", Le: ", at most {:.4g}", Lt: " and below {:.4g}"}
    words[MinLen] = ", {} or more of them"
    return "".join(words[kind].format(bound) for kind, bound in bounds.items() if bound != math.inf)
