"""What all charts have in common: their look, and a point with its label for each run.

A chart is a figure of plotly.js, as JSON: its traces (`data`) and its `layout`. A colour of the page's style, such as
`var(--ink)`, is replaced by the page's script, which knows whether the page is light or dark.
"""

from html import escape
from typing import Any

from src.reporting.groups import Group
from src.reporting.tables import QUANTITIES
from src.run.options import as_text

INK, GREY, RULE, PAGE = "var(--ink)", "var(--grey)", "var(--rule)", "var(--page)"
LINE, FAINT = "var(--edge)", "var(--faint)"  # of lines that other things are compared with
HEIGHT = 360  # pixels

Trace = dict[str, Any]
Figure = dict[str, Any]


def layout(x: str, y: str, **options: Any) -> dict[str, Any]:
    """The look of all charts; x, y: the titles of the axes."""
    axis = {"gridcolor": RULE, "zeroline": False, "linecolor": RULE, "ticks": "outside", "tickcolor": RULE}
    axis |= {"automargin": True}
    clear = "rgba(0,0,0,0)"
    return {
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": INK},
        "margin": {"l": 56, "r": 16, "t": 12, "b": 48},
        "paper_bgcolor": clear,
        "plot_bgcolor": clear,
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "bgcolor": PAGE, "bordercolor": LINE, "font": {"color": INK}},
        "modebar": {"bgcolor": clear, "color": GREY, "activecolor": INK},
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
    pairs = [" · ".join(parts[i : i + 2]) for i in range(0, len(parts), 2)]  # a phone is narrow
    lines = [*options, f"seed = {as_text(group.seeds[place])}", *pairs, run.status]
    return f"<b>{escape(run.name)}</b><br>" + "<br>".join(escape(line) for line in lines)


def points(group: Group, places: list[int], x: list, y: list) -> Trace:
    """A point for each of the runs at these places."""
    return {
        "type": "scatter",
        "x": x,
        "y": y,
        "mode": "markers",
        "marker": {"size": 10, "line": {"color": PAGE, "width": 1}},
        "customdata": places,
        "text": [label(group, place) for place in places],
        "hovertemplate": "%{text}<extra></extra>",
        "meta": "points",
    }


def widen(values: list[float], share: float = 0.07) -> tuple[float, float]:
    """The range of `values`, wider by a share of it on either side."""
    low, high = min(values), max(values)
    margin = share * (high - low) or 1.0
    return low - margin, high + margin
