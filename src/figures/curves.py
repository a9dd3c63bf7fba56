"""Curves over a training: the terms of its loss, and the KL of each dimension as a heat map."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from src.figures import page
from src.figures.histogram import counts_beyond
from src.figures.look import BLUE, SILVER
from src.run.trace import Trace

TRAINING, VALIDATION = SILVER, BLUE
EXTREME = 20
STEPS = (1, 2, 5, 10)  # between ticks, up to a power of ten
TERMS = {"loss": "loss", "recon": "reconstruction, E[−log p(x | z)]", "kl": "KL(q(z | x), p(z))"}
NAMES = {"beta": "β", "capacity": "C (nats)", "lr": "learning rate"}  # names of scheduled values; others are as given
HEAT = LinearSegmentedColormap.from_list("heat", ["#f6f8fa", "#bcd0f2", "#4269d0", "#26348b", "#140f3d"])


def loss(trace: Trace) -> Figure:
    """Loss, reconstruction and KL against images seen, in training and validation; below, what is scheduled.

    The limits of the axes leave out the untrained model and the first tenth of the epochs, whose large values would
    flatten the rest; notes tell how many values are beyond them.
    """
    epochs, seen = trace.epochs["epoch"], trace.epochs["images_seen"]
    figure = page.page(960, 600)
    page.header(figure, trace)(epochs[-1])
    best = best_epoch(trace)
    charts = []
    for i, (key, name) in enumerate(TERMS.items()):
        axes = chart(figure, page.Area(page.MARGIN + 34 + i * 310, page.HEADER + 36, 250, 256), f"{name}, nats")
        curves = [trace.epochs[f"{split}/{key}"] for split in ("train", "val")]
        draw_curve(axes, seen, curves[0], TRAINING, "training")
        draw_curve(axes, seen, curves[1], VALIDATION, "validation")
        axes.plot(seen[best], curves[1][best], "o", color=page.ACCENT, markersize=5, zorder=4)
        axes.set_ylim(*readable_limits(epochs, curves, best))
        note = beyond(np.concatenate(curves), *axes.get_ylim())
        page.shrink(page.write(figure, page.MARGIN + 34 + i * 310, page.HEADER + 36 + 256 + 22, note, points=8), 270)
        charts.append(axes)
    following = page.key(figure, 350, 43, TRAINING, "training")
    page.key(figure, following, 43, VALIDATION, "validation")
    knobs = [*trace.scheduled, *(["lr"] if "lr" in trace.epochs else [])]
    spacing = 930 / max(2, len(knobs))
    for i, key in enumerate(knobs):
        name = NAMES.get(key, key)
        axes = chart(figure, page.Area(page.MARGIN + 34 + i * spacing, page.HEADER + 372, spacing - 60, 76), name)
        draw_curve(axes, seen, trace.epochs[key], page.INK)
        axes.set_ylim(0, 1.12 * max(np.nanmax(trace.epochs[key]), 1e-12))
        axes.set_xlabel("training images seen", fontsize=8.5, color=page.GREY)
        charts.append(axes)
    for axes in charts:
        axes.axvline(seen[best], color=page.ACCENT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        axes.set_xlim(0, 1.02 * max(seen[-1], 1))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    value = page.number(trace.epochs["val/loss"][best])
    note = f"● best validation loss {value}, epoch {epochs[best]}"
    page.write(figure, 960 - page.MARGIN, 44, note, points=9.5, color=page.ACCENT, ha="right")
    return figure


def kl_per_dim(trace: Trace) -> Figure:
    """The KL of each dimension over the epochs as a heat map, the dimension with the largest last KL on top."""
    last = last_finite(trace.epochs["val/kl_per_dim"])
    return kl_of_parts(trace, "dimension", np.argsort(-last, kind="stable"))


def kl_per_level(trace: Trace) -> Figure:
    """The KL of each level of a hierarchy over the epochs as a heat map, the top level on top."""
    return kl_of_parts(trace, "level", np.arange(trace.epochs["val/kl_per_level"].shape[1]))


def last_finite(kl: np.ndarray) -> np.ndarray:
    """The last row of numbers (epochs, D) that are all finite; zeros if there is none."""
    kl = np.asarray(kl, dtype=float)
    return kl[np.isfinite(kl).all(1).nonzero()[0][-1:]].sum(0)


def kl_of_parts(trace: Trace, part: str, order: np.ndarray) -> Figure:
    """The KL of each `dimension` or `level` in this order, from above, over the epochs and after the last."""
    kl = np.asarray(trace.epochs[f"val/kl_per_{'dim' if part == 'dimension' else part}"], dtype=float)
    epochs, last, dimensions = trace.epochs["epoch"], last_finite(kl), len(order)
    names = order if part == "dimension" else order + 1
    height = float(np.clip(26 * dimensions, 120, 560))
    figure = page.page(640, page.HEADER + 36 + height + 116)
    page.header(figure, trace)(epochs[-1])

    left, top = page.MARGIN + 40, page.HEADER + 34
    axes = chart(figure, page.Area(left, top, 388, height), f"KL(q(z | x), p(z)) of each {part}")
    trained = kl[epochs >= min(1, epochs[-1])]
    most = max(trained[np.isfinite(trained)].max(initial=0), 1e-3)
    extent = (epochs[0] - 0.5, epochs[-1] + 0.5, dimensions - 0.5, -0.5)
    heat = axes.imshow(
        kl[:, order].T, cmap=HEAT, vmin=0, vmax=most, aspect="auto", interpolation="nearest", extent=extent
    )
    axes.grid(False)
    axes.set_xlabel("epoch", fontsize=8.5, color=page.GREY)
    axes.set_ylabel(
        "dimension, by last KL" if part == "dimension" else "level, from the top", fontsize=8.5, color=page.GREY
    )
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=STEPS))
    step = -(-dimensions * 13 // int(height))
    axes.set(yticks=range(0, dimensions, step), yticklabels=names[::step])

    bars = chart(figure, page.Area(left + 404, top, 140, height), "last epoch, nats")
    bars.barh(range(dimensions), last[order], height=0.72, color=VALIDATION)
    bars.set(ylim=(dimensions - 0.5, -0.5), yticks=[])
    bars.set_xlim(0, 1.08 * max(last.max(), 1e-3))

    colours = page.box(figure, page.Area(left, top + height + 62, 240, 8))
    # the KL of the untrained model may exceed the scale of the colours
    above = "max" if np.nanmax(np.where(np.isfinite(kl), kl, -np.inf)) > most else "neither"
    bar = figure.colorbar(heat, cax=colours, orientation="horizontal", extend=above)
    bar.outline.set_visible(False)
    colours.tick_params(labelsize=8, labelcolor=page.GREY, color=page.RULE, length=3)
    colours.text(1.06, 0.5, "nats", fontsize=8.5, color=page.GREY, va="center", transform=colours.transAxes)
    return figure


def best_epoch(trace: Trace) -> int:
    """The row with the lowest validation loss; that of the untrained model only while there is no other.

    Losses are compared in float32, as in the choice of the best checkpoint; of equal ones the first is taken.
    """
    losses = np.asarray(trace.epochs["val/loss"], dtype=np.float32)
    losses = np.where(np.isfinite(losses), losses, np.inf)
    return int(losses[1:].argmin()) + 1 if len(losses) > 1 else 0


def readable_limits(epochs: np.ndarray, curves: list[np.ndarray], best: int) -> tuple[float, float]:
    """Limits for the finite values of `curves` after a tenth of the epochs, or from the row `best` if it is earlier,
    but never for those of the untrained model unless it is alone.

    They reach at most EXTREME times the range of the values until `best` beyond that range.
    """
    begin = min(max(1, round(epochs[-1] / 10)), max(1, epochs[best]), epochs[-1])
    values = np.concatenate([np.asarray(curve)[epochs >= begin] for curve in curves])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0, 1
    low, high = values.min(), values.max()
    until = np.concatenate([np.asarray(curve)[(epochs >= begin) & (epochs <= epochs[best])] for curve in curves])
    until = until[np.isfinite(until)]
    if len(until) and (reach := EXTREME * np.ptp(until)) > 0:  # what explodes later must not flatten the rest
        low, high = max(low, until.min() - reach), min(high, until.max() + reach)
    margin = 0.06 * (high - low) or max(0.5, 1e-3 * abs(high))  # half a nat is below the rounding of a diverged loss
    return low - margin, high + margin


def beyond(values: np.ndarray, low: float, high: float) -> str:
    """How many values are beyond the limits of an axis, and the farthest of them; empty where there are none."""
    below, above = counts_beyond(values, low, high)
    notes = [f"▴ {above.removesuffix(' ▸')}"] if above else []
    notes += [below.replace("◂", "▾")] if below else []
    return f"beyond the axis: {', '.join(notes)}" if notes else ""


def legend_below(axes: Axes, top: float, columns: int, **options: Any) -> None:
    """Write the legend of a chart beneath it, where it covers no curve; `top` pixels below the axis."""
    place = (-0.01, -top / axes.bbox.height)
    look = {"fontsize": 8.5, "labelcolor": page.INK, "frameon": False, "borderaxespad": 0}
    axes.legend(loc="upper left", bbox_to_anchor=place, ncols=columns, **look, **options)


def chart(figure: Figure, area: page.Area, title: str) -> Axes:
    """Axes for curves on an area of the page, with `title` over their upper left corner."""
    axes = page.box(figure, area)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    axes.yaxis.set_major_locator(MaxNLocator(6 if area.height > 100 else 3, steps=STEPS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: page.tick(value)))  # no factor over the axis
    axes.tick_params(labelsize=8, labelcolor=page.GREY, color=page.RULE, length=3)
    axes.grid(axis="y", color=page.RULE, linewidth=0.6)
    axes.spines["bottom"].set(visible=True, color=page.GREY)
    axes.set_axisbelow(True)
    heading = page.write(figure, area.left, area.top - 22, title, points=9.5, color=page.INK)
    page.shrink(heading, min(area.width + 36, page.size(figure)[0] - area.left - 4))
    return axes


def draw_curve(axes: Axes, seen: np.ndarray, values: np.ndarray, colour: str, label: str | None = None) -> None:
    """Draw a curve of `values`, and its points if they are few."""
    marker = "o" if len(seen) <= 12 else None
    axes.plot(seen, values, color=colour, linewidth=1.6, marker=marker, markersize=2.5, label=label)
