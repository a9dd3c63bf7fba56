"""Matrices of two options: the mean of each combination, with its error, in a cell of its colour."""

from typing import NamedTuple

import numpy as np

from src.reporting.groups import Group, is_number, order_key
from src.reporting.palette import SCALE, distinct_values, scale_colours, text_colour
from src.reporting.tables import QUANTITIES, error_suffix, select_setting, setting_rows
from src.run.options import as_text

MAX_SHEETS, MAX_SIDE = 12, 40
MIN_SHARE = 0.5  # of the combinations that have runs: in a random search few have
LEGEND = 9  # colours


class Cell(NamedTuple):
    """The numbers of a combination of options; an error that is missing is None.

    counts  `2 of 3` where not all seeds have finished, else empty
    """

    mean: float
    error: float | None
    background: str
    colour: str
    counts: str
    is_selected: bool


class Sheet(NamedTuple):
    """The cells for one combination of the other options, which `title` names; None where no run has finished."""

    title: str
    rows: list[tuple[str, list[Cell | None]]]


class Matrix(NamedTuple):
    """The sheets of a quantity, whose colours go from that of `low` to that of `high`."""

    quantity: str
    title: str
    low: float
    high: float
    sheets: list[Sheet]


class Matrices(NamedTuple):
    """A matrix for each quantity; or none, and why.

    down, across   the two options
    columns        the values of the one across
    is_over_seeds  whether an error is the standard deviation over seeds, not the standard error over images
    """

    down: str
    across: str
    columns: list[str]
    legend: list[str]
    is_over_seeds: bool
    matrices: list[Matrix]
    refusal: str


def draw_matrices(group: Group) -> Matrices | None:
    """The matrices of a group; None where fewer than two options vary.

    Seeds are averaged. Where more than two options vary, there is a sheet for each combination of the others.
    """
    rows = setting_rows(group)
    if len(group.knobs) < 2 or not any(row["finished"] for row in rows):
        return None
    down, across = axes(group)
    why = refusal(group, down, across, len(rows))
    names = [name for name in QUANTITIES if any(row[QUANTITIES[name][1]] is not None for row in rows)]
    matrices = [] if why else [matrix(group, name, down, across) for name in names]
    columns = [as_text(value) for value in distinct_values(group.knobs[across])]
    legend = scale_colours(SCALE, np.linspace(0, 1, LEGEND))
    return Matrices(down, across, columns, legend, error_suffix(rows) == "_sd", matrices, why)


def axes(group: Group) -> tuple[str, str]:
    """The options down and across: numbers before names, the one of more values before the one of fewer, the longer
    down, where a page has more room."""

    def rank(name: str) -> tuple[bool, int]:
        values = distinct_values(group.knobs[name])
        return not all(is_number(value) for value in values), -len(values)

    first, second = sorted(group.knobs, key=rank)[:2]
    down, across = sorted((first, second), key=lambda name: -len(distinct_values(group.knobs[name])))
    return down, across


def refusal(group: Group, down: str, across: str, settings: int) -> str:
    """Why the matrices of a group with so many settings would not be legible; empty where they are."""
    sides = {name: len(distinct_values(group.knobs[name])) for name in (down, across)}
    sheets = len({other_options(group, place, (down, across)) for place in range(len(group.runs))})
    cells = sheets * sides[down] * sides[across]
    if sheets > MAX_SHEETS:
        return f"the other options have {sheets} combinations, more than {MAX_SHEETS}"
    if max(sides.values()) > MAX_SIDE:
        return f"one of them has more than {MAX_SIDE} values"
    return f"{settings} of {cells} combinations have runs, too few" if settings < MIN_SHARE * cells else ""


def other_options(group: Group, place: int, names: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The names and values, as text, of a run's options but for two."""
    return tuple((name, as_text(values[place])) for name, values in group.knobs.items() if name not in names)


def matrix(group: Group, quantity: str, down: str, across: str) -> Matrix:
    """The matrix of a quantity."""
    _, key, title = QUANTITIES[quantity]
    settings = setting_rows(group)
    rows, suffix = [row for row in settings if row[key] is not None], error_suffix(settings)
    low, high = min(row[key] for row in rows), max(row[key] for row in rows)
    shares = [(row[key] - low) / (high - low) if high > low else 0.5 for row in rows]
    selected = (select_setting(group) or {}).get("places")
    cells: dict[tuple, Cell] = {}
    for row, colour in zip(rows, scale_colours(SCALE, shares), strict=True):
        others = other_options(group, row["places"][0], (down, across))
        counts = f"{row['finished']} of {row['seeds']}" if row["finished"] < row["seeds"] else ""
        cell = Cell(row[key], row[key + suffix], colour, text_colour(colour), counts, row["places"] == selected)
        cells[others, as_text(row[down]), as_text(row[across])] = cell
    values, columns = ([as_text(value) for value in distinct_values(group.knobs[name])] for name in (down, across))
    sheets = []
    for others in sorted({key[0] for key in cells}, key=lambda pairs: [order_key(value) for _, value in pairs]):
        name = ", ".join(f"{name} = {value}" for name, value in others)
        lines = [(value, [cells.get((others, value, column)) for column in columns]) for value in values]
        sheets.append(Sheet(name, lines))
    return Matrix(quantity, title, low, high, sheets)
