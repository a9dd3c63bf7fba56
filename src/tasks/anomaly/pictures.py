"""Pictures of anomaly scores: how those of normal and other images overlap, and the images at both ends."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.figures import histogram, page
from src.figures.grids import enlargement, tile
from src.figures.look import BLUE, VERMILION

NORMAL, OTHER, TEST = BLUE, VERMILION, page.GREY  # TEST: where other images than the test images are the normal ones
LABELS = 116  # width of the labels left of the rows, in pixels of the page
WIDE, NARROW, HIGH, GAP = 300, 150, 96, 22  # chart widths of the first score and of the others, height, gap
ENDS = 8  # images drawn at each end of a set's scores
BINS = (12, 40)  # fewest and most bins; in between, the square root of the number of images

Scores = Mapping[str, Mapping[str, np.ndarray]]


def histograms(
    title: str,
    test: Mapping[str, np.ndarray],
    others: Scores,
    aurocs: Mapping[tuple[str, str], float],
    normal: Mapping[str, np.ndarray] | None = None,
    threshold: tuple[float, str] | None = None,
) -> Figure:
    """Draw the histogram of each score of each set together with that of the test images.

    There is a row for each other set, and a chart for each score.

    test: score -> values (N,); others: the same by set
    aurocs: (set, score) -> the number in the chart's corner, if there is one
    normal: score -> values (N,) of normal images that are not the test images, drawn in each row as well
    threshold: a value of the first score that is marked, and what it is
    """
    widths = [WIDE, *[NARROW] * (len(test) - 1)]
    lefts = page.MARGIN + LABELS + np.cumsum([0, *(width + GAP for width in widths[:-1])])
    step, top = HIGH + (62 if normal is None else 72), page.HEADER + (38 if normal is None else 54)
    figure = page.page(max(lefts[-1] + widths[-1], 600) + page.MARGIN, top + len(others) * step + 44)
    count = f"{len(next(iter(test.values()))):,}"
    page.title(figure, title, f"anomaly scores of {count} test images, and of others")
    colour = NORMAL if normal is None else TEST
    for row, (name, columns) in enumerate(others.items()):
        size = len(next(iter(columns.values())))
        label = "\n".join([*textwrap.wrap(display_name(page.shorten(name, 42)), 15), count_images(size)])
        label = page.write(figure, page.MARGIN, top + row * step + HIGH / 2, label, color=OTHER, va="center")
        page.shrink(label, LABELS - 8)
        for left, width, score in zip(lefts, widths, columns, strict=True):
            axes = page.box(figure, page.Area(left, top + row * step, width, HIGH))
            between = [(normal[score], NORMAL)] if normal is not None and score in normal else []
            mark = threshold[0] if threshold and left == lefts[0] else None
            draw_overlap(axes, [(test[score], colour), *between, (columns[score], OTHER)], mark)
            if (name, score) in aurocs:
                auroc = f"AUROC {aurocs[name, score]:.3f}" if width == WIDE else f"{aurocs[name, score]:.3f}"
                corner = axes.text(0.99, 0.97, auroc, transform=axes.transAxes, ha="right", va="top", fontsize=8.5)
                corner.set_bbox({"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5})
            if row == 0:
                unit = "0 to 1" if score == "mean_intensity" else "nats"
                page.write(figure, left, top - 12, f"{display_name(score)}, {unit}", color=page.INK, va="baseline")
    page.write(figure, page.MARGIN, top - 12, "test images", color=colour, va="baseline")
    if normal is not None:
        size = f"your {len(next(iter(normal.values()))):,} normal ones"
        page.write(figure, page.MARGIN, top - 28, size, color=NORMAL, va="baseline")
    legend = "hatched: beyond the axis; ◂ ▸ how many images, and the farthest score; ∞ not finite, the most anomalous"
    legend = f"dashed: {threshold[1]}; {legend}" if threshold else legend
    note = page.write(figure, page.MARGIN, top + len(others) * step, legend, points=8.5)
    page.fit(note, page.size(figure)[0] - 2 * page.MARGIN, 34)
    return figure


def count_images(size: int) -> str:
    """A number of images as text."""
    return f"{size:,} {'image' if size == 1 else 'images'}"


def draw_overlap(axes: Axes, sets: Sequence[tuple[np.ndarray, str]], threshold: float | None = None) -> None:
    """Draw histograms of sets of values in their colours, each of area one, the first of which decides the axis;
    hatched bins hold the values beyond the axis, which the notes count. A threshold on the axis is marked."""
    values = [each for each, _ in sets]
    low, high = histogram.span(*values)
    bins = histogram.edges(low, high, int(np.clip(min(map(len, values)) ** 0.5, *BINS)), *values)
    for each, colour in sets:
        options = {"density": True, "color": colour, "alpha": 0.55, "linewidth": 0, "histtype": "stepfilled"}
        axes.hist(histogram.clip(each, bins), bins, **options)
    if threshold is not None and low <= threshold <= high:
        axes.axvline(threshold, color=page.INK, linestyle="--", linewidth=1)
    axes.spines["bottom"].set(visible=True, color=page.GREY)
    axes.xaxis.set_major_locator(MaxNLocator(6 if axes.bbox.width > NARROW else 3, steps=[1, 2, 5, 10]))
    axes.tick_params(labelsize=8, labelcolor=page.GREY, color=page.RULE, length=3)
    axes.set(yticks=[])
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # leaves room for the AUROC in the corner
    histogram.mark(axes, low, high, bins)
    histogram.write_counts(axes, sets, low, high)


def extremes(title: str, score: str, sets: Mapping[str, tuple[Mapping[str, np.ndarray], np.ndarray]]) -> Figure:
    """The least and the most anomalous images of each set with their scores.

    sets: for each its images, by name rows of them (N, C, H, W) uint8, and their scores (N,)
    """
    first = next(iter(sets.values()))[0]
    images = next(iter(first.values()))
    scale = enlargement(images)
    across, down = (scale * (pixels + 1) for pixels in images.shape[:1:-1])
    down *= max(len(rows) for rows, _ in sets.values())
    step, top = down + scale + 28, page.HEADER + 34
    lefts = [page.MARGIN + LABELS, page.MARGIN + LABELS + ENDS * across + 30]
    figure = page.page(lefts[1] + ENDS * across + page.MARGIN, top + len(sets) * step + 12)
    shown = " over the ".join(name.replace("\n", " ") for name in first) if len(first) > 1 else "as the VAE sees them"
    page.title(figure, title, f"{shown}; by {display_name(score)} in nats")
    for left, heading in zip(lefts, ("the least anomalous", "the most anomalous"), strict=True):
        page.write(figure, left, top - 22, heading, color=page.INK)
    for row, (name, (rows, scores)) in enumerate(sets.items()):
        height = top + row * step
        page.write(figure, page.MARGIN, height + down / 2, display_name(name), color=page.INK, va="center")
        order = np.argsort(scores, kind="stable")
        for left, chosen in zip(lefts, (order[:ENDS], order[::-1][:ENDS]), strict=True):
            stack = np.concatenate([images[chosen] for images in rows.values()])
            page.paste(figure, left, height, tile(stack, len(chosen)), scale)
            for i, value in enumerate(scores[chosen]):
                middle = left + (i + 0.5) * across
                page.write(figure, middle, height + down + scale + 4, score_text(value), points=8.5, ha="center")
    return figure


def score_text(score: float) -> str:
    """A score in a few characters, for the place under an image."""
    if not np.isfinite(score):
        return "∞"
    return page.number(round(score, 1) + 0.0, 0 if abs(score) >= 1000 else 1)  # adding 0 makes -0.0 positive


def display_name(name: str) -> str:
    """The name of a score or set as pictures show it."""
    return name.replace("_", " ").replace("-", "\N{MINUS SIGN}")
