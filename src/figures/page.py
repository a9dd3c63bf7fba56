"""The page on which every figure is drawn: measured in pixels from its top left corner, with a header and colours."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox, TransformedBbox
from PIL import Image

from src.figures.look import CLASS_COLOURS, GREY, INK
from src.run.trace import Trace

RULE, ACCENT = "#d8dee4", "#c0392b"
MARGIN, HEADER = 28, 84
DPI = 100


class Area(NamedTuple):
    """A rectangle of the page: its upper left corner and its size, in pixels."""

    left: float
    top: float
    width: float
    height: float


def page(width: float, height: float) -> Figure:
    """An empty white page of `width` x `height` pixels."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def size(figure: Figure) -> tuple[float, float]:
    """The page's width and height in pixels."""
    return tuple(figure.get_size_inches() * DPI)


def box(figure: Figure, area: Area, frame: bool = False) -> Axes:
    """Empty axes without ticks on an area of the page; with a thin border if `frame`."""
    corner, *extent = _place(figure, area)
    axes = figure.add_axes((*corner, *extent))
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=frame, color=RULE, linewidth=0.8)
    return axes


def write(figure: Figure, left: float, top: float, text: str, points: float = 9, **options: Any) -> Text:
    """Write `text` on the page, with its upper left corner at (left, top) in pixels."""
    across, down = size(figure)
    options = {"color": GREY, "va": "top", "linespacing": 1.35} | options
    return figure.text(left / across, 1 - top / down, text, fontsize=points, **options)


def band(figure: Figure, area: Area, colour: str) -> Rectangle:
    """Fill an area of the page."""
    return figure.add_artist(Rectangle(*_place(figure, area), color=colour, linewidth=0))


def paste(figure: Figure, left: float, top: float, pixels: np.ndarray, scale: int) -> BboxImage:
    """Put `pixels` (H, W, 3) on the page, `scale` times enlarged, with the upper left corner at (left, top)."""
    area = Area(left, top, scale * pixels.shape[1], scale * pixels.shape[0])
    corner, width, height = _place(figure, area)
    bounds = TransformedBbox(Bbox.from_bounds(*corner, width, height), figure.transFigure)
    image = BboxImage(bounds, interpolation="nearest")
    image.set_data(pixels)
    return figure.add_artist(image)


def title(figure: Figure, text: str, caption: str) -> None:
    """Write a title on top of the page, with a caption below it."""
    write(figure, MARGIN, 20, text, points=12, color=INK, weight="bold")
    write(figure, MARGIN, 44, caption, points=10)
    band(figure, Area(MARGIN, 70, size(figure)[0] - 2 * MARGIN, 2), RULE)


def header(figure: Figure, trace: Trace) -> Callable[[int], None]:
    """Write the run's title on top of the page, and return a function that sets epoch, ELBO and progress."""
    write(figure, MARGIN, 20, str(trace.fixed["title"]), points=12, color=INK, weight="bold")
    caption = write(figure, MARGIN, 44, "", points=10, animated=True)
    bar = Area(MARGIN, 70, size(figure)[0] - 2 * MARGIN, 2)
    band(figure, bar, RULE)
    progress = band(figure, bar, INK)
    progress.set_animated(True)
    full_width, last = progress.get_width(), max(trace.epochs["epoch"][-1], 1)

    def show(epoch: int) -> None:
        elbo = trace.epochs["val/elbo"][row(trace, epoch)]
        caption.set_text(f"epoch {epoch} · ELBO {number(elbo)} nats")
        progress.set_width(full_width * epoch / last)

    return show


def row(trace: Trace, epoch: int) -> int:
    """The row of `trace.epochs` that holds `epoch`."""
    return int(np.searchsorted(trace.epochs["epoch"], epoch))


def number(value: float, digits: int = 1) -> str:
    """`value` with a minus sign as wide as a plus."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def class_colours(count: int) -> Sequence[str]:
    """A colour for each of `count` classes."""
    if count <= len(CLASS_COLOURS):
        return CLASS_COLOURS[:count]
    return [to_hex(colour) for colour in colormaps["turbo"](np.linspace(0.04, 0.96, count))]


def render(figure: Figure, scale: float = 1) -> Image.Image:
    """The page as an RGB image, `scale` times its size in pixels."""
    figure.set_dpi(DPI * scale)
    figure.canvas.draw()
    return _finish(figure, animated_artists(figure))


def render_each(figure: Figure, show: Callable[[int], None], frames: Sequence[int]) -> Iterator[Image.Image]:
    """The page as an RGB image after `show` of each of `frames`, which may change only artists that are `animated`.

    All other artists are drawn once, which saves most of the time: drawing text is slow, and most text stays.
    """
    figure.set_dpi(DPI)
    figure.canvas.draw()
    background, artists = figure.canvas.copy_from_bbox(figure.bbox), animated_artists(figure)
    for frame in frames:
        show(frame)
        figure.canvas.restore_region(background)
        yield _finish(figure, artists)


def animated_artists(figure: Figure) -> list[Artist]:
    """The artists that are `animated`, which matplotlib leaves out when it draws the page; the lowest first."""
    return sorted(figure.findobj(Artist.get_animated), key=Artist.get_zorder)


def _finish(figure: Figure, artists: Sequence[Artist]) -> Image.Image:
    for artist in artists:
        figure.draw_artist(artist)
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")


def _place(figure: Figure, area: Area) -> tuple:
    """An area in fractions of the page, from its lower left corner: corner, width, height."""
    across, down = size(figure)
    corner = area.left / across, 1 - (area.top + area.height) / down
    return corner, area.width / across, area.height / down
