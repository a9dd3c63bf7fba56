"""Grids of images: samples, and reconstructions, those with the worst ELBO among them."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure

from src.figures import page
from src.figures.moments import Moment, dissolve, fade, progress
from src.run.trace import Trace

CELL = 56  # approximate length of an image's longer side, in pixels of the page
MAX_WIDTH, COMPACT_WIDTH = 360, 240  # width of a grid of samples, in pixels of the page; the latter in an animation
MAX_ROWS, MAX_CLASSES = 6, 10  # rows of a grid of samples; of one with a row for each class
NAMES = 76  # pixels of the page left of a grid with the names of classes
GUTTER = 28
TOP = page.HEADER + 32
LABELS, BAND = 126, 18  # pixels of the page left of the bands of reconstructions, and between two bands
MAX_IMAGES, COMPACT_IMAGES = 12, 6  # images in a band; the latter in an animation, which has two bands at most
IMAGE, ORIGINAL, BINARY = "image,\nthe model's input", "original", "binary pixels,\nthe model's input"
ENCODED = ("the\nposterior's mean", "a draw\nfrom the posterior")  # the codes of an image
THICKEST = 14  # pixels of the page along a pixel of small images, and so of the lines between them
SEPARATOR = 80  # gray level of the lines between the images


def samples(trace: Trace, nearest: bool = False, compact: bool = False) -> tuple[Figure, Callable[[Moment], None]]:
    """The decoder's means for the same noise at every epoch, draws beside them, and a function that shows a moment.

    Args:
        trace: the trace of the training.
        nearest: adds the training image nearest to each of the last means, if the trace has it.
        compact: fewer images, for an animation that is shown 420 pixels wide.
    """
    means, draws = trace.frames["samples_mean"], trace.frames["samples_draw"]
    scale = enlargement(means)
    most = (COMPACT_WIDTH if compact else MAX_WIDTH) // (scale * (means.shape[-1] + 1))
    if "samples_labels" in trace.fixed:
        shown, labels = class_rows(trace.fixed["samples_labels"], MAX_ROWS if compact else MAX_CLASSES, most)
        names = [str(trace.fixed["classes"][label]) for label in labels]
        columns, left = shown.shape[1], page.MARGIN + NAMES
    else:
        columns = max(1, min(int(np.sqrt(means.shape[1])), most))
        shown, names, left = np.arange(columns * min(MAX_ROWS, means.shape[1] // columns)), [], page.MARGIN
    means, draws, of_label = means[:, shown.ravel()], draws[:, shown.ravel()], ", y" if names else ""
    mean = "average of draws from" if "averages_draws" in trace.fixed else "mean of"
    grids = [
        (f"{mean} p(x | z{of_label}), z from the prior", means[-1]),
        (f"draw from p(x | z{of_label}), the same z", draws[-1]),
    ]
    if nearest and "samples_nearest" in trace.last:
        grids.append(("training image nearest to the mean", trace.last["samples_nearest"][shown.ravel()]))
    grids = [(name, tile(images, columns)) for name, images in grids]

    height, width = (scale * pixels for pixels in grids[0][1].shape[:2])
    step = max(width, 230 if names else 200) + GUTTER
    figure = page.page(max(left + len(grids) * step - GUTTER, 440 + left) + page.MARGIN, TOP + height + page.MARGIN)
    head = page.header(figure, trace)
    name_rows(figure, TOP, scale * (means.shape[-2] + 1), names, NAMES)
    placed = []
    for i, (name, grid) in enumerate(grids):
        page.fit(page.write(figure, left + i * step, TOP - 25, name, color=page.INK), step - 8, 20)
        placed.append(page.paste(figure, left + i * step, TOP, grid, scale))
    for image in placed[:2]:
        image.set_animated(True)

    def show(moment: Moment) -> None:
        placed[0].set_data(tile(fade(means, moment), columns))
        placed[1].set_data(tile(dissolve(draws, moment), columns))
        head(*progress(trace, moment))

    return figure, show


def reconstructions(
    trace: Trace, worst: bool = False, compact: bool = False
) -> tuple[Figure, Callable[[Moment], None]]:
    """Images over their two reconstructions, in bands, and a function that shows a moment.

    Args:
        trace: the trace of the training.
        worst: adds the validation images with the worst ELBO of the last epoch, over their reconstructions.
        compact: fewer images, for an animation that is shown 420 pixels wide.
    """
    means, draws = trace.frames["recon_mean"], trace.frames["recon_draw"]
    across, most = (COMPACT_IMAGES, 2 * COMPACT_IMAGES) if compact else (MAX_IMAGES, means.shape[1])
    still = data_rows(trace.fixed["pixels"][: means.shape[1]], trace.fixed.get("originals"))
    worst = worst and "worst_elbo" in trace.last
    scale = enlargement(means)
    count = min(means.shape[1], most)
    bands = np.array_split(np.arange(count), -(-count // across))
    step_across, step_down = (scale * (pixels + 1) for pixels in means.shape[:2:-1])
    columns = max(len(bands[0]), len(trace.last["worst_elbo"]) if worst else 0)
    names = [*still, *reconstruction_names(trace)]

    below = TOP - 24 + len(bands) * (len(names) * step_down + BAND)
    of_worst = data_rows(trace.last["worst_x"], trace.last.get("worst_original")) if worst else {}
    figure = page.page(
        max(LABELS + columns * step_across, 440) + 2 * page.MARGIN,
        below + ((len(of_worst) + 1) * step_down + 70 if worst else 0) + page.MARGIN - BAND,
    )
    head = page.header(figure, trace)

    def stack(band: np.ndarray, moment: Moment) -> np.ndarray:
        rows = [images[band] for images in still.values()]
        return tile(np.concatenate([*rows, fade(means[:, band], moment), fade(draws[:, band], moment)]), len(band))

    grids = []
    for i, band in enumerate(bands):
        top = TOP - 24 + i * (len(names) * step_down + BAND)
        name_rows(figure, top, step_down, names)
        grids.append(page.paste(figure, page.MARGIN + LABELS, top, stack(band, Moment(0)), scale))
        grids[-1].set_animated(True)
    if worst:
        _draw_worst(figure, trace, of_worst, below + 4, scale)

    def show(moment: Moment) -> None:
        for grid, band in zip(grids, bands, strict=True):
            grid.set_data(stack(band, moment))
        head(*progress(trace, moment))

    return figure, show


def reconstruction_names(trace: Trace) -> list[str]:
    """The names of an image's two reconstructions."""
    mean = "average at" if "averages_draws" in trace.fixed else "mean at"
    return [f"{mean} {code}" for code in ENCODED]


def data_rows(pixels: np.ndarray, originals: np.ndarray | None) -> dict[str, np.ndarray]:
    """Rows of images (N, C, H, W) by their names: as the model sees them and, where it sees binary pixels, the gray
    levels that these were drawn from. Images that were binary already have one row."""
    if originals is None or np.array_equal(originals, pixels):
        return {IMAGE: pixels}
    return {ORIGINAL: originals, BINARY: pixels}


def sheet(title: str, caption: str, rows: Sequence[tuple[str, np.ndarray]], notes: Sequence[str] = ()) -> Figure:
    """A page of rows of images, with the name of each row on its left.

    Args:
        title: the title of the page.
        caption: the text below the title.
        rows: for each row its name and images (N, C, H, W) uint8; rows of different lengths begin at the left.
        notes: text under each column.
    """
    scale = enlargement(rows[0][1])
    step_across, step_down = (scale * (pixels + 1) for pixels in rows[0][1].shape[:1:-1])
    across = LABELS + max(len(images) for _, images in rows) * step_across
    below = TOP - 24 + len(rows) * step_down
    lines = max((note.count("\n") + 1 for note in notes), default=0)
    figure = page.page(
        max(across, 600) + 2 * page.MARGIN, below + (16 * max(lines, 2) - 2 if notes else 0) + page.MARGIN
    )
    page.title(figure, title, caption)
    name_rows(figure, TOP - 24, step_down, [name for name, _ in rows])
    for i, (_, images) in enumerate(rows):
        page.paste(figure, page.MARGIN + LABELS, TOP - 24 + i * step_down, tile(images, len(images)), scale)
    for i, note in enumerate(notes):
        middle = page.MARGIN + LABELS + (i + 0.5) * step_across
        page.shrink(page.write(figure, middle, below + scale + 8, note, points=8.5, ha="center"), step_across - 2)
    return figure


def _draw_worst(figure: Figure, trace: Trace, still: dict[str, np.ndarray], top: float, scale: int) -> None:
    elbos, means = trace.last["worst_elbo"], trace.last["worst_mean"]
    step_across, step_down = (scale * (pixels + 1) for pixels in means.shape[:1:-1])
    title = f"the {len(elbos)} validation images with the worst ELBO, in nats"
    room = page.size(figure)[0] - 2 * page.MARGIN - LABELS
    page.shrink(page.write(figure, page.MARGIN + LABELS, top, title, color=page.INK), room)
    name_rows(figure, top + 24, step_down, [*still, reconstruction_names(trace)[0]])
    rows = np.concatenate([*still.values(), means])
    page.paste(figure, page.MARGIN + LABELS, top + 24, tile(rows, len(means)), scale)
    for i, elbo in enumerate(elbos):
        middle = page.MARGIN + LABELS + (i + 0.5) * step_across
        below = top + 30 + (len(still) + 1) * step_down
        page.shrink(page.write(figure, middle, below, page.number(elbo), points=8.5, ha="center"), step_across - 4)


def name_rows(figure: Figure, top: float, step: float, names: Sequence[str], width: float = LABELS) -> None:
    """Write the names of rows of images, `step` pixels high, at the left of the page."""
    for i, name in enumerate(names):
        label = page.write(figure, page.MARGIN, top + (i + 0.5) * step, name, points=8.5, va="center")
        page.shrink(label, width - 6)


def class_rows(labels: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of images with these labels (N,) to show as a row for each class, (classes, images), and the classes.

    There are at most so many rows and columns, and in each row as many images as the class with the fewest has.
    """
    classes, counts = np.unique(labels, return_counts=True)
    each = max(1, min(columns, counts[:rows].min()))
    return np.stack([np.flatnonzero(labels == label)[:each] for label in classes[:rows]]), classes[:rows]


def enlargement(images: np.ndarray) -> int:
    """The number of page pixels along a pixel of `images` (..., H, W): a whole number, so that no pixel is blurred."""
    return max(1, min(THICKEST, round(CELL / max(images.shape[-2:]))))


def tile(images: np.ndarray, columns: int) -> np.ndarray:
    """`images` (N, C, H, W), row by row, as one RGB array, with a line of one pixel around each; C is 1 or 3."""
    count, _, height, width = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * columns, height + 1, width + 1, 3), SEPARATOR, dtype=np.uint8)
    sheet[:count, 1:, 1:] = images.transpose(0, 2, 3, 1)
    sheet = sheet.reshape(rows, columns, height + 1, width + 1, 3).swapaxes(1, 2)
    sheet = sheet.reshape(rows * (height + 1), columns * (width + 1), 3)
    return np.pad(sheet, ((0, 1), (0, 1), (0, 0)), constant_values=SEPARATOR)
