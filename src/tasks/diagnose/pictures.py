"""Where the nats go, as a waterfall; and whether the posterior and the pixels' probabilities are calibrated."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.figures import page
from src.figures.curves import STEPS, VALIDATION, chart
from src.inference.calibration import DRAWS, Reliability

WORDS = {
    "noise_floor": ("noise floor", "entropy of the binarisation"),
    "decoder": ("decoder", "reconstruction at each image's best code"),
    "code": ("code", "naming it, and its blur: the rest of the sum"),
    "prior": ("prior", "aggregate posterior against p(z), at least"),
    "posterior": ("posterior", "the encoder's q against log p(x)"),
    "family": ("posterior family", "its best q against log p(x)"),
    "amortisation": ("amortisation", "the encoder's q against that best q"),
    "total": ("−ELBO", "the sum"),
    "overfitting": ("overfitting", "of the sum: training against validation"),
}
FIXED, LOSS = "#97a0ab", VALIDATION
LEFT, ACROSS, ROW = 282, 380, 44  # pixels: the names' column, the bars, a row
CUT = 1.2  # a first bar longer than so many times all others together is cut


def waterfall(title: str, caption: str, table: dict[str, dict[str, Any]]) -> Figure:
    """The rows of `table` (`nats`, `nats_se`, `attacked_by`) as bars, each beginning where the one before it ends;
    then `total`, and the share of it that is `overfitting`."""
    height = page.HEADER + 40 + ROW * len(table) + 62
    figure = page.page(1152, height)
    page.title(figure, title, caption)
    top = page.HEADER + 36
    axes = page.box(figure, page.Area(page.MARGIN + LEFT, top, ACROSS, ROW * len(table)))
    spans = bars(table)
    low, high, cut = limits(spans)
    for i, (name, (start, end)) in enumerate(spans.items()):
        colour = page.ACCENT if end < start and i else FIXED if name in ("noise_floor", "code") else LOSS
        colour = page.INK if name == "total" else colour
        begin = low if cut and (i == 0 or name == "total") else start
        axes.barh(i, end - begin, left=begin, height=0.5, color=colour)
        if begin != start:
            torn(axes, low, high, i)
        if i + 1 < len(spans):
            axes.plot([end, end], [i - 0.25, i + 1.25], color=page.GREY, linewidth=0.8, zorder=0)
    axes.set(xlim=(low, high), ylim=(len(table) - 0.5, -0.5))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    axes.tick_params(labelsize=8, labelcolor=page.GREY, color=page.RULE, length=3)
    axes.grid(axis="x", color=page.RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("nats per image" + (", cut at the left" if cut else ""), fontsize=8.5, color=page.GREY)
    words(figure, top, table)
    return figure


def bars(table: dict[str, dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Where each bar begins and ends."""
    spans, end = {}, 0.0
    for name, row in table.items():
        if name == "total":
            spans[name] = (0.0, row["nats"])
        elif name == "overfitting":
            spans[name] = (table["total"]["nats"], table["total"]["nats"] - row["nats"])
        else:
            spans[name] = (end, end + row["nats"])
            end += row["nats"]
    return spans


def limits(spans: dict[str, tuple[float, float]]) -> tuple[float, float, bool]:
    """The axis, from zero or, where the first bar is longer than all that follows, from shortly before its end."""
    ends = np.array([end for _, end in spans.values()])
    rest = ends.max() - ends.min()
    cut = abs(ends[0]) > CUT * rest
    low = ends.min() - 0.3 * rest if cut else min(0.0, ends.min())
    high = ends.max() if cut else max(0.0, ends.max())
    return low, high + 0.03 * (high - low or 1), cut


def torn(axes: Axes, low: float, high: float, row: int) -> None:
    """Two white strokes through a bar that is cut at the left."""
    for place in (0.035, 0.05):
        x = low + place * (high - low)
        slant = 0.008 * (high - low)
        axes.plot([x - slant, x + slant], [row + 0.3, row - 0.3], color="white", linewidth=1.8, zorder=3)


def words(figure: Figure, top: float, table: dict[str, dict[str, Any]]) -> None:
    """Names on the left of the bars, numbers and options on their right."""
    value, option = (page.MARGIN + LEFT + ACROSS + 28 + step for step in (74, 132))
    heads = ((value - 74, "nats ± se", "left"), (option, "attacked by", "left"))
    for left, head, side in heads:
        page.write(figure, left, top - 14, head, ha=side, va="baseline")
    for i, (name, row) in enumerate(table.items()):
        middle, weight = top + (i + 0.5) * ROW, "bold" if name == "total" else "normal"
        page.write(figure, page.MARGIN, middle - 3, WORDS[name][0], 9.5, color=page.INK, va="baseline", weight=weight)
        beyond = ", less that" if name == "decoder" and "noise_floor" in table else ""
        page.write(figure, page.MARGIN, middle + 12, WORDS[name][1] + beyond, 8, va="baseline")
        error = f" ± {row['nats_se']:.2f}"
        page.write(
            figure, value - 30, middle + 4, page.number(row["nats"], 2), 9.5, color=page.INK, va="baseline", ha="right"
        )
        page.write(figure, value - 30, middle + 4, error, 8.5, va="baseline")
        page.write(figure, option, middle + 4, row.get("attacked_by", ""), 8.5, color=page.INK, va="baseline")


def calibration(
    title: str, ranks: np.ndarray, dimensions: np.ndarray, numbers: dict[str, Any], counted: Reliability | None
) -> Figure:
    """Left: how far the ranks (N, D) of true codes among draws of q are from uniform, a curve a dimension; right: the
    pixels' frequencies against their probabilities, and how many pixels there are of each."""
    figure = page.page(1000 if counted is not None else 760, page.HEADER + 420)
    share, error = 100 * numbers["coverage_90"], 100 * numbers["coverage_90_se"]
    words = f"true codes in the central 90 % of q: {share:.1f} ± {error:.1f} %"
    if counted is not None:
        words += f"     ·     expected calibration error of the pixels: {100 * counted.error():.2f} %"
    page.title(figure, title, words)
    deviations(figure, 440 if counted is not None else 640, ranks, dimensions)
    if counted is not None:
        diagram(figure, counted)
    return figure


def deviations(figure: Figure, width: float, ranks: np.ndarray, dimensions: np.ndarray) -> None:
    """The empirical distribution function of the ranks minus the uniform one, with the band that 95 % of samples from
    it stay in for each dimension (Dvoretzky, Kiefer & Wolfowitz; Massart, 1990)."""
    heading = "simulation: the rank of the true code among draws of q(z | x)"
    axes = chart(figure, page.Area(page.MARGIN + 44, page.HEADER + 40, width, 310), heading)
    grid = np.arange(DRAWS + 1)
    uniform = (grid + 1) / (DRAWS + 1)
    off = np.stack([np.searchsorted(np.sort(column), grid, side="right") / len(ranks) - uniform for column in ranks.T])
    band = np.sqrt(np.log(2 / 0.05) / (2 * len(ranks)))
    axes.axhspan(-band, band, color=page.RULE, alpha=0.7, linewidth=0, label="95 % of calibrated ones")
    axes.axhline(0, color=page.GREY, linewidth=0.8)
    for row in off:
        axes.plot(uniform, row, color=VALIDATION, linewidth=1, alpha=0.6)
    worst = int(np.abs(off).max(1).argmax())
    axes.plot(
        uniform, off[worst], color=page.ACCENT, linewidth=1.6, label=f"dimension {dimensions[worst]}, the farthest"
    )
    limit = 1.25 * max(np.abs(off).max(), band)
    axes.set(xlim=(0, 1), ylim=(-limit, limit))
    axes.legend(fontsize=8.5, loc="upper right", labelcolor=page.INK, framealpha=0.9, edgecolor="none")
    axes.set_xlabel(f"rank / {DRAWS + 1}   (up, then down: q too narrow)", fontsize=8.5, color=page.GREY)
    axes.set_ylabel("cumulative share − uniform", fontsize=8.5, color=page.GREY)


def diagram(figure: Figure, counted: Reliability) -> None:
    """The reliability diagram over the number of pixels, in a log scale."""
    left = page.MARGIN + 570
    axes = chart(
        figure, page.Area(left, page.HEADER + 40, 370, 218), "decoder: share of white pixels against their probability"
    )
    axes.plot([0, 1], [0, 1], color=page.GREY, linewidth=0.8)
    axes.plot(counted.predicted, counted.observed, "o-", color=VALIDATION, markersize=4, linewidth=1.2)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticklabels=[])
    axes.set_ylabel("observed", fontsize=8.5, color=page.GREY)
    below = chart(figure, page.Area(left, page.HEADER + 282, 370, 68), "")
    below.bar(counted.predicted, counted.pixels, width=0.03, color=VALIDATION, log=True)
    below.minorticks_off()
    below.set(xlim=(0, 1))
    below.set_xlabel("predicted probability", fontsize=8.5, color=page.GREY)
    below.set_ylabel("pixels", fontsize=8.5, color=page.GREY)
