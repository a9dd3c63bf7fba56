"""The chart of rate and distortion: KL against recon of each run."""

from matplotlib.ticker import MaxNLocator

from src.reporting.groups import Group
from src.reporting.layout import GREY, LINE, Figure, Trace, layout, points, widen


def rate_distortion(group: Group) -> Figure | None:
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
    edge = {
        "type": "scatter",
        **dict(zip("xy", map(list, zip(*corners, strict=True)), strict=True)),
        "mode": "lines",
        "line": {"color": GREY, "width": 1.5, "dash": "dash"},
        "hoverinfo": "skip",
    }
    titles = ("rate: validation KL (nats)", "distortion: validation recon (nats)")
    axes = {"xaxis": {"range": [left, right]}, "yaxis": {"range": [low, high]}}
    # plotly draws annotations above all traces, and traces in their order: the labels are a trace, below the points
    return {"data": [lines, names, edge, points(group, places, rate, distortion)], "layout": layout(*titles, **axes)}


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


def iso_elbo(left: float, right: float, low: float, high: float) -> tuple[Trace, Trace]:
    """The lines recon + kl = -ELBO at round values of it, and their labels where each leaves the rectangle."""
    x, y = [], []
    ends: list[tuple[float, float, str, str]] = []
    costs = MaxNLocator(8, steps=(1, 2, 5, 10)).tick_values(left + low, right + high)
    for cost in costs[(costs >= left + low) & (costs <= right + high)].tolist():
        sides = left - (right - left), right + (right - left)
        x += [*sides, None]
        y += [*(cost - side for side in sides), None]
        elbo = f"{-cost:g}".replace("-", "\N{MINUS SIGN}")
        if cost - right > low + 0.05 * (high - low):
            ends.append((right, cost - right, elbo, "bottom left"))
        elif left <= cost - low < right - 0.1 * (right - left):
            ends.append((cost - low, low, elbo, "top right"))
    lines = {"type": "scatter", "x": x, "y": y, "mode": "lines", "line": {"color": LINE, "width": 1}}
    across, up, texts, sides = (list(each) for each in zip(*ends, strict=True)) if ends else ([], [], [], [])
    labels = {"type": "scatter", "x": across, "y": up, "text": texts, "mode": "text", "textposition": sides}
    labels |= {"textfont": {"color": GREY, "size": 11}}
    return lines | {"hoverinfo": "skip"}, labels | {"hoverinfo": "skip"}
