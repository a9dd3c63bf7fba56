"""The look that all pictures share: a page measured from its top left corner, its header, its colours."""

from collections.abc import Callable, Iterator, Sequence

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

from src.run.trace import Trace

INK, GREY, RULE, ACCENT = "#1f2328", "#656d76", "#d8dee4", "#c0392b"
CLASS_COLOURS = (
    *("#4269d0", "#efb118", "#e4572e", "#3ca951", "#a463f2"),
    *("#38b6d0", "#ff8ab7", "#8c6239", "#97a0ab", "#1f5f4a"),
)
MARGIN, HEADER = 28, 84
DPI = 100


def page(width: float, height: float) -> Figure:
    """An empty white page of `width` x `height` pixels."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def size(figure: Figure) -> tuple[float, float]:
    """The page's width and height in pixels."""
    return tuple(figure.get_size_inches() * DPI)


def box(figure: Figure, left: float, top: float, width: float, height: float, frame: bool = False) -> Axes:
    """Empty axes on that rectangle of the page, in pixels, without ticks; with a thin border if `frame`."""
    corner, *extent = _place(figure, left, top, width, height)
    axes = figure.add_axes((*corner, *extent))
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=frame, color=RULE, linewidth=0.8)
    return axes


def write(figure: Figure, left: float, top: float, words: str, points: float = 9, **options) -> Text:
    """Puts `words` on the page, their upper left corner at (left, top) in pixels."""
    across, down = size(figure)
    options = {"color": GREY, "va": "top", "linespacing": 1.35} | options
    return figure.text(left / across, 1 - top / down, words, fontsize=points, **options)


def band(figure: Figure, left: float, top: float, width: float, height: float, colour: str) -> Rectangle:
    """Fills that rectangle of the page, in pixels."""
    return figure.add_artist(Rectangle(*_place(figure, left, top, width, height), color=colour, linewidth=0))


def paste(figure: Figure, left: float, top: float, pixels: np.ndarray, scale: int) -> BboxImage:
    """Puts `pixels` (H, W, 3) on the page, their upper left corner at (left, top), `scale` times enlarged."""
    corner, width, height = _place(figure, left, top, scale * pixels.shape[1], scale * pixels.shape[0])
    bounds = TransformedBbox(Bbox.from_bounds(*corner, width, height), figure.transFigure)
    image = BboxImage(bounds, interpolation="nearest")
    image.set_data(pixels)
    return figure.add_artist(image)


def title(figure: Figure, words: str, caption: str) -> None:
    """Heads the page with `words`, and a caption beneath."""
    write(figure, MARGIN, 20, words, points=12, color=INK, weight="bold")
    write(figure, MARGIN, 44, caption, points=10)
    band(figure, MARGIN, 70, size(figure)[0] - 2 * MARGIN, 2, RULE)


def header(figure: Figure, trace: Trace) -> Callable[[int], None]:
    """Heads the page with the run's title; the function returned sets epoch, ELBO and progress."""
    write(figure, MARGIN, 20, str(trace.fixed["title"]), points=12, color=INK, weight="bold")
    caption = write(figure, MARGIN, 44, "", points=10, animated=True)
    width = size(figure)[0] - 2 * MARGIN
    band(figure, MARGIN, 70, width, 2, RULE)
    progress = band(figure, MARGIN, 70, width, 2, INK)
    progress.set_animated(True)
    whole, last = progress.get_width(), max(trace.epochs["epoch"][-1], 1)

    def show(epoch: int) -> None:
        elbo = trace.epochs["val/elbo"][row(trace, epoch)]
        caption.set_text(f"epoch {epoch} · ELBO {number(elbo)} nats")
        progress.set_width(whole * epoch / last)

    return show


def row(trace: Trace, epoch: int) -> int:
    """The row of `trace.epochs` that holds `epoch`."""
    return int(np.searchsorted(trace.epochs["epoch"], epoch))


def number(value: float, digits: int = 1) -> str:
    """`value` with a minus sign as long as a plus."""
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
    return _finish(figure, moving(figure))


def render_each(figure: Figure, show: Callable[[int], None], frames: Sequence[int]) -> Iterator[Image.Image]:
    """The page as an RGB image after `show` of each of `frames`, which may change what is `animated` and nothing else.

    All else is drawn once: words are what takes the time, and most of them stay.
    """
    figure.set_dpi(DPI)
    figure.canvas.draw()
    still, artists = figure.canvas.copy_from_bbox(figure.bbox), moving(figure)
    for frame in frames:
        show(frame)
        figure.canvas.restore_region(still)
        yield _finish(figure, artists)


def moving(figure: Figure) -> list[Artist]:
    """What matplotlib leaves out when it draws the page: the artists that are `animated`, the lowest first."""
    return sorted(figure.findobj(Artist.get_animated), key=Artist.get_zorder)


def _finish(figure: Figure, artists: Sequence[Artist]) -> Image.Image:
    for artist in artists:
        figure.draw_artist(artist)
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")


def _place(figure: Figure, left: float, top: float, width: float, height: float) -> tuple:
    """The rectangle in shares of the page, from its lower left: corner, width, height."""
    across, down = size(figure)
    return (left / across, 1 - (top + height) / down), width / across, height / down
