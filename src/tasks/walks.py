"""Figures of walks through the latent space: paths between images, sweeps of single dimensions, a plane of codes."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from src.figures import page
from src.figures.curves import chart
from src.figures.grids import THICKEST, enlargement, tile
from src.figures.look import BLUE, GREEN, VERMILION

COLOURS = {"linear": BLUE, "spherical": GREEN, "pixel fade": VERMILION}
POINTS = {"linear": "o", "spherical": "s", "pixel fade": "^"}
LABELS = 112  # pixels of the page left of the rows
GAP = 14  # between an image and the strip that leads from it
CHART, BETWEEN = 84, 52  # height of a chart, and the space between two
PANEL = 168  # approximate pixels of the page along the longer side of the images of an animation
TOP = page.HEADER + 10

Curves = Mapping[str, np.ndarray]
Images = Mapping[str, np.ndarray]


def strip(
    title: str, caption: str, ends: Images, rows: Mapping[str, np.ndarray], charts: Mapping[str, Curves]
) -> Figure:
    """Draw images along paths between two images, with charts of curves beneath the images.

    ends: by name, rows of the two images, (2, C, H, W); rows: the images (S, C, H, W) of each path, by its name
    charts: by their headings, the curves (S,) of each path
    """
    stacks = np.stack(list(ends.values()), 1)  # of each end
    scale = enlargement(stacks)
    across, down = (scale * (pixels + 1) for pixels in stacks.shape[:2:-1])
    steps = len(next(iter(rows.values())))
    left = page.MARGIN + LABELS + across + GAP
    below = TOP + len(rows) * down
    bottom = below + len(charts) * (CHART + BETWEEN) + 16
    figure = page.page(max(left + (steps + 1) * across + GAP, 880) + page.MARGIN, bottom + page.MARGIN - 16)
    page.title(figure, title, caption)
    for stack, place in zip(stacks, (left - GAP - across, left + steps * across + GAP), strict=True):
        high = TOP + (len(rows) - len(stack)) * down / 2
        page.paste(figure, place, high, tile(stack, 1), scale)
        if len(ends) > 1:
            for name, height in zip(ends, (high - 8, high + len(stack) * down + scale + 8), strict=True):
                words = name.partition(",")[0]
                label = page.write(figure, place + across / 2, height, words, points=7.5, ha="center", va="center")
                page.shrink(label, across + GAP)
    for i, (name, images) in enumerate(rows.items()):
        page.write(figure, page.MARGIN, TOP + (i + 0.5) * down, name, color=COLOURS[name], va="center")
        page.paste(figure, left, TOP + i * down, tile(images, steps), scale)
    for i, (heading, curves) in enumerate(charts.items()):
        axes = chart(figure, page.Area(left, below + 46 + i * (CHART + BETWEEN), steps * across, CHART), heading)
        for name, values in curves.items():
            axes.plot(values, color=COLOURS[name], linewidth=1.6, marker=POINTS[name], markersize=4, label=name)
        axes.set(xlim=(-0.5, steps - 0.5), xticks=range(steps), xticklabels=[])
        axes.margins(y=0.12)
    return figure


def tour(
    title: str, caption: str, images: Images, paths: Mapping[str, np.ndarray], names: Sequence[str] = ()
) -> tuple[Figure, Callable[[int], None]]:
    """Draw one large image for each path, above the images that it leads through; the function returned draws a frame.

    images: by name, rows of the images, (N, C, H, W); names: text under each of the N images
    paths: the frames (F, C, H, W) of each, in even steps through the images and back to the first
    """
    stacks = np.stack(list(images.values()), 1)
    height, width = stacks.shape[3:]
    scale, small = max(1, min(3 * THICKEST, round(PANEL / max(height, width)))), enlargement(stacks)
    step = scale * (width + 2) + 24
    across = max(len(paths) * step - 24, (len(stacks) + 1) * (small * (width + 2) + 8))
    below = TOP + 22 + scale * (height + 2) + 34
    bottom = below + small * (len(images) * (height + 1) + 1)
    legend = bottom + (22 if names else 8)
    figure = page.page(max(across, 640) + 2 * page.MARGIN, (legend + 16 if len(images) > 1 else bottom) + page.MARGIN)
    page.title(figure, title, caption)
    begin = (page.size(figure)[0] - (len(paths) * step - 24)) / 2
    panels = []
    for i, (name, frames) in enumerate(paths.items()):
        page.write(figure, begin + i * step, TOP, name, points=10, color=COLOURS[name])
        panels.append(page.paste(figure, begin + i * step, TOP + 22, tile(frames[:1], 1), scale))
        panels[-1].set_animated(True)
    last = len(frames) - 1
    thumb = small * (width + 2)
    gap = (page.size(figure)[0] - 2 * page.MARGIN - thumb) / len(stacks)
    for i, stack in enumerate([*stacks, stacks[0]]):
        page.paste(figure, page.MARGIN + i * gap, below, tile(stack, 1), small)
    for i, name in enumerate([*names, *names[:1]]):
        place = page.MARGIN + thumb / 2 + i * gap
        page.shrink(page.write(figure, place, bottom + 5, name, points=7.5, ha="center"), min(gap, thumb + 40) - 6)
    if len(images) > 1:
        page.write(figure, page.MARGIN, legend, " over ".join(images).replace("\n", " "), points=8.5)
    page.band(figure, page.Area(page.MARGIN + thumb / 2, below - 13, len(stacks) * gap, 2), page.RULE)
    marker = page.band(figure, page.Area(page.MARGIN + thumb / 2 - 5, below - 17, 10, 10), page.ACCENT)
    marker.set_animated(True)
    start, length = marker.get_x(), len(stacks) * gap / page.size(figure)[0]

    def show(frame: int) -> None:
        for panel, frames in zip(panels, paths.values(), strict=True):
            panel.set_data(tile(frames[frame, None], 1))
        marker.set_x(start + length * frame / last)

    return figure, show


def sweeps(
    title: str,
    caption: str,
    image: Images,
    rows: Sequence[tuple[str, np.ndarray, int]],
    levels: np.ndarray,
    unit: str = "prior's quantile",
) -> Figure:
    """Draw an image as each dimension passes the prior's quantiles, or other steps.

    image: by name, the image, its reconstruction and what else is shown of it, (1, C, H, W) each
    levels: those of the quantiles, (S,), or of the steps, which are fractions of the `unit`
    rows: for each dimension its name, the images (S, C, H, W), and which of them is nearest to the image's own code
    """
    beginning = np.concatenate(list(image.values()))
    scale = enlargement(beginning)
    across, down = (scale * (pixels + 1) for pixels in beginning.shape[:1:-1])
    left, top = page.MARGIN + LABELS, TOP + down + 22
    bottom = top + len(rows) * down
    figure = page.page(max(left + len(levels) * across, 760) + page.MARGIN, bottom + 34 + page.MARGIN)
    page.title(figure, title, caption)
    names = "\n".join(name.partition(",")[0] for name in image)
    page.shrink(page.write(figure, page.MARGIN, TOP + down / 2, names, points=8.5, va="center"), LABELS - 8)
    page.paste(figure, left, TOP, tile(beginning, len(beginning)), scale)
    legend = "framed: the step nearest to the image's own code"
    page.write(
        figure, left + len(image) * across + 18, TOP + down / 2, legend, points=8.5, color=page.ACCENT, va="center"
    )
    for i, (name, images, own) in enumerate(rows):
        page.write(figure, page.MARGIN, top + (i + 0.5) * down, name, points=8.5, va="center")
        page.paste(figure, left, top + i * down, tile(images, len(images)), scale)
        outline(figure, page.Area(left + own * across, top + i * down, across, down), scale)
    for i, level in enumerate(levels):
        page.write(figure, left + (i + 0.5) * across, bottom + 10, f"{100 * level:.0f} %", points=8.5, ha="center")
    page.write(figure, page.MARGIN, bottom + 10, unit, points=8.5)
    return figure


def outline(figure: Figure, cell: page.Area, scale: int) -> None:
    """Frame a cell of a tiled image in the accent colour, over the line around it."""
    across, down = page.size(figure)
    corner = (cell.left + scale / 2) / across, 1 - (cell.top + cell.height + scale / 2) / down
    size = cell.width / across, cell.height / down
    frame = Rectangle(corner, *size, fill=False, edgecolor=page.ACCENT, linewidth=1.6)
    frame.set_zorder(5)
    figure.add_artist(frame)


def animated_sweeps(
    title: str,
    caption: str,
    images: Images,
    rows: Sequence[tuple[str, np.ndarray]],
    levels: np.ndarray,
    unit: str = "prior's quantile",
) -> tuple[Figure, Callable[[int], None]]:
    """Draw images above a row for each dimension; the function returned draws a frame.

    images: by name, rows of the images, (N, C, H, W)
    rows: for each dimension its name, and the images (F, N, C, H, W) as it passes the prior's quantiles `levels` (F,),
        or other steps, which are fractions of the `unit`
    """
    first, count = np.concatenate(list(images.values())), len(next(iter(images.values())))
    scale = enlargement(first)
    across, down = (scale * (pixels + 1) for pixels in first.shape[:1:-1])
    left, top, width = page.MARGIN + LABELS, TOP + len(images) * down + 60, count * across
    figure = page.page(max(left + width, 640) + page.MARGIN, top + len(rows) * down + page.MARGIN)
    page.title(figure, title, caption)
    for i, name in enumerate(images):
        label = page.write(figure, page.MARGIN, TOP + (i + 0.5) * down, name, points=8.5, va="center")
        page.shrink(label, LABELS - 8)
    page.paste(figure, left, TOP, tile(first, count), scale)
    page.write(figure, page.MARGIN, top - 35, unit, points=8.5)
    page.band(figure, page.Area(left, top - 29, width, 2), page.RULE)
    marker = page.band(figure, page.Area(left - 5, top - 33, 10, 10), page.ACCENT)
    level = page.write(figure, left, top - 52, "", points=8.5, color=page.ACCENT, ha="center")
    grids = []
    for i, (name, frames) in enumerate(rows):
        page.write(figure, page.MARGIN, top + (i + 0.5) * down, name, points=8.5, va="center")
        grids.append(page.paste(figure, left, top + i * down, tile(frames[0], count), scale))
    for artist in (marker, level, *grids):
        artist.set_animated(True)
    marker_start, level_start = marker.get_x(), level.get_position()[0]
    length = width / page.size(figure)[0] / max(1, levels[-1])

    def show(frame: int) -> None:
        for grid, (_, frames) in zip(grids, rows, strict=True):
            grid.set_data(tile(frames[frame], count))
        marker.set_x(marker_start + length * levels[frame])
        level.set_x(level_start + length * levels[frame])
        level.set_text(f"{100 * levels[frame]:.0f} %")

    return figure, show


def plane(title: str, caption: str, images: np.ndarray, names: tuple[str, str]) -> Figure:
    """Draw images (N, N, C, H, W) on a square grid of codes, the first row lowest.

    names: the names of the horizontal and the vertical axis
    """
    count, scale = len(images), max(1, enlargement(images) // 2)
    sheet = tile(images[::-1].reshape(-1, *images.shape[2:]), count)
    height, width = (scale * pixels for pixels in sheet.shape[:2])
    figure = page.page(max(width + 30, 640) + 2 * page.MARGIN, TOP + height + 30 + page.MARGIN)
    page.title(figure, title, caption)
    page.paste(figure, page.MARGIN + 30, TOP, sheet, scale)
    middle = page.MARGIN + 30 + width / 2
    page.write(figure, middle, TOP + height + 12, names[0], points=9.5, ha="center")
    page.write(figure, page.MARGIN + 4, TOP + height / 2, names[1], points=9.5, rotation=90, va="center")
    return figure
