"""The parts of -ELBO as a waterfall chart, and the calibration of the posterior and of the pixels' probabilities."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.figures import page
from src.figures.curves import STEPS, VALIDATION, chart, legend_below
from src.figures.look import SILVER
from src.inference.calibration import DRAWS, Reliability
from src.support.statistics import Estimate

LABELS = {
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
FIXED, LOSS = SILVER, VALIDATION
LEFT, ACROSS, ROW = 282, 380, 44  # pixels: width of the names' column, width of the bars, height of a row
CUT = 1.2  # the first bar is cut if it is longer than this many times the range of all bar ends
Table = Mapping[str, Mapping[str, Any]]  # rows with the columns `nats`, an Estimate, and `attacked_by`


def waterfall(title: str, caption: str, table: Table) -> Figure:
    """Draw the rows of a table as bars, each beginning where the one before it ends.

    The last two rows are `total`, and the share of it that is `overfitting`.
    """
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
            mark_cut(axes, (low, high), i)
        if i + 1 < len(spans):
            axes.plot([end, end], [i - 0.25, i + 1.25], color=page.GREY, linewidth=0.8, zorder=0)
    axes.set(xlim=(low, high), ylim=(len(table) - 0.5, -0.5))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    axes.tick_params(labelsize=8, labelcolor=page.GREY, color=page.RULE, length=3)
    axes.grid(axis="x", color=page.RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("nats per image" + (", cut at the left" if cut else ""), fontsize=8.5, color=page.GREY)
    label_rows(figure, top, table)
    return figure


def bars(table: Table) -> dict[str, tuple[float, float]]:
    """Where the bar of each row begins and ends, in nats."""
    spans, end = {}, 0.0
    for name, row in table.items():
        nats = row["nats"].mean
        if name == "total":
            spans[name] = (0.0, nats)
        elif name == "overfitting":
            total = table["total"]["nats"].mean
            spans[name] = (total, total - nats)
        else:
            spans[name] = (end, end + nats)
            end += nats
    return spans


def limits(spans: dict[str, tuple[float, float]]) -> tuple[float, float, bool]:
    """The limits of the axis, and whether the first bar is cut.

    The axis begins at zero or, where the first bar is much longer than all that follows, shortly before its end.
    """
    ends = np.array([end for _, end in spans.values()])
    rest = ends.max() - ends.min()
    cut = abs(ends[0]) > CUT * rest
    low = ends.min() - 0.3 * rest if cut else min(0.0, ends.min())
    high = ends.max() if cut else max(0.0, ends.max())
    return low, high + 0.03 * (high - low or 1), cut


def mark_cut(axes: Axes, limits: tuple[float, float], row: int) -> None:
    """Draw two white strokes through a bar that is cut at the left."""
    low, high = limits
    for place in (0.035, 0.05):
        x = low + place * (high - low)
        slant = 0.008 * (high - low)
        axes.plot([x - slant, x + slant], [row + 0.3, row - 0.3], color="white", linewidth=1.8, zorder=3)


def label_rows(figure: Figure, top: float, table: Table) -> None:
    """Write names on the left of the bars, numbers and options on their right."""
    value, option = (page.MARGIN + LEFT + ACROSS + 28 + step for step in (74, 132))
    for left, heading in ((value - 74, "nats ± se"), (option, "attacked by")):
        page.write(figure, left, top - 14, heading, ha="left", va="baseline")
    for i, (name, row) in enumerate(table.items()):
        middle, weight = top + (i + 0.5) * ROW, "bold" if name == "total" else "normal"
        label, explanation = LABELS[name]
        page.write(figure, page.MARGIN, middle - 3, label, 9.5, color=page.INK, va="baseline", weight=weight)
        beyond = ", less that" if name == "decoder" and "noise_floor" in table else ""
        page.shrink(page.write(figure, page.MARGIN, middle + 12, explanation + beyond, 8, va="baseline"), LEFT - 8)
        mean, se = row["nats"]
        page.write(figure, value - 30, middle + 4, page.number(mean, 2), 9.5, color=page.INK, va="baseline", ha="right")
        page.write(figure, value - 30, middle + 4, f" ± {se:.2f}", 8.5, va="baseline")
        attack = page.write(figure, option, middle + 4, row.get("attacked_by", ""), 8.5, color=page.INK, va="baseline")
        page.shrink(attack, page.size(figure)[0] - option - 8)


def calibration(
    title: str, ranks: np.ndarray, dimensions: np.ndarray, coverage: Estimate, pixels: Reliability | None
) -> Figure:
    """Draw the calibration of the posterior on the left and that of the pixels, if there is one, on the right.

    ranks: the ranks of true codes among samples of q, (N, D), with one curve for each of the `dimensions` (D,)
    coverage: the share of true codes in the central 90 % of q
    """
    figure = page.page(1000 if pixels is not None else 760, page.HEADER + 436)
    caption = f"true codes in the central 90 % of q: {100 * coverage.mean:.1f} ± {100 * coverage.se:.1f} %"
    if pixels is not None:
        caption += f"     ·     expected calibration error of the pixels: {100 * pixels.error():.2f} %"
    page.title(figure, title, caption)
    draw_deviations(figure, 440 if pixels is not None else 640, ranks, dimensions)
    if pixels is not None:
        draw_reliability(figure, pixels)
    return figure


def draw_deviations(figure: Figure, width: float, ranks: np.ndarray, dimensions: np.ndarray) -> None:
    """Draw the empirical distribution function of the ranks minus the uniform one.

    The band is the one that 95 % of samples from the uniform distribution stay in, for each dimension (Dvoretzky,
    Kiefer & Wolfowitz; Massart, 1990).
    """
    heading = "simulation: the rank of the true code among draws of q(z | x)"
    axes = chart(figure, page.Area(page.MARGIN + 44, page.HEADER + 40, width, 310), heading)
    grid = np.arange(DRAWS + 1)
    uniform = (grid + 1) / (DRAWS + 1)
    deviations = np.stack(
        [np.searchsorted(np.sort(column), grid, side="right") / len(ranks) - uniform for column in ranks.T]
    )
    band = np.sqrt(np.log(2 / 0.05) / (2 * len(ranks)))
    axes.axhspan(-band, band, color=page.RULE, alpha=0.7, linewidth=0, label="95 % of calibrated ones")
    axes.axhline(0, color=page.GREY, linewidth=0.8)
    for row in deviations:
        axes.plot(uniform, row, color=VALIDATION, linewidth=1, alpha=0.6)
    worst = int(np.abs(deviations).max(1).argmax())
    axes.plot(
        uniform,
        deviations[worst],
        color=page.ACCENT,
        linewidth=1.6,
        label=f"dimension {dimensions[worst]}, the farthest",
    )
    limit = 1.25 * max(np.abs(deviations).max(), band)
    axes.set(xlim=(0, 1), ylim=(-limit, limit))
    legend_below(axes, 46, columns=2)
    axes.set_xlabel(f"rank / {DRAWS + 1}   (up, then down: q too narrow)", fontsize=8.5, color=page.GREY)
    axes.set_ylabel("cumulative share − uniform", fontsize=8.5, color=page.GREY)


def draw_reliability(figure: Figure, pixels: Reliability) -> None:
    """Draw the reliability diagram, above the number of pixels of each probability on a logarithmic scale."""
    left = page.MARGIN + 570
    heading = "decoder: share of white pixels against their probability"
    axes = chart(figure, page.Area(left, page.HEADER + 40, 370, 218), heading)
    axes.plot([0, 1], [0, 1], color=page.GREY, linewidth=0.8)
    axes.plot(pixels.predicted, pixels.observed, "o-", color=VALIDATION, markersize=4, linewidth=1.2)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticklabels=[])
    axes.set_ylabel("observed", fontsize=8.5, color=page.GREY)
    below = chart(figure, page.Area(left, page.HEADER + 282, 370, 68), "")
    below.bar(pixels.predicted, pixels.pixels, width=0.03, color=VALIDATION, log=True)
    below.minorticks_off()
    below.set(xlim=(0, 1))
    below.set_xlabel("predicted probability", fontsize=8.5, color=page.GREY)
    below.set_ylabel("pixels", fontsize=8.5, color=page.GREY)
