"""Two runs beside each other: their numbers, their options, and how the difference spreads over the images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from src.figures import page
from src.figures.curves import VALIDATION, chart
from src.figures.histogram import clip, counts_beyond, edges, mark

TERMS = {"elbo": "ELBO", "recon": "reconstruction", "kl": "KL"}
LINE, MOST, LONGEST = 21, 14, 26  # pixels between lines; options shown; characters of a value
COLUMNS = (0, 190, 330, 470)
CENTRAL = 99  # percent of the images inside the histogram's axis


def differences(
    title: str, caption: str, numbers: dict[str, Any], options: dict[str, tuple[str, str]], elbo: np.ndarray
) -> Figure:
    """A table of `numbers` (`elbo/run`, `elbo/other`, `elbo/difference`, ...) over that of the `options` that differ,
    and a histogram of the differences of the images' ELBO (N,)."""
    shown = list(options.items())[:MOST]
    height = max(360, page.HEADER + 150 + LINE * (len(shown) + 3))
    figure = page.page(1080, height)
    page.title(figure, title, caption)
    lines = [
        (name, *(page.number(numbers[f"{key}/{who}"], 2) for who in ("run", "other")), paired(numbers, key))
        for key, name in TERMS.items()
    ]
    table(figure, page.HEADER + 14, ("nats per image", "run", "other", "run − other"), lines)
    words = [(name, cut(one), cut(two), "") for name, (one, two) in shown]
    if len(options) > MOST:
        words.append((f"… and {len(options) - MOST} more: options.txt", "", "", ""))
    heading = "options that differ" if options else "no option differs"
    table(figure, page.HEADER + 134, (heading, "run", "other", "") if options else (heading, "", "", ""), words)
    histogram(figure, page.Area(720, page.HEADER + 40, 320, height - page.HEADER - 110), elbo)
    return figure


def paired(numbers: dict[str, Any], key: str) -> str:
    """The difference with its sign and, of two images or more, its standard error."""
    value, error = numbers[f"{key}/difference"], numbers.get(f"{key}/difference_se")
    return f"{'+' if value > 0 else ''}{page.number(value, 2)}" + ("" if error is None else f" ± {error:.2f}")


def table(figure: Figure, top: float, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Lines of words in columns, under their heads and a rule."""
    for place, head in zip(COLUMNS, heads, strict=True):
        page.write(figure, page.MARGIN + place, top + 13, head, va="baseline")
    page.band(figure, page.Area(page.MARGIN, top + LINE - 2, COLUMNS[-1] + 120, 1), page.RULE)
    for i, line in enumerate(lines):
        for place, word in zip(COLUMNS, line, strict=True):
            page.write(figure, page.MARGIN + place, top + 18 + LINE * (i + 1), word, color=page.INK, va="baseline")


def cut(words: str) -> str:
    """The end of a long value, which tells more than its beginning."""
    return words if len(words) <= LONGEST else f"…{words[1 - LONGEST :]}"


def histogram(figure: Figure, area: page.Area, elbo: np.ndarray) -> None:
    """How the differences spread; the hatched bins hold what lies beyond the axis, which the note counts."""
    share = 100 * (elbo > 0).mean()
    axes = chart(figure, area, f"of each image: run better for {share:.0f} % of them")
    limit = max(np.percentile(np.abs(elbo[np.isfinite(elbo)]), CENTRAL), 1e-6) if np.isfinite(elbo).any() else 1.0
    bins = edges(-limit, limit, 41, elbo)
    axes.hist(clip(elbo, bins), bins, color=VALIDATION)
    axes.axvline(0, color=page.GREY, linewidth=0.8)
    axes.axvline(elbo.mean(), color=page.ACCENT, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.set_xlabel("ELBO of run − ELBO of other, nats (dashed: their mean)", fontsize=8.5, color=page.GREY)
    axes.set_ylabel("images", fontsize=8.5, color=page.GREY)
    mark(axes, -limit, limit, bins)
    for x, side, words in zip((0.01, 0.99), ("left", "right"), counts_beyond(elbo, -limit, limit), strict=True):
        axes.text(x, 0.98, words, transform=axes.transAxes, fontsize=8, color=page.GREY, ha=side, va="top")
