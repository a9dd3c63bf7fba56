"""Histograms of scores with outliers: values beyond the axis are counted in a hatched bin at its end."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from src.figures import page

SHARES = (0.005, 0.995)  # quantiles of a set that enclose most of it
REACH, NEAR = 4, 0.25  # how far other sets (in ranges of the first) and tails (in ranges of all) widen the axis


def span(first: np.ndarray, *others: np.ndarray) -> tuple[float, float]:
    """The limits of an axis for sets of values (N,).

    The axis covers the central 99 % of each set, but extends at most REACH ranges of the first set beyond that set. It
    also covers the values within a margin of NEAR of its range. Values that are not finite have no influence.
    """
    finite = [values[np.isfinite(values)] for values in (first, *others)]
    finite = [values for values in finite if len(values)]
    if not finite:
        return 0.0, 1.0
    low, high = np.quantile(finite[0], SHARES)
    reach = REACH * (high - low) or np.inf
    for values in finite[1:]:
        left, right = np.quantile(values, SHARES)
        low, high = min(low, max(left, low - reach)), max(high, min(right, high + reach))
    margin, together = NEAR * (high - low), np.concatenate(finite)
    near = together[(together >= low - margin) & (together <= high + margin)]
    low, high = (near.min(), near.max()) if len(near) else (low, high)
    return float(low), float(high if high > low else low + 1)


def edges(low: float, high: float, bins: int, *sets: np.ndarray) -> np.ndarray:
    """The edges of `bins` bins from `low` to `high`, and of one more at each end that some values are beyond."""
    width, together = (high - low) / bins, np.concatenate(sets)
    below = [low - width] if (together < low).any() else []
    above = [high + width] if exceeds(together, high).any() else []
    return np.concatenate([below, np.linspace(low, high, bins + 1), above])


def exceeds(values: np.ndarray, high: float) -> np.ndarray:
    """Which values are beyond the upper end; NaN counts as beyond."""
    return ~(values <= high)


def clip(values: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """The values, with those beyond the axis moved into its outermost bins."""
    return np.where(np.isnan(values), np.inf, values).clip(bins[0], bins[-1])


def mark(axes: Axes, low: float, high: float, bins: np.ndarray) -> None:
    """Set the limits of the axis, and hatch the bins beyond `low` and `high`."""
    axes.set_xlim(bins[0], bins[-1])
    for begin, end in ((bins[0], low), (high, bins[-1])):
        if end > begin:
            axes.axvspan(begin, end, facecolor="none", edgecolor=page.GREY, hatch="/////", linewidth=0, alpha=0.5)
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    axes.set_xticks(ticks)


def counts_beyond(values: np.ndarray, low: float, high: float) -> tuple[str, str]:
    """How many values are beyond each end of the axis, and the farthest of them, as text.

    For example "◂ 2 down to −310" and "3 up to 1,738, 5 ∞ ▸", where ∞ counts values that are not finite; empty where
    there are none.
    """
    below, above = values[values < low], values[exceeds(values, high)]
    infinite = int((~np.isfinite(above)).sum())
    above = above[np.isfinite(above)]
    parts = [f"{len(above):,} up to {short_number(above.max())}"] if len(above) else []
    parts += [f"{infinite:,} ∞"] if infinite else []
    return (
        f"◂ {len(below):,} down to {short_number(below.min())}" if len(below) else "",
        f"{', '.join(parts)} ▸" if parts else "",
    )


def short_number(value: float) -> str:
    """A number in a few characters."""
    digits = f"{value:,.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"
    return digits.replace("-", "\N{MINUS SIGN}")


def write_counts(axes: Axes, rows: Sequence[tuple[np.ndarray, str]], low: float, high: float) -> None:
    """Write beneath the axis how many values of each row are beyond it; a row is values and their colour."""
    height = axes.bbox.height
    for i, (values, colour) in enumerate(rows):
        for x, side, text in zip((0, 1), ("left", "right"), counts_beyond(values, low, high), strict=True):
            options = {"transform": axes.transAxes, "fontsize": 7, "color": colour, "ha": side, "va": "top"}
            axes.text(x, -(20 + 11 * i) / height, text, **options)
