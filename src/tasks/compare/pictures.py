"""A picture of two runs: their numbers, the options that differ, and the differences of the images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from src.figures import page
from src.figures.curves import VALIDATION, chart
from src.figures.histogram import clip, counts_beyond, edges, mark
from src.support.statistics import Estimate

Table = dict[str, dict[str, Any]]
TERMS = {"elbo": "ELBO", "recon": "reconstruction", "kl": "KL"}
LINE, MOST, LONGEST = 21, 14, 26  # pixels between lines; options shown; characters of a value
COLUMNS = (0, 190, 330, 470)
LEAST = 1e-3  # nats: half the width of the histogram, at least
CENTRAL = 99  # percent of the images inside the histogram's axis


def differences(
    title: str, caption: str, numbers: Table, options: dict[str, tuple[str, str]], elbo: np.ndarray
) -> Figure:
    """Draw two tables, of numbers and of the options that differ, and a histogram of differences of the ELBO.

    numbers: rows elbo, recon and kl, with columns run, other and difference
    options: the two values of each option that differs; elbo: the difference of the ELBO of each image, (N,)
    """
    listed = list(options.items())[:MOST]
    height = max(360, page.HEADER + 150 + LINE * (len(listed) + 3))
    figure = page.page(1080, height)
    page.title(figure, title, caption)
    lines = [
        (
            name,
            page.number(numbers[key]["run"], 2),
            page.number(numbers[key]["other"], 2),
            difference_text(numbers[key]["difference"]),
        )
        for key, name in TERMS.items()
    ]
    table(figure, page.HEADER + 14, ("nats per image", "run", "other", "run − other"), lines)
    lines = [(name, shorten(one), shorten(two), "") for name, (one, two) in listed]
    if len(options) > MOST:
        lines.append((f"… and {len(options) - MOST} more: options.txt", "", "", ""))
    heading = "options that differ" if options else "no option differs"
    table(figure, page.HEADER + 134, (heading, "run", "other", "") if options else (heading, "", "", ""), lines)
    histogram(figure, page.Area(720, page.HEADER + 40, 320, height - page.HEADER - 110), elbo)
    return figure


def difference_text(difference: Estimate) -> str:
    """A difference with its sign and, for two images or more, its standard error."""
    value, error = difference
    return f"{'+' if value > 0 else ''}{page.number(value, 2)}" + ("" if error is None else f" ± {error:.2f}")


def table(figure: Figure, top: float, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Write lines of text in columns, under their headings and a rule."""
    for place, head in zip(COLUMNS, heads, strict=True):
        page.write(figure, page.MARGIN + place, top + 13, head, va="baseline")
    page.band(figure, page.Area(page.MARGIN, top + LINE - 2, COLUMNS[-1] + 120, 1), page.RULE)
    for i, line in enumerate(lines):
        for place, text in zip(COLUMNS, line, strict=True):
            page.write(figure, page.MARGIN + place, top + 18 + LINE * (i + 1), text, color=page.INK, va="baseline")


def shorten(value: str) -> str:
    """Cut a long value to its end, which is more informative than its beginning."""
    return value if len(value) <= LONGEST else f"…{value[1 - LONGEST :]}"


def histogram(figure: Figure, area: page.Area, elbo: np.ndarray) -> None:
    """Draw a histogram of the differences; hatched bins hold the values beyond the axis, which the note counts."""
    share = 100 * (elbo > 0).mean()
    axes = chart(figure, area, f"of each image: run better for {share:.0f} % of them")
    limit = max(np.percentile(np.abs(elbo[np.isfinite(elbo)]), CENTRAL), LEAST) if np.isfinite(elbo).any() else 1.0
    bins = edges(-limit, limit, 41, elbo)
    axes.hist(clip(elbo, bins), bins, color=VALIDATION)
    axes.axvline(0, color=page.GREY, linewidth=0.8)
    axes.axvline(elbo.mean(), color=page.ACCENT, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.set_xlabel("ELBO of run − ELBO of other, nats (dashed: their mean)", fontsize=8.5, color=page.GREY)
    axes.set_ylabel("images", fontsize=8.5, color=page.GREY)
    mark(axes, -limit, limit, bins)
    for x, side, text in zip((0.01, 0.99), ("left", "right"), counts_beyond(elbo, -limit, limit), strict=True):
        axes.text(x, 0.98, text, transform=axes.transAxes, fontsize=8, color=page.GREY, ha=side, va="top")
