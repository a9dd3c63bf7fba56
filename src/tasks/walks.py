"""Walks through the latent space: strips between two images, sweeps of single dimensions, a plane of codes."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from src.figures import page
from src.figures.curves import chart
from src.figures.grids import enlargement, tile

COLOURS = {"linear": "#4269d0", "spherical": "#3ca951", "pixel fade": "#e4572e"}
LABELS = 112  # pixels of the page left of the rows
GAP = 14  # between an image and the strip that leads from it
CHART, BETWEEN = 84, 52  # height of a chart, and what lies between two
PANEL = 168  # pixels of the page along the longer side of a film's images, about
TOP = page.HEADER + 10

Curves = Mapping[str, np.ndarray]


def strip(
    title: str, caption: str, ends: np.ndarray, rows: Mapping[str, np.ndarray], charts: Mapping[str, Curves]
) -> Figure:
    """Images (S, C, H, W) along each path, row by row, between the two images `ends`; beneath, and in line with them,
    charts of curves (S,) by path."""
    scale = enlargement(ends)
    across, down = (scale * (pixels + 1) for pixels in ends.shape[:1:-1])
    steps = len(next(iter(rows.values())))
    left = page.MARGIN + LABELS + across + GAP
    below = TOP + len(rows) * down
    bottom = below + len(charts) * (CHART + BETWEEN) + 16
    figure = page.page(max(left + (steps + 1) * across + GAP, 880) + page.MARGIN, bottom + page.MARGIN - 16)
    page.title(figure, title, caption)
    for image, place in zip(ends, (left - GAP - across, left + steps * across + GAP), strict=True):
        page.paste(figure, place, TOP + (len(rows) - 1) * down / 2, tile(image[None], 1), scale)
    for i, (name, images) in enumerate(rows.items()):
        page.write(figure, page.MARGIN, TOP + (i + 0.5) * down, name, color=COLOURS[name], va="center")
        page.paste(figure, left, TOP + i * down, tile(images, steps), scale)
    for i, (words, curves) in enumerate(charts.items()):
        axes = chart(figure, page.Area(left, below + 46 + i * (CHART + BETWEEN), steps * across, CHART), words)
        for name, values in curves.items():
            axes.plot(values, color=COLOURS[name], linewidth=1.6, marker="o", markersize=3, label=name)
        axes.set(xlim=(-0.5, steps - 0.5), xticks=range(steps), xticklabels=[])
        axes.margins(y=0.12)
    return figure


def tour(
    title: str, caption: str, images: np.ndarray, walked: Mapping[str, np.ndarray]
) -> tuple[Figure, Callable[[int], None]]:
    """A large image for each path, walked (F, C, H, W), over the `images` that they lead through in even steps and back
    to the first; the function returned draws a frame."""
    height, width = images.shape[2:]
    scale, small = max(1, round(PANEL / max(height, width))), enlargement(images)
    step = scale * (width + 2) + 24
    across = max(len(walked) * step - 24, (len(images) + 1) * (small * (width + 2) + 8))
    below = TOP + 22 + scale * (height + 2) + 34
    figure = page.page(max(across, 640) + 2 * page.MARGIN, below + small * (height + 2) + page.MARGIN)
    page.title(figure, title, caption)
    begin = (page.size(figure)[0] - (len(walked) * step - 24)) / 2
    panels = []
    for i, name in enumerate(walked):
        page.write(figure, begin + i * step, TOP, name, points=10, color=COLOURS[name])
        panels.append(page.paste(figure, begin + i * step, TOP + 22, tile(walked[name][:1], 1), scale))
        panels[-1].set_animated(True)
    frames = len(walked[name]) - 1
    thumb = small * (width + 2)
    gap = (page.size(figure)[0] - 2 * page.MARGIN - thumb) / len(images)
    for i, image in enumerate([*images, images[0]]):
        page.paste(figure, page.MARGIN + i * gap, below, tile(image[None], 1), small)
    page.band(figure, page.Area(page.MARGIN + thumb / 2, below - 13, len(images) * gap, 2), page.RULE)
    marker = page.band(figure, page.Area(page.MARGIN + thumb / 2 - 5, below - 17, 10, 10), page.ACCENT)
    marker.set_animated(True)
    first, whole = marker.get_x(), len(images) * gap / page.size(figure)[0]

    def show(frame: int) -> None:
        for panel, pictures in zip(panels, walked.values(), strict=True):
            panel.set_data(tile(pictures[frame, None], 1))
        marker.set_x(first + whole * frame / frames)

    return figure, show


def sweeps(
    title: str, caption: str, image: np.ndarray, rows: Sequence[tuple[str, np.ndarray, int]], levels: np.ndarray
) -> Figure:
    """A row for each dimension: (name, images (S, C, H, W) at the prior's quantiles `levels` (S,), the one nearest to
    the image's own code, which is framed). `image` (2, C, H, W): the image and its reconstruction."""
    scale = enlargement(image)
    across, down = (scale * (pixels + 1) for pixels in image.shape[:1:-1])
    left, top = page.MARGIN + LABELS, TOP + down + 22
    bottom = top + len(rows) * down
    figure = page.page(max(left + len(levels) * across, 760) + page.MARGIN, bottom + 34 + page.MARGIN)
    page.title(figure, title, caption)
    page.write(figure, page.MARGIN, TOP + down / 2, "image, and its\nreconstruction", points=8.5, va="center")
    page.paste(figure, left, TOP, tile(image, 2), scale)
    words = "framed: the quantile nearest to the image's own code"
    page.write(figure, left + 2 * across + 18, TOP + down / 2, words, points=8.5, color=page.ACCENT, va="center")
    for i, (name, images, own) in enumerate(rows):
        page.write(figure, page.MARGIN, top + (i + 0.5) * down, name, points=8.5, va="center")
        page.paste(figure, left, top + i * down, tile(images, len(images)), scale)
        outline(figure, left + own * across, top + i * down, across, down, scale)
    for i, level in enumerate(levels):
        page.write(figure, left + (i + 0.5) * across, bottom + 10, f"{100 * level:.0f} %", points=8.5, ha="center")
    page.write(figure, page.MARGIN, bottom + 10, "prior's quantile", points=8.5)
    return figure


def outline(figure: Figure, left: float, top: float, width: float, height: float, scale: int) -> None:
    """Frames the cell of a tiled image in the accent colour, over the line around it."""
    across, down = page.size(figure)
    corner = (left + scale / 2) / across, 1 - (top + height + scale / 2) / down
    frame = Rectangle(corner, width / across, height / down, fill=False, edgecolor=page.ACCENT, linewidth=1.6)
    frame.set_zorder(5)
    figure.add_artist(frame)


def sweeping(
    title: str, caption: str, images: np.ndarray, rows: Sequence[tuple[str, np.ndarray]], levels: np.ndarray
) -> tuple[Figure, Callable[[int], None]]:
    """A row for each dimension: (name, the `images` (N, C, H, W) as it passes the quantiles `levels` (F,), an array
    (F, N, C, H, W)); above them the images. The function returned draws a frame."""
    scale = enlargement(images)
    across, down = (scale * (pixels + 1) for pixels in images.shape[:1:-1])
    left, top, width = page.MARGIN + LABELS, TOP + down + 60, len(images) * across
    figure = page.page(max(left + width, 640) + page.MARGIN, top + len(rows) * down + page.MARGIN)
    page.title(figure, title, caption)
    page.write(figure, page.MARGIN, TOP + down / 2, "test images", points=8.5, va="center")
    page.paste(figure, left, TOP, tile(images, len(images)), scale)
    page.write(figure, page.MARGIN, top - 35, "prior's quantile", points=8.5)
    page.band(figure, page.Area(left, top - 29, width, 2), page.RULE)
    marker = page.band(figure, page.Area(left - 5, top - 33, 10, 10), page.ACCENT)
    words = page.write(figure, left, top - 52, "", points=8.5, color=page.ACCENT, ha="center")
    grids = []
    for i, (name, pictures) in enumerate(rows):
        page.write(figure, page.MARGIN, top + (i + 0.5) * down, name, points=8.5, va="center")
        grids.append(page.paste(figure, left, top + i * down, tile(pictures[0], len(images)), scale))
    for artist in (marker, words, *grids):
        artist.set_animated(True)
    first, begin, whole = marker.get_x(), words.get_position()[0], width / page.size(figure)[0]

    def show(frame: int) -> None:
        for grid, (_, pictures) in zip(grids, rows, strict=True):
            grid.set_data(tile(pictures[frame], len(images)))
        marker.set_x(first + whole * levels[frame])
        words.set_x(begin + whole * levels[frame])
        words.set_text(f"{100 * levels[frame]:.0f} %")

    return figure, show


def plane(title: str, caption: str, images: np.ndarray, names: tuple[str, str]) -> Figure:
    """images (N, N, C, H, W) on a square grid of codes, the first row lowest; `names` of the axes, across and up."""
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
