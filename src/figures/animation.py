"""Figures into files: a still as PNG, a film as GIF with one palette; written whole or not at all."""

from collections.abc import Callable, Sequence
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from src.figures.page import render, render_each
from src.support.files import atomic_path

STEP, HOLD = 280, 2500  # milliseconds of a frame, and of the last
COLOURS = 96


def evenly_in_log(images_seen: np.ndarray, count: int = 30) -> np.ndarray:
    """At most `count` positions in the ascending `images_seen`, evenly in its log, both ends included.

    Where its steps are coarser than that, each is taken.
    """
    if len(images_seen) < 3:
        return np.arange(len(images_seen))
    # the first is the untrained model, whose log is not finite: it takes no part in the spacing
    seen = np.log(images_seen[1:])
    targets = np.linspace(seen[0], seen[-1], count - 1)
    nearest = np.abs(seen[:, None] - targets).argmin(0)
    return np.unique(np.concatenate([[0], nearest + 1]))


def write_still(figure: Figure, path: Path, scale: float) -> Path:
    """Writes the figure to `path` as PNG, `scale` times its size in pixels, and returns `path`."""
    with atomic_path(path) as partial:
        render(figure, scale).save(partial, "PNG", compress_level=3)
    return path


def write_film(figure: Figure, show: Callable[[int], None], frames: Sequence[int], path: Path) -> Path:
    """Writes the figure to `path` as a looping GIF, after `show` of each of `frames`, and returns `path`."""
    images = list(render_each(figure, show, frames))
    palette = shared_palette(images)
    # imageio makes a palette for each frame unless it is handed one with the frames' indices into it
    indices = np.stack([image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images])
    film = {"mode": "P", "palette": bytes(palette.getpalette()), "optimize": False}
    film |= {"duration": [STEP] * (len(images) - 1) + [HOLD] if len(images) > 1 else HOLD, "loop": 0}
    with atomic_path(path) as partial:
        imageio.imwrite(partial, indices, extension=".gif", plugin="pillow", **film)
    return path


def shared_palette(images: Sequence[Image.Image]) -> Image.Image:
    """An image whose palette suits all `images`: of every other row and column of five of them, the best colours."""
    chosen = np.unique(np.linspace(0, len(images) - 1, 5).round().astype(int))
    strip = np.concatenate([np.asarray(images[i])[::2, ::2] for i in chosen])
    # of Pillow's methods the one that keeps rare colours apart from frequent ones
    palette = Image.fromarray(strip).quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=10_000)
    # the page must be white to the last bit: on a white web page it would show as a box
    colours = np.array(palette.getpalette()).reshape(-1, 3)
    colours[colours.min(1) > 240] = 255
    palette.putpalette(colours.ravel().tolist())
    return palette
