"""The latent space: the t-SNE of the posterior means, and two of their dimensions with contours of the prior.

Each figure has a compact form, for animations: it stays legible where a page shows it 420 pixels wide.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from src.figures import page
from src.figures.embedding import NEIGHBOURS, knn_accuracy, neighbour_overlap, neighbours
from src.figures.moments import Moment, blend, progress
from src.figures.points import WIDE, enclose, legend, name_classes, note_on_names, scatter
from src.run.trace import Trace

SIDE, COMPACT, COLUMN, GUTTER = 560, 480, 226, 28  # pixels: side of the panel, also in the compact form; text beside it
LEGEND = 46  # height of a legend beneath the panel
AXIS = 34  # pixels left of the panel, for the ticks of an axis
TOP = page.HEADER + 6
MIN_ROW = 12  # pixels of the page: the lowest row of a class that is named
CIRCLES = {0.5: 1.177, 0.9: 2.146, 0.99: 3.035}  # mass of N(0, I) in the plane: radius, sqrt(-2 log(1 - mass))
INTERVALS = {0.5: 0.674, 0.9: 1.645, 0.99: 2.576}  # mass of N(0, 1) on the line: half the width

Show = Callable[[Moment], None]


def tsne(trace: Trace, planes: dict[int, np.ndarray], pixels: np.ndarray, compact: bool = False) -> tuple[Figure, Show]:
    """The t-SNE of the codes, and a function that shows a moment.

    Args:
        trace: the trace of the training.
        planes: by frame, the embedded codes (P, 2), scaled alike.
        pixels: the embedded raw pixels (P, 2), scaled likewise.
        compact: leaves out the raw pixels.
    """
    labels, raw = trace.fixed["labels"], trace.fixed["pixels"]
    of_pixels = accuracy_text(neighbours(raw.reshape(len(raw), -1)), labels)
    figure, side = panel_page(compact)
    head = page.header(figure, trace)
    axes = page.box(figure, page.Area(page.MARGIN, TOP, side, side), frame=True)
    enclose(axes, np.concatenate(list(planes.values())))
    move = moving_points(axes, trace, planes)
    page.write(
        figure, page.MARGIN + 12, TOP + 10, f"t-SNE of the posterior means{trace.level_note}", animated=True
    )  # over the points

    if compact:
        names = (f"10-NN accuracy (raw pixels: {of_pixels})", "neighbours kept", "active units")
        legend(figure, page.Area(page.MARGIN, TOP + side + 12, side, LEGEND), trace.fixed["classes"], WIDE)
        numbers = page.facts(figure, [(page.MARGIN + x, TOP + side + 12 + LEGEND) for x in (0, 250, 380)], names)
        compact_note(figure, page.MARGIN, TOP + side + 64 + LEGEND, note_on_names(labels))
    else:
        left = page.MARGIN + SIDE + GUTTER
        names = ("10-NN accuracy among these codes", "neighbours kept by the plane", "active units")
        numbers = page.facts(figure, [(left, TOP - 2 + 48 * i) for i in range(3)], names)
        legend(figure, page.Area(left, TOP + 158, COLUMN, SIDE - COLUMN - 206), trace.fixed["classes"])
        _draw_raw_pixels(figure, left, trace, pixels, of_pixels)

    @cache
    def texts(frame: int) -> tuple[str, str, str]:
        near = neighbours(trace.frames["codes"][frame])
        overlap = neighbour_overlap(near, neighbours(planes[frame]))
        return accuracy_text(near, labels), f"{overlap:.2f}", active_text(trace, frame)

    def show(moment: Moment) -> None:
        move(moment)
        for number, text in zip(numbers, texts(moment.frame), strict=True):
            number.set_text(text)
        head(*progress(trace, moment))

    return figure, show


def panel_page(compact: bool, axis: int = 0, legend_height: int = LEGEND) -> tuple[Figure, int]:
    """A page for a square panel, with text beside it or, if `compact`, beneath it; and the side of the panel.

    axis: pixels left of the panel and beneath it; legend_height: pixels for a legend beneath it, if `compact`
    """
    if compact:
        beneath = axis + legend_height + (124 if axis else 100)
        return page.page(2 * page.MARGIN + axis + COMPACT, TOP + COMPACT + beneath), COMPACT
    return page.page(2 * page.MARGIN + axis + SIDE + GUTTER + COLUMN, TOP + SIDE + (60 if axis else 28)), SIDE


def compact_note(figure: Figure, left: float, top: float, note: str) -> Text:
    """Write beneath a compact figure what an animation does between epochs, after `note`."""
    text = f"{note} Between the recorded epochs, positions are interpolated.".strip()
    return page.fit(page.write(figure, left, top, text, points=9), page.size(figure)[0] - left - page.MARGIN, 40)


def moving_points(axes: Axes, trace: Trace, planes: Mapping[int, np.ndarray]) -> Show:
    """Draw the points of the validation images, and the names of their classes, and return a function that moves them.

    planes: by frame, the places (P, 2) of the points. The limits of the axes must be set.
    """
    labels, classes = trace.fixed["labels"], trace.fixed["classes"]
    points = scatter(axes, labels, len(classes))
    points.set_animated(True)
    names, places = name_classes(axes, labels, classes, planes, points=10.5)

    def move(moment: Moment) -> None:
        points.set_offsets(between(planes.__getitem__, moment))
        for name, place in zip(names, between(places, moment), strict=True):
            name.set_position(place)

    return move


def between(values: Callable[[int], np.ndarray], moment: Moment) -> np.ndarray:
    """The value of a moment, between those of its two frames."""
    if not moment.share:
        return values(moment.frame)
    return (1 - moment.share) * values(moment.frame) + moment.share * values(moment.following)


def _draw_raw_pixels(figure: Figure, left: float, trace: Trace, plane: np.ndarray, accuracy: str) -> None:
    top = TOP + SIDE - COLUMN
    kind = "binary" if "originals" in trace.fixed else "raw"
    page.write(figure, left, top - 40, f"For comparison, t-SNE of the {kind}\npixels: 10-NN accuracy {accuracy}")
    axes = page.box(figure, page.Area(left, top, COLUMN, COLUMN), frame=True)
    scatter(axes, trace.fixed["labels"], len(trace.fixed["classes"]), area=4).set_offsets(plane)
    enclose(axes, plane)


def plane(trace: Trace, frames: Sequence[int], compact: bool = False) -> tuple[Figure, Show]:
    """The codes in two latent dimensions, with limits that suit all of `frames`, and a function that shows a moment.

    The two dimensions are those with the largest KL at the last of `frames`. A single latent dimension is the
    horizontal axis, with the classes one above the other.
    """
    codes, labels, classes = trace.frames["codes"], trace.fixed["labels"], trace.fixed["classes"]
    dimensions = most_active(trace, frames[-1])
    legend_height = LEGEND if len(dimensions) == 2 else 0
    figure, side = panel_page(compact, AXIS, legend_height)
    head = page.header(figure, trace)
    axes = page.box(figure, page.Area(page.MARGIN + AXIS, TOP, side, side), frame=True)
    limit = plane_limit(np.abs(codes[frames][..., dimensions]))
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(8, steps=(1, 2, 5, 10)))
    axes.tick_params(labelsize=8, labelcolor=page.GREY, color=page.RULE, length=3)

    middle, bottom = page.MARGIN + AXIS + side / 2, TOP + side
    options = {"color": page.INK, "animated": True}
    titles = [
        page.write(figure, middle, bottom + 22, "", ha="center", **options),
        page.write(figure, page.MARGIN + 2, bottom - side / 2, "", rotation=90, ha="right", va="center", **options),
    ]
    move, note = _points_of_codes(axes, trace, frames, dimensions)
    prior_note, show_prior = _draw_prior(axes, trace, dimensions)
    note = f"Posterior means{trace.level_note}. {prior_note} {note}".strip()
    left = page.MARGIN + AXIS + SIDE + GUTTER
    names = ("10-NN accuracy among these codes", "active units")
    if len(dimensions) == 2 and compact:
        legend(figure, page.Area(page.MARGIN + AXIS, bottom + 46, side, LEGEND), classes, WIDE)
    elif len(dimensions) == 2:
        legend(figure, page.Area(left, TOP + 112, COLUMN, SIDE - 190), classes)
    red = {"points": 8.5, "color": page.ACCENT, "animated": True}
    if compact:
        below = bottom + 44 + legend_height
        numbers = page.facts(figure, [(page.MARGIN + AXIS + x, below) for x in (0, 250)], names)
        compact_note(figure, page.MARGIN + AXIS, below + 52, note)
        outside = page.write(figure, page.size(figure)[0] - page.MARGIN, 46, "", ha="right", **red)
    else:
        numbers = page.facts(figure, [(left, TOP - 2 + 48 * i) for i in range(2)], names)
        page.fit(page.write(figure, left, TOP + SIDE - 50, note, points=8.5), COLUMN, 68)
        outside = page.write(figure, left, TOP + SIDE - 68, "", **red)

    @cache
    def texts(frame: int) -> tuple[str, str]:
        return accuracy_text(neighbours(codes[frame]), labels), active_text(trace, frame)

    def show(moment: Moment) -> None:
        show_prior(moment)
        move(moment)
        for title, dimension in zip(titles, dimensions, strict=False):
            title.set_text(_name(trace, moment.frame, dimension))
        beyond = int((np.abs(codes[moment.frame][:, dimensions]) > limit).any(1).sum())
        outside.set_text(f"{beyond:,} of {len(labels):,} outside of the frame" if beyond else "")
        for number, text in zip(numbers, texts(moment.frame), strict=True):
            number.set_text(text)
        head(*progress(trace, moment))

    return figure, show


def plane_limit(distances: np.ndarray) -> float:
    """How far the axes of the plane reach, for the distances (F, P, D) of codes from the origin in each dimension.

    A few points of the first epochs, or of the last if they are far away, may be outside: limits that include them
    would shrink the rest.
    """
    most, last = np.percentile(distances, 99), distances[-1].max()
    return float(max(3.4, 1.05 * (last if last < 1.4 * most else most)))


def _points_of_codes(axes: Axes, trace: Trace, frames: Sequence[int], dimensions: Sequence[int]) -> tuple[Show, str]:
    """Draw the points of codes in one or two dimensions; a function that moves them, and a note on names left out."""
    codes, labels, classes = trace.frames["codes"], trace.fixed["labels"], trace.fixed["classes"]
    if len(dimensions) == 2:
        places = {int(frame): codes[frame][:, dimensions] for frame in frames}
        return moving_points(axes, trace, places), note_on_names(labels)
    points = scatter(axes, labels, len(classes))
    points.set_animated(True)
    note = _name_rows(axes, classes)
    rows = labels + np.random.default_rng(0).uniform(-0.3, 0.3, len(labels))
    return lambda moment: points.set_offsets(np.column_stack([blend(codes, moment)[:, 0], rows])), note


def accuracy_text(near: np.ndarray, labels: np.ndarray) -> str:
    """The accuracy of the vote of neighbours as text; a dash where it says nothing: of a single class, or of so few
    images that the neighbours are of other classes in any case."""
    count = len(np.unique(labels))
    return f"{knn_accuracy(near, labels):.2f}" if count > 1 and len(labels) > NEIGHBOURS * count else "–"


def active_text(trace: Trace, frame: int) -> str:
    """The active units at the epoch of a frame as text, counted on all validation images, not on the drawn ones."""
    active = trace.epochs["val/active_units"][page.row(trace, trace.frames["epoch"][frame])]
    return f"{active:.0f} of {trace.fixed.get('latent_dim', trace.frames['codes'].shape[2])}"


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


def _draw_prior(axes: Axes, trace: Trace, dimensions: Sequence[int]) -> tuple[str, Show]:
    """Draw the contours of N(0, I), or prepare draws from another prior.

    Returns a note on them, and a function that shows a moment.
    """
    if "prior_codes" not in trace.frames:
        (_draw_circles if len(dimensions) == 2 else _draw_intervals)(axes)
        note = "The dashed lines hold 50, 90 and 99 % of N(0, 1), the standard normal prior."
        return note, lambda moment: None
    recorded = trace.frames["prior_codes"]
    crosses = axes.scatter(
        [], [], s=16, marker="+", color=page.GREY, alpha=0.5, linewidths=0.7, zorder=0.5, animated=True
    )
    low, high = axes.get_ylim()
    heights = np.random.default_rng(1).uniform(low, high, recorded.shape[1])

    def show(moment: Moment) -> None:
        draws = blend(recorded, moment)[:, dimensions]
        crosses.set_offsets(draws if len(dimensions) == 2 else np.column_stack([draws, heights]))

    moves = not (recorded == recorded[:1]).all()  # the noise is the same at each frame
    return "The crosses are draws from the prior" + (", which is learned and moves." if moves else "."), show


def _draw_circles(axes: Axes) -> None:
    for mass, radius in CIRCLES.items():
        axes.add_patch(Circle((0, 0), radius, fill=False, **_DASHED))
        at = radius * np.sqrt(0.5)
        axes.text(at, -at, f"{mass:.0%}", ha="center", va="center", bbox=_PATCH, **_SMALL)


def _name_rows(axes: Axes, classes: np.ndarray) -> str:
    """Write the name of each class at its row, where rows are high enough; a note where they are not."""
    axes.set(ylim=(-0.6, len(classes) + 0.1), yticks=[])
    if axes.bbox.height / (len(classes) + 0.7) < MIN_ROW:
        return f"The rows of {len(classes)} classes are too low for names."
    for i, name in enumerate(classes):
        axes.text(0.015, i + 0.4, name, transform=axes.get_yaxis_transform(), va="center", **_SMALL)
    return ""


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
