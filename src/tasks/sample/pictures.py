"""Pictures of new images: grids of those by one sampler, and a row of those by each sampler."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from src.figures import page
from src.figures.grids import GUTTER, NAMES, TOP, enlargement, name_rows, sheet, tile

COLUMNS = 8
MOST = 96  # images in a grid


def side_by_side(
    title: str, caption: str, grids: Sequence[tuple[str, np.ndarray]], names: Sequence[str] = ()
) -> Figure:
    """A page of grids of images, each with its heading, (heading, images (N, C, H, W) uint8); the first 96 of each.

    names: of rows of equally many images each, in place of rows of COLUMNS
    """
    columns = len(grids[0][1]) // len(names) if names else min(COLUMNS, len(grids[0][1]))
    left = page.MARGIN + (NAMES if names else 0)
    tiles = [(heading, tile(images[:MOST], columns)) for heading, images in grids]
    scale = enlargement(grids[0][1])
    height, width = (scale * pixels for pixels in tiles[0][1].shape[:2])
    step = max(width, 230) + GUTTER
    figure = page.page(left + len(grids) * step - GUTTER + page.MARGIN, TOP + height + page.MARGIN)
    page.title(figure, title, caption)
    name_rows(figure, TOP, scale * (grids[0][1].shape[-2] + 1), names, NAMES)
    for i, (heading, pixels) in enumerate(tiles):
        page.write(figure, left + i * step, TOP - 25, heading, color=page.INK)
        page.paste(figure, left + i * step, TOP, pixels, scale)
    return figure


def strips(title: str, caption: str, rows: Mapping[str, np.ndarray], frechet: Mapping[str, float]) -> Figure:
    """Rows of images (N, C, H, W) uint8, each with its name and, where it is known, its Fréchet distance."""
    labels = {name: f"{name}\nFréchet {page.number(value, 2)}" for name, value in frechet.items()}
    return sheet(title, caption, [(labels.get(name, name), images) for name, images in rows.items()])
