"""New images: grids of one sampler's, and a row of each sampler's."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from src.figures import page
from src.figures.grids import GUTTER, TOP, enlargement, sheet, tile

COLUMNS = 8
MOST = 96  # images in a grid


def side_by_side(title: str, caption: str, grids: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """A page of grids of images, each grid (words above it, images (N, C, H, W) uint8); the first 96 of each."""
    images = [(words, each[:MOST]) for words, each in grids]
    columns = min(COLUMNS, len(images[0][1]))
    tiles = [(words, tile(each, columns)) for words, each in images]
    scale = enlargement(grids[0][1])
    height, width = (scale * pixels for pixels in tiles[0][1].shape[:2])
    step = max(width, 230) + GUTTER
    figure = page.page(len(grids) * step - GUTTER + 2 * page.MARGIN, TOP + height + page.MARGIN)
    page.title(figure, title, caption)
    for i, (words, pixels) in enumerate(tiles):
        page.write(figure, page.MARGIN + i * step, TOP - 25, words, color=page.INK)
        page.paste(figure, page.MARGIN + i * step, TOP, pixels, scale)
    return figure


def strips(title: str, caption: str, rows: Mapping[str, np.ndarray], frechet: Mapping[str, float | None]) -> Figure:
    """Rows of images (N, C, H, W) uint8, each named, with its Fréchet distance where that is known."""
    known = {name: f"\nFréchet {page.number(value, 2)}" for name, value in frechet.items() if value is not None}
    return sheet(title, caption, [(f"{name}{known.get(name, '')}", images) for name, images in rows.items()])
