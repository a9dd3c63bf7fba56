"""Names of numbers that are of p(x|y), by a conditional model: none of them can be compared with one of p(x)."""

import re
from collections.abc import Mapping
from typing import Any

from src.build import Run

OF_LABEL = re.compile(
    r"elbo|recon|kl(_level_\d+)?|nats|nats_saved|fade_minus_linear|nll(?!.*effective|_mean_fill)(_\w+)?|bits_per_dim_\w+"
)


def mark_conditional(run: Run, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a task, and those of its tables, with the names that they have for a conditional run: those of
    p(x|y) end in `given_label`."""
    if run.vae.condition is None:
        return dict(numbers)
    return {
        f"{name}_given_label" if OF_LABEL.fullmatch(name) else name: mark_conditional(run, value)
        if isinstance(value, dict)
        else value
        for name, value in numbers.items()
    }


def given_labels(run: Run) -> str:
    """What a caption says of the numbers of a conditional run."""
    return "" if run.vae.condition is None else ", given the labels"
