"""Figures as PDF or SVG: text and lines that stay sharp at any size."""

import logging
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from src.figures.page import DPI, animated_artists
from src.support.files import atomic_path


def write_vector(figure: Figure, path: Path, scale: float) -> Path:
    """Write the figure to `path` in the format of its suffix, and return `path`.

    A pixel of the page is a hundredth of an inch; images have `scale` times as many pixels as on the page.
    """
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs each letter that it embeds
    animated = animated_artists(figure)
    for artist in animated:
        artist.set_animated(False)  # matplotlib leaves animated artists out of the file
    # fonts that can be edited and searched; no date or random name, so that the same figure gives the same file
    options = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": path.name}
    date = {"CreationDate": None} if path.suffix == ".pdf" else {"Date": None}
    try:
        with atomic_path(path) as partial, rc_context(options):
            figure.savefig(partial, format=path.suffix[1:], dpi=scale * DPI, metadata=date)
    finally:
        for artist in animated:
            artist.set_animated(True)
    return path
