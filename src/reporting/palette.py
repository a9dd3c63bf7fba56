"""Colours of runs and of the cells of a matrix."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex, to_rgb

from src.figures.look import CLASS_COLOURS
from src.reporting.groups import is_number, order_key
from src.run.options import as_text

# the parts of viridis that can be seen on a light and on a dark page
ON_LIGHT, ON_DARK = (0.05, 0.85), (0.35, 1.0)
DARK_PAGE = "#0d1117"
SCALE = "cividis"  # looks the same to the colour-blind (Nuñez, Anderton, Renslow, 2018)


def colours(values: Sequence[Any]) -> dict[str, Any]:
    """A colour for each of `values`, from dark to light for numbers; `legend`: each distinct value and its colour.

    A colour is one of CSS, `light-dark(on a light page, on a dark one)`.
    """
    distinct = distinct_values(values)
    if all(is_number(value) for value in distinct) and len(distinct) > 1:
        light, dark = (scale_colours("viridis", np.linspace(*ends, len(distinct))) for ends in (ON_LIGHT, ON_DARK))
        palette = [f"light-dark({a}, {b})" for a, b in zip(light, dark, strict=True)]
    else:
        names = [CLASS_COLOURS[i % len(CLASS_COLOURS)] for i in range(len(distinct))]
        palette = [f"light-dark({colour}, {lighten(colour)})" for colour in names]
    legend = dict(zip(map(as_text, distinct), palette, strict=True))
    return {"of": [legend[as_text(value)] for value in values], "legend": list(legend.items())}


def lighten(colour: str) -> str:
    """A colour mixed with as much white as it needs to be seen on a dark page: with a contrast of 3 to 1."""
    mixtures = (to_hex([c + share * (1 - c) for c in to_rgb(colour)]) for share in np.linspace(0, 1, 21))
    return next(each for each in mixtures if contrast(each, DARK_PAGE) >= 3)


def distinct_values(values: Sequence[Any]) -> list[Any]:
    """The distinct values of an option in order: numbers by size, before text."""
    return sorted({as_text(value): value for value in values}.values(), key=order_key)


def scale_colours(name: str, shares: Sequence[float] | np.ndarray) -> list[str]:
    """The colours at these places, from 0 to 1, of one of matplotlib's scales."""
    scale = mpl.colormaps[name]
    return [to_hex(scale(float(share))) for share in shares]


def text_colour(background: str) -> str:
    """Black or white, whichever has the higher contrast to a background: at least 4.5 to 1, as WCAG 2 asks for."""
    return max("#000000", "#ffffff", key=lambda colour: contrast(colour, background))


def contrast(first: str, second: str) -> float:
    """The contrast of two colours, as WCAG 2 defines it: from 1 to 21."""
    low, high = sorted(map(luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """The relative luminance of a colour, as WCAG 2 defines it: 0 of black, 1 of white."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
