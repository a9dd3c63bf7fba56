"""Points of classes in a plane: their colours and markers, their names where they are densest, and a legend."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from src.figures import page
from src.figures.look import INK, class_styles

NAMED = 24  # the most classes whose names are pushed apart; of more, those are written that have room
CENTRES = 500  # the most positions of a class that are tried as the centre of its densest half
FEW = 5  # images of a class on average, below which names are written above the places of their images
LONGEST = 16  # characters of a name in the plane
LENGTHS = (40, 24, 16, 10)  # characters of a name in a legend, the first of which that fits
ROW, SYMBOL = 22, 17  # pixels of the page: a row of the legend, and its symbols' column
COLUMNS = (2, 1, 3, 4)  # of a legend, the preferred number first
WIDE = (10, 13, 5, 4, 3)  # of a legend in one or two rows


def scatter(axes: Axes, labels: np.ndarray, classes: int, area: float = 11) -> PathCollection:
    """Draw a symbol for each label in the style of its class, all at the origin."""
    styles = class_styles(classes)
    points = axes.scatter(*np.zeros((2, len(labels))), s=area, c=[styles[y][0] for y in labels], linewidths=0)
    if len({marker for _, marker in styles}) > 1:
        shapes = [MarkerStyle(marker) for _, marker in styles]
        paths = [shape.get_path().transformed(shape.get_transform()) for shape in shapes]
        points.set_paths([paths[y] for y in labels])
    return points


def enclose(axes: Axes, positions: np.ndarray) -> None:
    """Set square limits around all `positions` (N, 2)."""
    low, high = positions.min(0), positions.max(0)
    half = 0.525 * max((high - low).max(), 1e-6)
    (x, y) = (low + high) / 2
    axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half))


def densest_half(positions: np.ndarray) -> np.ndarray:
    """The half of some positions (N, 2) that lies nearest to one of them: the smallest disc around one that holds half.

    The centroid of a class in two clusters would be between them, perhaps within another class. Of many positions, only
    CENTRES are tried: all distances of 5,000 positions would take 200 MB.
    """
    centres = positions[:: max(1, -(-len(positions) // CENTRES))]
    distances = np.linalg.norm(centres[:, None] - positions, axis=-1)
    half = (len(positions) + 1) // 2
    centre = np.partition(distances, half - 1)[:, half - 1].argmin()
    return distances[centre].argsort(kind="stable")[:half]


def name_classes(
    axes: Axes, labels: np.ndarray, classes: np.ndarray, planes: Mapping[int, np.ndarray], points: float
) -> tuple[list[Text], Callable[[int], np.ndarray]]:
    """Write the name of each class in `points` amid its `densest_half`, for each frame of `planes` (P, 2).

    Names of up to NAMED classes are pushed apart where they would overlap. Of more classes, those are written that have
    room at the last frame. The limits of the axes must be set.

    Returns the texts, and a function of a frame that returns their places in fractions of the page, (names, 2).
    """
    present = np.unique(labels)
    if len(present) < 2:
        return [], lambda frame: np.empty((0, 2))
    style = {"fontsize": points, "color": INK, "ha": "center", "va": "center", "weight": "bold", "animated": True}
    halo = [withStroke(linewidth=2.5, foreground="white")]
    figure = axes.figure
    names = page.shorten_all([str(classes[y]) for y in present], LONGEST)
    texts = [figure.text(0, 0, name, path_effects=halo, parse_math=False, **style) for name in names]
    renderer, whole = figure.canvas.get_renderer(), np.array(page.size(figure))
    sizes = np.array([[box.width + 4, box.height + 1] for box in (t.get_window_extent(renderer) for t in texts)])
    above = [0, 0.7 * sizes[:, 1].max()] if len(labels) < FEW * len(present) else [0, 0]  # a name would hide its images
    of_class = [np.flatnonzero(labels == y) for y in present]
    core = [rows[densest_half(planes[max(planes)][rows])] for rows in of_class]
    centroids = {
        frame: axes.transData.transform(np.stack([plane[rows].mean(0) for rows in core])) + above
        for frame, plane in planes.items()
    }
    inside = axes.bbox.min + sizes / 2, axes.bbox.max - sizes / 2
    if len(present) > NAMED:
        places = {frame: place.clip(*inside) for frame, place in centroids.items()}
        chosen = with_room(places[max(places)], sizes)
        for i, text in enumerate(texts):
            text.set_visible(i in chosen)
        return texts, lambda frame: places[frame] / whole
    places, offsets = {}, np.zeros_like(sizes)
    for frame in sorted(centroids, reverse=True):  # each frame starts from its successor, so that names do not jump
        places[frame] = separate(centroids[frame], centroids[frame] + offsets, sizes).clip(*inside)
        offsets = places[frame] - centroids[frame]
    return texts, lambda frame: places[frame] / whole


def separate(targets: np.ndarray, places: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Places (N, 2) near `targets` (N, 2) at which rectangles of these sizes (N, 2) do not overlap.

    places: where the search begins
    """
    order = np.arange(len(places))
    sign = np.sign(order[:, None] - order)  # of two at the same place, the later one moves to the right and up
    needed = (sizes[:, None] + sizes) / 2
    for step in range(200):
        places = places + max(0.0, 0.1 * (1 - step / 150)) * (targets - places)
        gap = places[:, None] - places
        overlap = needed - np.abs(gap)
        meets = (overlap > 0).all(2) & (sign != 0)
        if not meets.any():
            if step >= 150:
                break
            continue
        axis = overlap.argmin(2)
        direction = np.where(gap == 0, sign[..., None], np.sign(gap))
        push = np.take_along_axis(overlap * direction, axis[..., None], 2)[..., 0] * meets / 2
        places = places + np.stack([(push * (axis == k)).sum(1) for k in (0, 1)], 1)
    return places


def note_on_names(labels: np.ndarray) -> str:
    """A note where not all classes are named in the plane; empty where they are."""
    return "Not all classes have room for their names." if len(np.unique(labels)) > NAMED else ""


def with_room(places: np.ndarray, sizes: np.ndarray) -> set[int]:
    """Of rectangles around these places, in their order, those that overlap none that was chosen before."""
    chosen: list[int] = []
    for i, (place, extent) in enumerate(zip(places, sizes, strict=True)):
        if all((np.abs(place - places[j]) >= (extent + sizes[j]) / 2).any() for j in chosen):
            chosen.append(i)
    return set(chosen)


def legend(figure: Figure, area: page.Area, classes: Sequence[str], preferred: Sequence[int] = COLUMNS) -> bool:
    """Write the names of the classes with their symbols, in columns, or a note where they do not fit into the area.

    preferred: numbers of columns, of which the first one that fits is taken; long names are cut where none does.
    Returns whether one fits.
    """
    names = [page.write(figure, area.left, area.top, "", points=8.5, color=INK) for _ in classes]
    renderer = figure.canvas.get_renderer()
    for length in LENGTHS:
        for text, name in zip(names, page.shorten_all(list(map(str, classes)), length), strict=True):
            text.set_text(name)
        widest = max(name.get_window_extent(renderer).width for name in names)
        low = [columns for columns in preferred if -(-len(names) // columns) * ROW <= area.height]
        widths = {columns: area.width / columns for columns in low}
        if columns := next((each for each, across in widths.items() if SYMBOL + widest + 6 <= across), 0):
            rows, across = -(-len(names) // columns), widths[columns]
            break
    else:
        for name in names:
            name.remove()
        note = f"no legend: the names of {len(classes)} classes have no room here"
        page.fit(page.write(figure, area.left, area.top, note, points=8.5), area.width, 2.2 * ROW)
        return False
    width, height = page.size(figure)
    for i, (name, (colour, marker)) in enumerate(zip(names, class_styles(len(names)), strict=True)):
        left, top = area.left + i // rows * across, area.top + i % rows * ROW
        page.mark(figure, left + 4, top + 8, marker, colour)
        name.set_position(((left + SYMBOL) / width, 1 - top / height))
    return True
