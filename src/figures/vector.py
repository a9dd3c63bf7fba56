"""Figures as PDF or SVG: words and lines that stay sharp at any size."""

import logging
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from src.figures.page import DPI, moving
from src.support.files import atomic_path


def write_vector(figure: Figure, path: Path, scale: float) -> Path:
    """Writes the figure to `path` as its suffix says, and returns `path`; a page's pixel is a hundredth of an inch.

    scale: images in it have `scale` times the page's pixels
    """
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of each letter that it packs
    still = moving(figure)
    for artist in still:
        artist.set_animated(False)  # such a one is left out of the file
    # fonts that a program can edit and search; no date or random name, so that the same figure gives the same file
    options = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": path.name}
    date = {"CreationDate": None} if path.suffix == ".pdf" else {"Date": None}
    try:
        with atomic_path(path) as partial, rc_context(options):
            figure.savefig(partial, format=path.suffix[1:], dpi=scale * DPI, metadata=date)
    finally:
        for artist in still:
            artist.set_animated(True)
    return path
