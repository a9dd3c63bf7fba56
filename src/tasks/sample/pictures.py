"""Pictures of new images: grids of those by one sampler, and a row of those by each sampler."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from src.figures import page
from src.figures.grids import GUTTER, TOP, enlargement, sheet, tile

COLUMNS = 8
MOST = 96  # images in a grid


def side_by_side(title: str, caption: str, grids: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """A page of grids of images, each with its heading, (heading, images (N, C, H, W) uint8); the first 96 of each."""
    columns = min(COLUMNS, len(grids[0][1]))
    tiles = [(heading, tile(images[:MOST], columns)) for heading, images in grids]
    scale = enlargement(grids[0][1])
    height, width = (scale * pixels for pixels in tiles[0][1].shape[:2])
    step = max(width, 230) + GUTTER
    figure = page.page(len(grids) * step - GUTTER + 2 * page.MARGIN, TOP + height + page.MARGIN)
    page.title(figure, title, caption)
    for i, (heading, pixels) in enumerate(tiles):
        page.write(figure, page.MARGIN + i * step, TOP - 25, heading, color=page.INK)
        page.paste(figure, page.MARGIN + i * step, TOP, pixels, scale)
    return figure


def strips(title: str, caption: str, rows: Mapping[str, np.ndarray], frechet: Mapping[str, float]) -> Figure:
    """Rows of images (N, C, H, W) uint8, each with its name and, where it is known, its Fréchet distance."""
    labels = {name: f"{name}\nFréchet {page.number(value, 2)}" for name, value in frechet.items()}
    return sheet(title, caption, [(labels.get(name, name), images) for name, images in rows.items()])
