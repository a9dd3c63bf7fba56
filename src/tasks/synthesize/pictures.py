"""Pictures of synthetic images by class with the nearest real ones, of their distances, and of accuracies."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from src.figures import histogram, page
from src.figures.curves import chart, legend_below
from src.figures.grids import sheet
from src.figures.look import BLUE, GREEN, MARKERS, SILVER, VERMILION

ROWS, COLUMNS = 10, 12  # classes in the picture, and images of each
LONGEST = 24  # characters of a class's name
REAL, SYNTHETIC, BOTH, AUGMENTED = SILVER, VERMILION, BLUE, GREEN
ERRORS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002, 0.001)  # ticks of accuracy, less than one
LEAST = 1e-4  # an error below this is drawn as this
BINS, CENTRAL = 32, 99.5  # bins of a histogram; percent of the distances within its axis


def by_class(title: str, rows: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> Figure:
    """Two rows for each class, given as (its name, synthetic images, the training images nearest to them)."""
    lines = []
    for name, made, near in rows[:ROWS]:
        lines += [(page.shorten(name, LONGEST), made[:COLUMNS]), ("nearest", near[:COLUMNS])]
    more = f"; the first {ROWS} of {len(rows)} classes" if len(rows) > ROWS else ""
    return sheet(title, f"synthetic images of each class, over the training image nearest to each{more}", lines)


def distances(title: str, nearest: dict[str, np.ndarray]) -> Figure:
    """Draw histograms of the distances (N,) to the nearest training image.

    nearest: the distances of synthetic images, of test images, and of reconstructed test images, by name
    """
    figure = page.page(760, 450)
    page.title(figure, title, "distance to the nearest training image")
    axes = chart(figure, page.Area(page.MARGIN + 30, page.HEADER + 36, 660, 230), "share of the images, in each bin")
    together = np.concatenate(list(nearest.values()))
    low = together.min()
    high = max(np.percentile(together, CENTRAL), low + 1e-6)
    bins = histogram.edges(low, high, BINS, together)
    for (name, values), colour in zip(nearest.items(), (SYNTHETIC, REAL, BOTH), strict=True):
        median = np.median(values)
        share = np.full(len(values), 1 / len(values))
        options = {"weights": share, "color": colour}
        inside, outside = histogram.clip(values, bins), histogram.counts_beyond(values, low, high)[1]
        label = f"{name}: median {median:.2f}" + (f"\nbeyond: {outside}" if outside else "")
        axes.hist(inside, bins, alpha=0.18, **options)
        axes.hist(inside, bins, histtype="step", linewidth=1.6, label=label, **options)
        axes.axvline(median, color=colour, linewidth=1, linestyle=(0, (4, 3)))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    histogram.mark(axes, low, high, bins)
    axes.set_xlabel("Euclidean distance, intensities in [0, 1]", fontsize=8.5, color=page.GREY)
    legend_below(axes, 46, columns=len(nearest))
    return figure


def accuracies(title: str, caption: str, sizes: Sequence[int], values: dict[str, np.ndarray]) -> Figure:
    """Draw the accuracy of each contestant on test images against the number of real images.

    values: the accuracies (sizes, seeds) by contestant, drawn as means over the seeds with their standard errors
    """
    figure = page.page(760, 520)
    page.title(figure, title, caption)
    axes = chart(
        figure,
        page.Area(page.MARGIN + 40, page.HEADER + 36, 650, 310),
        "accuracy on real test images, log scale of errors",
    )
    spread = 1.03 ** (np.arange(len(values)) - (len(values) - 1) / 2)  # so that error bars do not hide each other
    lowest, highest = 1.0, 0.0
    colours = (REAL, SYNTHETIC, BOTH, AUGMENTED)
    for (name, own), colour, marker, shift in zip(values.items(), colours, MARKERS, spread, strict=False):
        mean, count = np.maximum(1 - own.mean(1), LEAST), own.shape[1]
        error = own.std(1, ddof=1) / count**0.5 if count > 1 else np.zeros(len(mean))
        bars = np.stack([mean - np.maximum(mean - error, LEAST), error])  # a logarithmic axis ends above zero
        points = {"color": colour, "marker": marker, "markersize": 5, "linewidth": 1.6, "capsize": 3, "label": name}
        axes.errorbar(np.array(sizes) * shift, mean, bars, **points)
        lowest, highest = min(lowest, (mean - bars[0]).min()), max(highest, (mean + bars[1]).max())
    axes.set(xscale="log", yscale="log", ylim=(1.3 * highest, lowest / 1.3))
    inside = [share for share in ERRORS if lowest / 1.3 < share < 1.3 * highest]
    axes.yaxis.set_major_locator(FixedLocator(inside))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticklabels([f"{100 - 100 * share:.4g} %" for share in inside])
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{size:,}" for size in sizes])
    axes.set_xlim(min(sizes) / 1.4, max(sizes) * 1.4)
    axes.set_xlabel("real images", fontsize=8.5, color=page.GREY)
    legend_below(axes, 46, columns=len(values))
    return figure
