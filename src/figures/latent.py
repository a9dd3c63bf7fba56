"""The latent space: the t-SNE of the posterior means, and two of their dimensions with contours of the prior."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from src.figures import page
from src.figures.embedding import knn_accuracy, neighbour_overlap, neighbours
from src.run.trace import Trace

SIDE, COLUMN, GUTTER = 560, 226, 28
TOP = page.HEADER + 6
CIRCLES = {0.5: 1.177, 0.9: 2.146, 0.99: 3.035}  # mass of N(0, I) in the plane: radius, sqrt(-2 log(1 - mass))
INTERVALS = {0.5: 0.674, 0.9: 1.645, 0.99: 2.576}  # mass of N(0, 1) on the line: half the width


def tsne(trace: Trace, planes: dict[int, np.ndarray], pixels: np.ndarray) -> tuple[Figure, Callable[[int], None]]:
    """The t-SNE of the codes, and a function that shows a frame.

    Args:
        trace: the trace of the training.
        planes: by frame, the embedded codes (P, 2), scaled alike.
        pixels: the embedded raw pixels (P, 2), scaled likewise.
    """
    labels = trace.fixed["labels"]
    figure = page.page(page.MARGIN + SIDE + GUTTER + COLUMN + page.MARGIN, TOP + SIDE + page.MARGIN)
    head = page.header(figure, trace)
    axes = page.box(figure, page.Area(page.MARGIN, TOP, SIDE, SIDE), frame=True)
    points = scatter(axes, trace)
    points.set_animated(True)
    _enclose(axes, np.concatenate(list(planes.values())))
    page.write(figure, page.MARGIN + 12, TOP + 10, "t-SNE of the posterior means", animated=True)  # over the points

    left = page.MARGIN + SIDE + GUTTER
    names = ("10-NN accuracy among these codes", "neighbours kept by the plane", "active units")
    accuracy, overlap, active = facts(figure, left, names)
    legend(figure, left, TOP + 158, trace.fixed["classes"])
    _draw_raw_pixels(figure, left, trace, pixels)

    def show(frame: int) -> None:
        codes = trace.frames["codes"][frame]
        points.set_offsets(planes[frame])
        near = neighbours(codes)
        accuracy.set_text(accuracy_text(near, labels))
        overlap.set_text(f"{neighbour_overlap(near, neighbours(planes[frame])):.2f}")
        active.set_text(active_text(trace, frame))
        head(trace.frames["epoch"][frame])

    return figure, show


def _draw_raw_pixels(figure: Figure, left: float, trace: Trace, plane: np.ndarray) -> None:
    raw, labels = trace.fixed["pixels"], trace.fixed["labels"]
    accuracy = accuracy_text(neighbours(raw.reshape(len(raw), -1)), labels)
    top = TOP + SIDE - COLUMN
    page.write(figure, left, top - 40, f"For comparison, t-SNE of the raw\npixels: 10-NN accuracy {accuracy}")
    axes = page.box(figure, page.Area(left, top, COLUMN, COLUMN), frame=True)
    scatter(axes, trace, area=4).set_offsets(plane)
    _enclose(axes, plane)


def _enclose(axes: Axes, positions: np.ndarray) -> None:
    """Set square limits around all `positions` (N, 2)."""
    low, high = positions.min(0), positions.max(0)
    half = 0.525 * max((high - low).max(), 1e-6)
    (x, y) = (low + high) / 2
    axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half))


def plane(trace: Trace, frames: Sequence[int]) -> tuple[Figure, Callable[[int], None]]:
    """The codes in two latent dimensions, with limits that suit all of `frames`, and a function that shows a frame.

    The two dimensions are those with the largest KL at the last of `frames`. A single latent dimension is the
    horizontal axis, with the classes one above the other.
    """
    codes, labels, classes = trace.frames["codes"], trace.fixed["labels"], trace.fixed["classes"]
    dimensions = most_active(trace, frames[-1])
    figure = page.page(page.MARGIN + 34 + SIDE + GUTTER + COLUMN + page.MARGIN, TOP + SIDE + 60)
    head = page.header(figure, trace)
    axes = page.box(figure, page.Area(page.MARGIN + 34, TOP, SIDE, SIDE), frame=True)
    # a few points of the first epochs may be outside: limits that include them would shrink the rest
    limit = max(3.4, 1.05 * np.percentile(np.abs(codes[frames][..., dimensions]), 99))
    points = scatter(axes, trace)
    points.set_animated(True)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(8, steps=(1, 2, 5, 10)))
    axes.tick_params(labelsize=8, labelcolor=page.GREY, color=page.RULE, length=3)

    middle, bottom = page.MARGIN + 34 + SIDE / 2, TOP + SIDE
    options = {"color": page.INK, "animated": True}
    names = [
        page.write(figure, middle, bottom + 25, "", ha="center", **options),
        page.write(figure, page.MARGIN + 2, bottom - SIDE / 2, "", rotation=90, ha="right", va="center", **options),
    ]
    left = page.MARGIN + 34 + SIDE + GUTTER
    accuracy, active = facts(figure, left, ("10-NN accuracy among these codes", "active units"))
    if len(dimensions) == 2:
        legend(figure, left, TOP + 112, classes)
    else:
        rows = labels + np.random.default_rng(0).uniform(-0.3, 0.3, len(labels))
        _name_rows(axes, classes)
    note, show_prior = _draw_prior(axes, trace, dimensions)
    page.write(figure, left, TOP + SIDE - 50, f"Posterior means. {note}", points=8.5)
    outside = page.write(figure, left, TOP + SIDE - 66, "", points=8.5, color=page.ACCENT, animated=True)

    def show(frame: int) -> None:
        positions = codes[frame][:, dimensions]
        show_prior(frame)
        points.set_offsets(positions if len(dimensions) == 2 else np.column_stack([positions, rows]))
        for name, dimension in zip(names, dimensions, strict=False):
            name.set_text(_name(trace, frame, dimension))
        beyond = int((np.abs(positions) > limit).any(1).sum())
        outside.set_text(f"{beyond:,} of {len(positions):,} outside of the frame" if beyond else "")
        accuracy.set_text(accuracy_text(neighbours(codes[frame]), labels))
        active.set_text(active_text(trace, frame))
        head(trace.frames["epoch"][frame])

    return figure, show


def accuracy_text(near: np.ndarray, labels: np.ndarray) -> str:
    """The accuracy of the vote of neighbours as text; a dash for a single class, which has no accuracy."""
    return f"{knn_accuracy(near, labels):.2f}" if np.ptp(labels) else "–"


def active_text(trace: Trace, frame: int) -> str:
    """The active units at the epoch of a frame as text, counted on all validation images, not on the drawn ones."""
    active = trace.epochs["val/active_units"][page.row(trace, trace.frames["epoch"][frame])]
    return f"{active:.0f} of {trace.frames['codes'].shape[2]}"


def most_active(trace: Trace, frame: int) -> list[int]:
    """The two dimensions (or the only one) with the largest KL at `frame`, in ascending order.

    A posterior whose KL does not factorise has no KL per dimension; the variance of its means decides instead.
    """
    if "val/kl_per_dim" in trace.epochs:
        activity = trace.epochs["val/kl_per_dim"][page.row(trace, trace.frames["epoch"][frame])]
    else:
        activity = trace.frames["codes"][frame].var(0)
    return sorted(np.argsort(-activity, kind="stable")[:2].tolist())


def _name(trace: Trace, frame: int, dimension: int) -> str:
    if "val/kl_per_dim" not in trace.epochs:
        return f"dimension {dimension}"
    kl = trace.epochs["val/kl_per_dim"][page.row(trace, trace.frames["epoch"][frame]), dimension]
    return f"dimension {dimension} · KL {page.number(kl, 2)} nats"


def _draw_prior(axes: Axes, trace: Trace, dimensions: Sequence[int]) -> tuple[str, Callable[[int], None]]:
    """Draw the contours of N(0, I), or prepare draws from a learned prior.

    Returns a note on them, and a function that shows a frame.
    """
    if "prior_codes" not in trace.frames:
        (_draw_circles if len(dimensions) == 2 else _draw_intervals)(axes)
        return "The dashed lines\nhold 50, 90 and 99 % of N(0, 1),\nthe standard normal prior.", lambda frame: None
    learned = trace.frames["prior_codes"]
    crosses = axes.scatter(
        [], [], s=16, marker="+", color=page.GREY, alpha=0.5, linewidths=0.7, zorder=0.5, animated=True
    )
    low, high = axes.get_ylim()
    heights = np.random.default_rng(1).uniform(low, high, learned.shape[1])

    def show(frame: int) -> None:
        draws = learned[frame][:, dimensions]
        crosses.set_offsets(draws if len(dimensions) == 2 else np.column_stack([draws, heights]))

    moves = not (learned == learned[:1]).all()  # the noise is the same at each frame
    return "The crosses\nare draws from the prior" + (", which is\nlearned and moves." if moves else "."), show


def _draw_circles(axes: Axes) -> None:
    for mass, radius in CIRCLES.items():
        axes.add_patch(Circle((0, 0), radius, fill=False, **_DASHED))
        at = radius * np.sqrt(0.5)
        axes.text(at, -at, f"{mass:.0%}", ha="center", va="center", bbox=_PATCH, **_SMALL)


def _name_rows(axes: Axes, classes: np.ndarray) -> None:
    axes.set(ylim=(-0.6, len(classes) + 0.1), yticks=[])
    for i, name in enumerate(classes):
        axes.text(0.015, i + 0.4, name, transform=axes.get_yaxis_transform(), va="center", **_SMALL)


def _draw_intervals(axes: Axes) -> None:
    top = axes.get_ylim()[1]
    for mass, half in INTERVALS.items():
        axes.axvline(-half, **_DASHED)
        axes.axvline(half, **_DASHED)
        axes.text(half, top - 0.3, f"{mass:.0%}", ha="center", bbox=_PATCH, **_SMALL)


# artists over the points must be drawn after them at every frame, so they are animated too
_SMALL = {"fontsize": 7.5, "color": page.GREY, "animated": True}
_DASHED = {"color": page.GREY, "linewidth": 0.9, "linestyle": (0, (4, 3)), "zorder": 3, "animated": True}
_PATCH = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}


def scatter(axes: Axes, trace: Trace, area: float = 11) -> PathCollection:
    """Draw a dot for each label in the colour of its class, all at the origin."""
    labels = trace.fixed["labels"]
    colours = np.array(page.class_colours(len(trace.fixed["classes"])))[labels]
    return axes.scatter(*np.zeros((2, len(labels))), s=area, c=colours, linewidths=0, alpha=0.85)


def facts(figure: Figure, left: float, names: Sequence[str]) -> list[Text]:
    """Write `names` down the column, and return the empty text of a large number over each of them."""
    numbers = []
    for i, name in enumerate(names):
        top = TOP - 2 + 48 * i
        numbers.append(page.write(figure, left, top, "", points=13, color=page.INK, weight="bold", animated=True))
        page.write(figure, left, top + 23, name, points=8.5)
    return numbers


def legend(figure: Figure, left: float, top: float, classes: np.ndarray) -> None:
    """Write the names of the classes with their colours, in columns."""
    columns = max(2, -(-len(classes) // 7))
    rows = -(-len(classes) // columns)
    for i, (name, colour) in enumerate(zip(classes, page.class_colours(len(classes)), strict=True)):
        across, down = left + i // rows * COLUMN / columns, top + i % rows * 22
        page.write(figure, across, down, "●", points=8.5, color=colour)
        page.write(figure, across + 17, down, str(name), points=8.5, color=page.INK)
