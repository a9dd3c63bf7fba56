"""The charts of a group of runs, as figures of plotly.js that the page colours and switches.

The `meta` of a trace says how the page treats it: `points` (one point for each run) and `curve` (one run) get the
colours of the runs, whose places in the group are in `customdata`. `layout.meta` holds for each quantity what the
reader can switch the chart to: the traces' `y` (and `error`, a list for each trace), `range`, `title`.
"""

import json
import math
from collections.abc import Callable
from html import escape
from typing import Any, NamedTuple

import numpy as np

from src.reporting.groups import Group, is_number, order_key
from src.reporting.layout import FAINT, Figure, Trace, layout, points, widen
from src.reporting.palette import distinct_values
from src.reporting.plane import rate_distortion
from src.reporting.runs import Run
from src.reporting.tables import QUANTITIES, setting_rows
from src.run.options import as_text

MAX_POINTS = 60  # the most points of a curve
MIN_KL = 1e-4  # nats: a smaller KL of a dimension is drawn as this on the logarithmic axis


class Chart(NamedTuple):
    """A chart with its caption."""

    title: str
    note: str
    figure: Figure


def draw_charts(group: Group) -> list[Chart]:
    """The charts for which the runs of a group have data."""
    hull = "gray: equal ELBO; dashed: lower left hull of all"
    training = "dotted: unfinished; early and diverging values may lie outside; double-click shows all"
    dimensions = f"what falls off is not used; below {MIN_KL:g} drawn there"
    figures = [
        ("Rate and distortion", hull, rate_distortion(group)),
        ("Training", training, curves(group)),
        *((f"Against {knob}", "a line: all else alike", against(group, knob)) for knob in group.knobs),
        ("Latent dimensions", dimensions, kl_per_dim(group)),
    ]
    return [Chart(title, note, without_nan(figure)) for title, note, figure in figures if figure is not None]


def without_nan(figure: Figure) -> Figure:
    """A figure with None for each number that is not finite, which JSON does not have."""
    return json.loads(json.dumps(figure), parse_constant=lambda name: None)


def against(group: Group, knob: str) -> Figure | None:
    """Each quantity against a knob, with a point for each run.

    Lines join the means over the seeds of runs which have all other knobs in common.
    """
    values, places = group.knobs[knob], sorted(group.ranking)
    if len({as_text(values[place]) for place in places}) < 2:
        return None
    distinct = distinct_values([values[place] for place in places])
    is_numeric = all(is_number(value) for value in distinct)
    place_of: Callable[[Any], Any] = float if is_numeric else lambda value: escape(as_text(value))
    axis: dict[str, Any] = {"type": "linear" if is_numeric else "category"}
    if not is_numeric:
        axis |= {"categoryorder": "array", "categoryarray": [place_of(value) for value in distinct]}
        axis |= {"range": [-0.5, len(distinct) - 0.5]}
    elif distinct[0] > 0 and distinct[-1] / distinct[0] >= 8:
        axis["type"] = "log"
    if is_numeric and len(distinct) <= 6:
        axis |= {"tickvals": distinct, "ticktext": [as_text(value) for value in distinct]}
    lines = mean_lines(group, knob)
    x = [None if row is None else place_of(row[knob]) for row in lines]
    meta: dict[str, Any] = {}
    for name, (_, key, title) in QUANTITIES.items():
        y = [[None if row is None else row[key] for row in lines], [group.runs[i].number(key) for i in places]]
        meta[name] = {"y": y, "error": [[row and row[f"{key}_sd"] for row in lines], None], "title": title}
    means = {
        "type": "scatter",
        "x": x,
        "y": meta["elbo"]["y"][0],
        "mode": "lines",
        "line": {"color": FAINT, "width": 1.2},
        "error_y": {"array": meta["elbo"]["error"][0], "color": FAINT, "thickness": 1.2, "width": 4},
        "hoverinfo": "skip",
    }
    runs = points(group, places, [place_of(values[place]) for place in places], meta["elbo"]["y"][1])
    return {"data": [means, runs], "layout": layout(escape(knob), meta["elbo"]["title"], xaxis=axis, meta=meta)}


def mean_lines(group: Group, knob: str) -> list[dict[str, Any] | None]:
    """The rows of `setting_rows` with a finished run, in lines along `knob` with all other knobs in common; None
    between two lines."""
    lines: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in setting_rows(group):
        if row["finished"]:
            others = tuple(as_text(row[name]) for name in group.knobs if name != knob)
            lines.setdefault(others, []).append(row)
    return [row for line in lines.values() for row in [*sorted(line, key=lambda row: order_key(row[knob])), None]]


def curves(group: Group) -> Figure | None:
    """Each quantity over the training, by images seen, without the untrained model; dotted for unfinished runs."""
    traces: list[Trace] = []
    meta: dict[str, Any] = {name: {"y": [], "title": title} for name, (_, _, title) in QUANTITIES.items()}
    for place, run in enumerate(group.runs):
        epochs = thin([row for row in run.epochs if row["epoch"] > 0 and "val/elbo" in row])
        if not epochs:
            continue
        for name, (_, key, _) in QUANTITIES.items():
            meta[name]["y"].append([six_digits(row.get(key)) for row in epochs])
        look = {
            "mode": "lines" if len(epochs) > 1 else "lines+markers",
            "line": {"width": 1.6, "dash": "solid" if run.is_ranked else "dot"},
        }
        x = [six_digits(row.get("images_seen", row["epoch"])) for row in epochs]
        traces.append(curve(run, place, x, meta["elbo"]["y"][-1], "%{y:.5g}") | look)
    if not traces:
        return None
    for quantity in meta.values():
        quantity["range"] = late_range(quantity["y"])
    look = layout("images seen", meta["elbo"]["title"], yaxis={"range": meta["elbo"]["range"]}, meta=meta)
    return {"data": traces, "layout": look}


def curve(run: Run, place: int, x: list, y: list, value: str) -> Trace:
    """The line of the run at this place; value: the text, in plotly's format, where the reader points at it."""
    name = escape(run.name)
    return {
        "type": "scatter",
        "x": x,
        "y": y,
        "customdata": [place],
        "name": name,
        "hovertemplate": f"<b>{name}</b>: {value}<extra></extra>",
        "meta": "curve",
    }


def thin(rows: list) -> list:
    """At most MAX_POINTS of the rows, evenly spaced, the last among them."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MAX_POINTS)).round().astype(int)) if rows else []
    return [rows[i] for i in places]


def six_digits(value: float | None) -> float | None:
    """`value` to six digits; None where it is not a finite number."""
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None


def late_range(series: list[list[float | None]]) -> list[float] | None:
    """The central 95 % of the values that curves have after their first quarter.

    The beginning of all curves, and one that diverges, would flatten the rest.
    """
    late = [value for each in series for value in each[len(each) // 4 :] if value is not None]
    if not late:
        return None
    return list(widen([float(value) for value in np.percentile(late, (2.5, 97.5) if len(late) > 40 else (0, 100))]))


def kl_per_dim(group: Group) -> Figure | None:
    """The KL of each latent dimension, the largest first, a line for each run; dimensions of low KL are not used."""
    traces: list[Trace] = []
    for place in sorted(group.ranking):
        values = group.runs[place].metrics.get("val/kl_per_dim")
        if not isinstance(values, list) or not values or not all(is_number(value) for value in values):
            continue
        y = [max(float(f"{value:.4g}"), MIN_KL) for value in sorted(values, reverse=True)]
        look = {"mode": "lines+markers", "line": {"width": 1.4}, "marker": {"size": 4}}
        traces.append(curve(group.runs[place], place, list(range(1, len(y) + 1)), y, "%{y:.3g} nats") | look)
    if not traces:
        return None
    titles = ("latent dimension, by its KL", "validation KL of it (nats)")
    every = [value for trace in traces for value in trace["y"]]
    ticks = "D2" if max(every) < 100 * min(every) else 1  # of few decades 1, 2 and 5, else a tick for each decade
    return {
        "data": traces,
        "layout": layout(*titles, yaxis={"type": "log", "dtick": ticks, "tickformat": "~g"}),
    }
