"""Figures written to files: an image as PNG, an animation as GIF with one palette."""

from collections.abc import Callable, Sequence
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from src.figures.page import render, render_each
from src.support.files import atomic_path

STEP, HOLD = 280, 2500  # milliseconds for which a frame, and the last frame, is shown
COLOURS = 96


def evenly_in_log(images_seen: np.ndarray, count: int = 30) -> np.ndarray:
    """At most `count` positions in the ascending `images_seen`, evenly in its logarithm, both ends included.

    Where the steps of `images_seen` are coarser than that, every position is included.
    """
    if len(images_seen) < 3:
        return np.arange(len(images_seen))
    # the first is the untrained model, whose logarithm is not finite: it has no part in the spacing
    seen = np.log(images_seen[1:])
    targets = np.linspace(seen[0], seen[-1], count - 1)
    nearest = np.abs(seen[:, None] - targets).argmin(0)
    return np.unique(np.concatenate([[0], nearest + 1]))


def write_image(figure: Figure, path: Path, scale: float) -> Path:
    """Write the figure to `path` as PNG, `scale` times its size in pixels, and return `path`."""
    with atomic_path(path) as partial:
        render(figure, scale).save(partial, "PNG", compress_level=3)
    return path


def write_animation(figure: Figure, show: Callable[[int], None], frames: Sequence[int], path: Path) -> Path:
    """Write the figure to `path` as a looping GIF, with one frame after `show` of each of `frames`; return `path`."""
    images = list(render_each(figure, show, frames))
    palette = shared_palette(images)
    # given indices into a palette, imageio does not make a palette for each frame
    indices = np.stack([image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images])
    options = {"mode": "P", "palette": bytes(palette.getpalette()), "optimize": False}
    options |= {"duration": [STEP] * (len(images) - 1) + [HOLD] if len(images) > 1 else HOLD, "loop": 0}
    # not to the file: imageio would try again to write what a full disk refused, where nobody can catch the error
    content = imageio.imwrite("<bytes>", indices, extension=".gif", plugin="pillow", **options)
    with atomic_path(path) as partial:
        partial.write_bytes(content)
    return path


def shared_palette(images: Sequence[Image.Image]) -> Image.Image:
    """An image whose palette suits all `images`, from every other row and column of five of them."""
    chosen = np.unique(np.linspace(0, len(images) - 1, 5).round().astype(int))
    strip = np.concatenate([np.asarray(images[i])[::2, ::2] for i in chosen])
    # the only one of Pillow's methods that does not merge rare colours with frequent ones
    palette = Image.fromarray(strip).quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=10_000)
    # the background must be exactly white: on a white web page any other colour shows as a box
    colours = np.array(palette.getpalette()).reshape(-1, 3)
    colours[colours.min(1) > 240] = 255
    palette.putpalette(colours.ravel().tolist())
    return palette
