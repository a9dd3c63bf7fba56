"""Numbers with their standard errors, and tables of them, until they are printed or written."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A mean over images and its standard error, which a single image does not have."""

    mean: float
    se: float | None


class Interval(NamedTuple):
    """A number and its 95 % confidence interval, for what has no symmetric error: a share near 0 or 1."""

    mean: float
    low: float
    high: float


class Noted(NamedTuple):
    """A number or an estimate, with a note that the console prints beside it."""

    value: Any
    note: str


def estimate(values: np.ndarray) -> Estimate:
    """The mean of `values` (N,) in float64 and its standard error."""
    values = np.asarray(values, np.float64)
    se = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return Estimate(float(values.mean()), se)


def share(flags: np.ndarray) -> Interval:
    """The share of `flags` (N,) that are true, with Wilson's interval, which has a width at 0 and 1, too."""
    from scipy.stats import binomtest

    count, total = int(np.sum(flags)), len(flags)
    return Interval(count / total, *map(float, binomtest(count, total).proportion_ci(method="wilson")))


def flatten(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """`numbers` with flat names, as in metrics.json and W&B.

    A table, which maps rows to columns, becomes `row/column`; an Estimate becomes `name` and, if it has one, `name_se`;
    an Interval `name`, `name_low` and `name_high`.
    """
    flat: dict[str, Any] = {}
    for name, value in numbers.items():
        match value:
            case Estimate(mean, se):
                flat |= {name: mean} | ({} if se is None else {f"{name}_se": se})
            case Interval(mean, low, high):
                flat |= {name: mean, f"{name}_low": low, f"{name}_high": high}
            case Noted(noted, _):
                flat |= flatten({name: noted})
            case Mapping():
                flat |= {f"{name}/{column}": number for column, number in flatten(value).items()}
            case _:
                flat[name] = value
    return flat
