"""The charts of a group of runs, as plotly figures that the page colours and switches.

The `meta` of a trace says how the page treats it: `points` (one point for each run) and `curve` (one run) get the
colours of the runs, whose places in the group are in `customdata`. `layout.meta` holds for each quantity what the
reader can switch the chart to: the traces' `y` (and `error`, a list for each trace), `range`, `title`.
"""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.ticker import MaxNLocator
from plotly.colors import sample_colorscale

from src.figures.look import CLASS_COLOURS, GREY, INK
from src.reporting.groups import Group, is_number, order_key
from src.reporting.tables import setting_rows
from src.run.options import as_text

RULE = "#e3e7eb"
QUANTITIES = {
    "elbo": ("ELBO", "val/elbo", "validation ELBO (nats)"),
    "recon": ("Recon", "val/recon", "validation recon (nats)"),
    "kl": ("KL", "val/kl", "validation KL (nats)"),
    "active_units": ("Active units", "val/active_units", "active units"),
}
HEIGHT = 360  # pixels
MAX_POINTS = 60  # the most points of a curve
MIN_KL = 1e-4  # nats: a smaller KL of a dimension is drawn as this on the logarithmic axis


def colours(values: Sequence[Any]) -> dict[str, Any]:
    """A colour for each of `values`, from dark to light for numbers; `legend`: each distinct value and its colour."""
    distinct = sorted({as_text(value): value for value in values}.values(), key=order_key)
    if all(is_number(value) for value in distinct) and len(distinct) > 1:
        palette = sample_colorscale("Viridis", list(np.linspace(0.05, 0.85, len(distinct))))
    else:
        palette = [CLASS_COLOURS[i % len(CLASS_COLOURS)] for i in range(len(distinct))]
    legend = dict(zip(map(as_text, distinct), palette, strict=True))
    return {"of": [legend[as_text(value)] for value in values], "legend": list(legend.items())}


def layout(x: str, y: str, **options: Any) -> dict[str, Any]:
    """The look of all charts; x, y: the titles of the axes."""
    axis = {"gridcolor": RULE, "zeroline": False, "linecolor": RULE, "ticks": "outside", "tickcolor": RULE}
    axis |= {"automargin": True}
    return {
        "template": "none",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": INK},
        "margin": {"l": 56, "r": 16, "t": 12, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"color": INK}},
        "xaxis": axis | {"title": {"text": x, "font": {"color": GREY}}} | options.pop("xaxis", {}),
        "yaxis": axis | {"title": {"text": y, "font": {"color": GREY}}} | options.pop("yaxis", {}),
        **options,
    }


def label(group: Group, place: int) -> str:
    """The text that appears when the reader points at a run, escaped: plotly reads some HTML."""
    run = group.runs[place]
    options = [f"{name} = {as_text(values[place])}" for name, values in group.knobs.items()]
    numbers = [(run.number(name), title) for title, name, _ in QUANTITIES.values()]
    parts = [f"{title} {value:.5g}".replace("-", "\N{MINUS SIGN}") for value, title in numbers if value is not None]
    lines = [*options, f"seed = {as_text(group.seeds[place])}", " · ".join(parts), run.status]
    return f"<b>{escape(run.name)}</b><br>" + "<br>".join(escape(line) for line in lines)


def points(group: Group, places: list[int], x: list, y: list) -> go.Scatter:
    """A point for each of the runs at these places."""
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"size": 10, "line": {"color": "white", "width": 1}},
        customdata=places,
        text=[label(group, place) for place in places],
        hovertemplate="%{text}<extra></extra>",
        meta="points",
    )


def rate_distortion(group: Group) -> go.Figure | None:
    """KL (rate) against recon (distortion), with lines of equal ELBO and the lower left hull of all runs."""
    places = [
        i for i in group.ranking if None not in (group.runs[i].number("val/kl"), group.runs[i].number("val/recon"))
    ]
    if len(places) < 2:
        return None
    rate = [group.runs[i].number("val/kl") for i in places]
    distortion = [group.runs[i].number("val/recon") for i in places]
    (left, right), (low, high) = (widen(values) for values in (rate, distortion))
    corners = hull(list(zip(rate, distortion, strict=True)))
    lines, names = iso_elbo(left, right, low, high)
    figure = go.Figure(lines)
    figure.add_scatter(
        **dict(zip("xy", map(list, zip(*corners, strict=True)), strict=True)),
        mode="lines",
        line={"color": GREY, "width": 1.5, "dash": "dash"},
        hoverinfo="skip",
    )
    figure.add_trace(points(group, places, rate, distortion))
    titles = ("rate: validation KL (nats)", "distortion: validation recon (nats)")
    axes = {"xaxis": {"range": [left, right]}, "yaxis": {"range": [low, high]}}
    figure.update_layout(layout(*titles, **axes, annotations=names))
    return figure


def widen(values: list[float], share: float = 0.07) -> tuple[float, float]:
    """The range of `values`, wider by a share of it on either side."""
    low, high = min(values), max(values)
    margin = share * (high - low) or 1.0
    return low - margin, high + margin


def hull(corners: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The lower left part of the convex hull, from the leftmost point to the lowest (Andrew, 1979)."""
    chain: list[tuple[float, float]] = []
    lowest = min(corners, key=lambda point: (point[1], point[0]))
    for x, y in sorted(corners):
        if x > lowest[0]:
            break
        while len(chain) > 1 and turn(chain[-2], chain[-1], (x, y)) <= 0:
            chain.pop()
        if not chain or x > chain[-1][0]:
            chain.append((x, y))
    return chain


def turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """The cross product of b - a and c - a: positive where the way from a over b to c turns left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def iso_elbo(left: float, right: float, low: float, high: float) -> tuple[go.Scatter, list[dict[str, Any]]]:
    """The lines recon + kl = -ELBO at round values of it, and their labels where each enters the rectangle."""
    x, y, names = [], [], []
    costs = MaxNLocator(8, steps=(1, 2, 5, 10)).tick_values(left + low, right + high)
    for cost in costs[(costs >= left + low) & (costs <= right + high)].tolist():
        ends = left - (right - left), right + (right - left)
        x += [*ends, None]
        y += [*(cost - end for end in ends), None]
        start = max(left, cost - high)
        if start < right - 0.1 * (right - left) and cost - start > low + 0.03 * (high - low):
            elbo = f"{-cost:g}".replace("-", "\N{MINUS SIGN}")
            names.append({"x": start, "y": cost - start, "text": elbo, "xshift": 4, "xanchor": "left"})
    lines = go.Scatter(x=x, y=y, mode="lines", line={"color": "#cdd4db", "width": 1}, hoverinfo="skip")
    look = {"showarrow": False, "bgcolor": "white", "borderpad": 1, "font": {"color": "#8b949e", "size": 11}}
    return lines, [name | look for name in names]


def against(group: Group, knob: str) -> go.Figure | None:
    """Each quantity against a knob, with a point for each run.

    Lines join the means over the seeds of runs which have all other knobs in common.
    """
    values, places = group.knobs[knob], sorted(group.ranking)
    if len({as_text(values[place]) for place in places}) < 2:
        return None
    distinct = sorted({as_text(values[place]): values[place] for place in places}.values(), key=order_key)
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
    figure = go.Figure()
    figure.add_scatter(
        x=x,
        y=meta["elbo"]["y"][0],
        mode="lines",
        line={"color": "#b6bfc8", "width": 1.2},
        error_y={"array": meta["elbo"]["error"][0], "color": "#b6bfc8", "thickness": 1.2, "width": 4},
        hoverinfo="skip",
    )
    figure.add_trace(points(group, places, [place_of(values[place]) for place in places], meta["elbo"]["y"][1]))
    figure.update_layout(layout(escape(knob), meta["elbo"]["title"], xaxis=axis, meta=meta))
    return figure


def mean_lines(group: Group, knob: str) -> list[dict[str, Any] | None]:
    """The rows of `setting_rows` with a finished run, in lines along `knob` with all other knobs in common; None
    between two lines."""
    lines: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in setting_rows(group):
        if row["finished"]:
            others = tuple(as_text(row[name]) for name in group.knobs if name != knob)
            lines.setdefault(others, []).append(row)
    return [row for line in lines.values() for row in [*sorted(line, key=lambda row: order_key(row[knob])), None]]


def curves(group: Group) -> go.Figure | None:
    """Each quantity over the training, by images seen, without the untrained model; dotted for unfinished runs."""
    figure = go.Figure()
    meta: dict[str, Any] = {name: {"y": [], "title": title} for name, (_, _, title) in QUANTITIES.items()}
    for place, run in enumerate(group.runs):
        epochs = thin([row for row in run.epochs if row["epoch"] > 0 and "val/elbo" in row])
        if not epochs:
            continue
        for name, (_, key, _) in QUANTITIES.items():
            meta[name]["y"].append([six_digits(row.get(key)) for row in epochs])
        figure.add_scatter(
            x=[six_digits(row.get("images_seen", row["epoch"])) for row in epochs],
            y=meta["elbo"]["y"][-1],
            mode="lines" if len(epochs) > 1 else "lines+markers",
            line={"width": 1.6, "dash": "solid" if run.is_ranked else "dot"},
            customdata=[place],
            name=escape(run.name),
            hovertemplate=f"<b>{escape(run.name)}</b>: %{{y:.5g}}<extra></extra>",
            meta="curve",
        )
    if not figure.data:
        return None
    for quantity in meta.values():
        quantity["range"] = late_range(quantity["y"])
    figure.update_layout(
        layout("images seen", meta["elbo"]["title"], yaxis={"range": meta["elbo"]["range"]}, meta=meta)
    )
    return figure


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


def kl_per_dim(group: Group) -> go.Figure | None:
    """The KL of each latent dimension, the largest first, a line for each run; dimensions of low KL are not used."""
    figure = go.Figure()
    for place in sorted(group.ranking):
        values = group.runs[place].metrics.get("val/kl_per_dim")
        if not isinstance(values, list) or not values or not all(is_number(value) for value in values):
            continue
        y = [max(float(f"{value:.4g}"), MIN_KL) for value in sorted(values, reverse=True)]
        name = escape(group.runs[place].name)
        figure.add_scatter(
            x=list(range(1, len(y) + 1)),
            y=y,
            mode="lines+markers",
            line={"width": 1.4},
            marker={"size": 4},
            customdata=[place],
            hovertemplate=f"<b>{name}</b>: %{{y:.3g}} nats<extra></extra>",
            meta="curve",
        )
    if not figure.data:
        return None
    titles = ("latent dimension, by its KL", "validation KL of it (nats)")
    figure.update_layout(layout(*titles, yaxis={"type": "log", "dtick": 1, "tickformat": "~g"}))
    return figure
