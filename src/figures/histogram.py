"""Histograms of scores with outliers: what lies beyond the axis falls into a hatched bin at its end, and is counted."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from src.figures import page

SHARES = (0.005, 0.995)  # of a set, between which it lies for the most part
REACH, NEAR = 4, 0.25  # ranges of the first set that the others may widen the axis by; and all its tails


def span(first: np.ndarray, *others: np.ndarray) -> tuple[float, float]:
    """An axis for the middle 99 % of each set (N,), but at most REACH ranges of the first beyond that, and for the
    tails that end soon after. What is not finite has no place on it."""
    known = [values[np.isfinite(values)] for values in (first, *others)]
    known = [values for values in known if len(values)]
    if not known:
        return 0.0, 1.0
    low, high = np.quantile(known[0], SHARES)
    reach = REACH * (high - low) or np.inf
    for values in known[1:]:
        left, right = np.quantile(values, SHARES)
        low, high = min(low, max(left, low - reach)), max(high, min(right, high + reach))
    margin, together = NEAR * (high - low), np.concatenate(known)
    near = together[(together >= low - margin) & (together <= high + margin)]
    low, high = (near.min(), near.max()) if len(near) else (low, high)
    return float(low), float(high if high > low else low + 1)


def edges(low: float, high: float, bins: int, *sets: np.ndarray) -> np.ndarray:
    """The edges of so many bins from `low` to `high`, and of one more at an end that values of the sets lie beyond."""
    width, together = (high - low) / bins, np.concatenate(sets)
    below = [low - width] if (together < low).any() else []
    above = [high + width] if exceeds(together, high).any() else []
    return np.concatenate([below, np.linspace(low, high, bins + 1), above])


def exceeds(values: np.ndarray, high: float) -> np.ndarray:
    """Which values lie beyond the upper end: NaN does too."""
    return ~(values <= high)


def clipped(values: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """The values, those beyond the axis in its outermost bin."""
    return np.where(np.isnan(values), np.inf, values).clip(bins[0], bins[-1])


def mark(axes: Axes, low: float, high: float, bins: np.ndarray) -> None:
    """Sets the axis' limits, and hatches the bins beyond `low` and `high`."""
    axes.set_xlim(bins[0], bins[-1])
    for begin, end in ((bins[0], low), (high, bins[-1])):
        if end > begin:
            axes.axvspan(begin, end, facecolor="none", edgecolor=page.GREY, hatch="/////", linewidth=0, alpha=0.5)
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    axes.set_xticks(ticks)


def beyond(values: np.ndarray, low: float, high: float) -> tuple[str, str]:
    """How many of the values lie beyond each end of the axis, and the farthest: "◂ 2 down to −310" and
    "3 up to 1,738, 5 ∞ ▸", where ∞ counts what is no finite number; empty where there is none."""
    below, above = values[values < low], values[exceeds(values, high)]
    infinite = int((~np.isfinite(above)).sum())
    above = above[np.isfinite(above)]
    words = [f"{len(above):,} up to {short(above.max())}"] if len(above) else []
    words += [f"{infinite:,} ∞"] if infinite else []
    return (
        f"◂ {len(below):,} down to {short(below.min())}" if len(below) else "",
        f"{', '.join(words)} ▸" if words else "",
    )


def short(value: float) -> str:
    """A number in a few characters."""
    digits = f"{value:,.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"
    return digits.replace("-", "\N{MINUS SIGN}")


def note(axes: Axes, rows: Sequence[tuple[np.ndarray, str]], low: float, high: float) -> None:
    """Writes beneath the axis what lies beyond it of each of `rows`, values and their colour."""
    height = axes.bbox.height
    for i, (values, colour) in enumerate(rows):
        for x, side, words in zip((0, 1), ("left", "right"), beyond(values, low, high), strict=True):
            options = {"transform": axes.transAxes, "fontsize": 7, "color": colour, "ha": side, "va": "top"}
            axes.text(x, -(20 + 11 * i) / height, words, **options)
