"""The page on which every figure is drawn: measured in pixels from its top left corner, with a header."""

import functools
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox, TransformedBbox
from PIL import Image

from src.figures.look import GREY, INK
from src.run.trace import Trace

RULE, ACCENT = "#d8dee4", "#c0392b"
MARGIN, HEADER = 28, 84
DPI = 100
LINE = 1.35 * DPI / 72  # height of a line of text, in pixels for each point of its size
# with letters of other scripts, of the usual systems
FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Hiragino Sans", "PingFang SC", "Microsoft YaHei"),
    *("Malgun Gothic", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Noto Sans Devanagari"),
    *("Arial Unicode MS", "Nirmala UI", "Noto Emoji", "Segoe UI Emoji", "Symbola", "Unifont"),
)
SMALLEST = 3.0  # points; nothing is shrunk beyond that

Frame = TypeVar("Frame")


class Area(NamedTuple):
    """A rectangle of the page: its upper left corner and its size, in pixels."""

    left: float
    top: float
    width: float
    height: float


def page(width: float, height: float) -> Figure:
    """An empty white page of `width` x `height` pixels."""
    add_fonts()
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


@functools.cache
def add_fonts() -> None:
    """Have letters that matplotlib's own font lacks taken from those of FONTS that are installed."""
    installed = set(font_manager.get_font_names())
    mpl.rcParams["font.family"] = [*mpl.rcParams["font.family"], *(f for f in FONTS if f in installed)]


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
    # a name may hold dollar signs, between which matplotlib would expect a formula
    options = {"color": GREY, "va": "top", "linespacing": 1.35, "parse_math": False} | options
    return figure.text(left / across, 1 - top / down, text, fontsize=points, **options)


def fit(text: Text, width: float, height: float) -> Text:
    """Shrink a text, and wrap it where it then has room for several lines, until it fits into `width` x `height` pixels
    of the page. One that fits stays as it is."""
    content, points = text.get_text(), text.get_fontsize()
    renderer = text.figure.canvas.get_renderer()
    whole = text.get_window_extent(renderer, dpi=DPI).width
    for smaller in np.arange(points, SMALLEST - 0.5, -0.5):
        lines = max(1, int(height / (smaller * LINE)))
        characters = max(1, int(len(content) * width * points / (smaller * max(whole, 1))))
        wrapped = textwrap.wrap(content, characters) if lines > 1 or smaller <= SMALLEST else [content]
        text.set(text="\n".join(wrapped), fontsize=smaller)
        if len(wrapped) <= lines and text.get_window_extent(renderer, dpi=DPI).width <= width:
            break
    return text


def shrink(text: Text, width: float) -> Text:
    """Reduce the size of a text, whose lines stay as they are, until it is at most `width` pixels wide."""
    renderer = text.figure.canvas.get_renderer()
    # step by step, because the widths of letters are rounded to whole pixels
    while text.get_window_extent(renderer, dpi=DPI).width > width and text.get_fontsize() > SMALLEST:
        text.set_fontsize(text.get_fontsize() - 0.25)
    return text


def key(figure: Figure, left: float, top: float, colour: str, name: str) -> float:
    """Write a name after a short line of its colour, as an entry of a legend; the place where the next may begin."""
    band(figure, Area(left, top + 8, 22, 2), colour)
    text = write(figure, left + 30, top, name, points=9, color=INK)
    return left + 54 + text.get_window_extent(figure.canvas.get_renderer(), dpi=DPI).width


def mark(figure: Figure, left: float, top: float, marker: str, colour: str) -> Line2D:
    """Draw a marker on the page, with its centre at (left, top) in pixels."""
    across, down = size(figure)
    style = {"marker": marker, "color": colour, "markersize": 6, "markeredgewidth": 0, "linestyle": "none"}
    return figure.add_artist(Line2D([left / across], [1 - top / down], **style))


def facts(figure: Figure, places: Sequence[tuple[float, float]], names: Sequence[str]) -> list[Text]:
    """Write `names` at these places of the page, and return the empty text of a large number over each of them."""
    numbers = []
    for (left, top), name in zip(places, names, strict=True):
        numbers.append(write(figure, left, top, "", points=13, color=INK, weight="bold", animated=True))
        write(figure, left, top + 23, name, points=8.5)
    return numbers


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
    across = size(figure)[0] - 2 * MARGIN
    head_line(figure, text)
    fit(write(figure, MARGIN, 44, caption, points=10), across, 25)
    band(figure, Area(MARGIN, 70, across, 2), RULE)


def head_line(figure: Figure, text: str) -> None:
    """Write a title on top of the page, as large as its width permits."""
    across = size(figure)[0] - 2 * MARGIN
    fit(write(figure, MARGIN, 31, text, points=12, color=INK, weight="bold", va="center"), across, 29)


def header(figure: Figure, trace: Trace) -> Callable[..., None]:
    """Write the run's title on top of the page, and return a function that sets epoch, ELBO and progress.

    The function's second argument is the progress in epochs, where it is beyond the epoch that is named.
    """
    head_line(figure, str(trace.fixed["title"]))
    caption = write(figure, MARGIN, 44, "", points=10, animated=True)
    bar = Area(MARGIN, 70, size(figure)[0] - 2 * MARGIN, 2)
    band(figure, bar, RULE)
    progress = band(figure, bar, INK)
    progress.set_animated(True)
    full_width, last = progress.get_width(), max(trace.epochs["epoch"][-1], 1)
    given = " given the label" if "samples_labels" in trace.fixed else ""

    def show(epoch: int, reached: float = 0.0) -> None:
        elbo = trace.epochs["val/elbo"][row(trace, epoch)]
        caption.set_text(f"epoch {epoch} · validation ELBO{given} {number(elbo)} nats")
        progress.set_width(full_width * max(epoch, reached) / last)

    return show


def row(trace: Trace, epoch: int) -> int:
    """The row of `trace.epochs` that holds `epoch`."""
    return int(np.searchsorted(trace.epochs["epoch"], epoch))


def number(value: float, digits: int = 1) -> str:
    """`value` with a minus sign as wide as a plus; in exponential notation from ten million on."""
    return (f"{value:.{digits}f}" if abs(value) < 1e7 else f"{value:.2e}").replace("-", "\N{MINUS SIGN}")


def render(figure: Figure, scale: float = 1) -> Image.Image:
    """The page as an RGB image, `scale` times its size in pixels."""
    figure.set_dpi(DPI * scale)
    figure.canvas.draw()
    return _finish(figure, animated_artists(figure))


def render_each(figure: Figure, show: Callable[[Frame], None], frames: Iterable[Frame]) -> Iterator[Image.Image]:
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


def shorten(text: str, length: int) -> str:
    """A text, or its beginning and an ellipsis where it is longer than so many letters; one of Chinese, Japanese or
    Korean counts as two."""
    widths = np.cumsum([1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text])
    if not len(text) or widths[-1] <= length:
        return text
    return f"{text[: np.searchsorted(widths, length - 1, side='right')]}…"


def shorten_all(texts: Sequence[str], length: int) -> list[str]:
    """The beginnings of texts, as `shorten` has them; their ends, where the beginnings of some are the same."""
    short = [shorten(text, length) for text in texts]
    if len({*short}) == len({*texts}):
        return short
    return [shorten(text[::-1], length)[::-1] for text in texts]


def tick(value: float) -> str:
    """The number at a tick of an axis."""
    return f"{value:.6g}".replace("-", "\N{MINUS SIGN}")


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
