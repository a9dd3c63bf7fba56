"""Figures written to files: an image as PNG, an animation as GIF with one palette."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from src.figures.moments import FEWEST, MOST, Moment, smooth
from src.figures.page import Frame, render, render_each
from src.support.files import atomic_path

STEP, HOLD = 120, 2500  # milliseconds for which a frame, and the last frame, is shown
SECONDS, QUICKEST, SLOWEST = 5, 80, 280  # a smooth animation lasts so long, its moments so many milliseconds
COLOURS = 63  # and one more, the index of what stays as it is
LIMIT = 1_900_000  # bytes of an animation


def write_image(figure: Figure, path: Path, scale: float) -> Path:
    """Write the figure to `path` as PNG, `scale` times its size in pixels, and return `path`."""
    with atomic_path(path) as partial:
        render(figure, scale).save(partial, "PNG", compress_level=3)
    return path


def write_animation(
    figure: Figure, show: Callable[[Frame], None], frames: Sequence[Frame], path: Path, limit: int = LIMIT
) -> Path:
    """Write the figure to `path` as a looping GIF, with one image after `show` of each of `frames`; return `path`.

    Where that exceeds the `limit`, in bytes, every other frame is left out, and the others are shown twice as long.
    """
    step = STEP
    while len(content := encode(figure, show, frames, step)) > limit and len(frames) > 2 * FEWEST:
        frames, step = [*frames[:-1:2], frames[-1]], 2 * step
    return write_bytes(content, path)


def write_smooth_animation(
    figure: Figure, show: Callable[[Moment], None], frames: Sequence[int], path: Path, limit: int = LIMIT
) -> Path:
    """Write the figure to `path` as a looping GIF that leads through `frames` by way of moments between them.

    There are as many moments as the `limit`, in bytes, has room for, and fewer frames where these alone exceed it.
    """
    most = MOST
    while True:
        moments = smooth(frames, most)
        step = min(SLOWEST, max(QUICKEST, round(1000 * SECONDS / len(moments))))
        content = encode(figure, show, moments, step)
        if len(content) <= limit or most <= FEWEST:
            return write_bytes(content, path)
        most = max(FEWEST, int(0.9 * limit / len(content) * len(moments)))


def write_bytes(content: bytes, path: Path) -> Path:
    """Write a whole file, and return its path."""
    with atomic_path(path) as partial:
        partial.write_bytes(content)
    return path


def encode(figure: Figure, show: Callable[[Frame], None], frames: Sequence[Frame], step: int) -> bytes:
    """The content of a GIF; each image is shown for `step` milliseconds, the last one longer."""
    few = [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, 5).round().astype(int))]
    palette = shared_palette(render_each(figure, show, few))
    colours = [*palette.getpalette()[: 3 * COLOURS], 255, 255, 255]
    images: list[np.ndarray] = []
    before: np.ndarray | None = None
    for image in render_each(figure, show, frames):
        indices = np.asarray(image.quantize(palette=palette, dither=Image.Dither.NONE))
        # pixels that stay as they are become transparent, which halves the file
        images.append(indices if before is None else np.where(indices == before, COLOURS, indices).astype(np.uint8))
        before = indices
    durations = [step] * (len(images) - 1) + [HOLD] if len(images) > 1 else HOLD
    options = {"duration": durations, "loop": 0, "transparency": COLOURS, "disposal": 1, "optimize": False}
    # given indices into a palette, imageio does not make a palette for each frame; to bytes, because it would try again
    # to write to a file what a full disk refused, where nobody can catch the error
    options |= {"extension": ".gif", "plugin": "pillow", "mode": "P", "palette": bytes(colours)}
    return imageio.imwrite("<bytes>", np.stack(images), **options)


def shared_palette(images: Iterable[Image.Image]) -> Image.Image:
    """An image whose palette suits all `images`, from every other row and column of them."""
    strip = np.concatenate([np.asarray(image)[::2, ::2] for image in images])
    # the only one of Pillow's methods that does not merge rare colours with frequent ones
    palette = Image.fromarray(strip).quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=10_000)
    # the background must be exactly white: on a white web page any other colour shows as a box
    colours = np.array(palette.getpalette()).reshape(-1, 3)
    colours[colours.min(1) > 240] = 255
    palette.putpalette(colours.ravel().tolist())
    return palette
