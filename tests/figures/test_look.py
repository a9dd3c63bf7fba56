"""Colours and markers: whether everybody can tell classes apart."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from src.figures import animation, page, points
from src.figures.look import CLASS_COLOURS, INK, MARKERS, class_styles

# Machado, Oliveira & Fernandes (2009), severity 1.0, for linear RGB
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(colours: np.ndarray, vision: str = "normal") -> np.ndarray:
    """CIELAB (N, 3) of sRGB colours (N, 3) in [0, 1] as somebody sees them, for the white of D65."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(VISION[vision]).T, 0, 1) @ XYZ.T / XYZ.sum(1)
    f = np.where(seen > 216 / 24389, np.cbrt(seen), (24389 / 27 * seen + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def rgb(colours: object) -> np.ndarray:
    return np.array([to_rgb(colour) for colour in colours])


def test_lab_of_known_colours():
    """Reference values of sRGB red and of white (D65)."""
    np.testing.assert_allclose(lab(rgb(["#ff0000", "#ffffff"])), [[53.24, 80.09, 67.20], [100, 0, 0]], atol=0.02)


@pytest.mark.parametrize("vision", VISION)
def test_class_colours_are_told_apart_by_everybody(vision):
    assert len(CLASS_COLOURS) == 10
    seen = lab(rgb(CLASS_COLOURS), vision)
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) >= 20
    paper, ink = lab(rgb(["#ffffff", INK]), vision)
    assert min(np.linalg.norm(each - paper) for each in seen) >= 20
    assert min(np.linalg.norm(each - ink) for each in seen) >= 10


def test_classes_beyond_ten_differ_by_their_markers():
    assert {marker for _, marker in class_styles(10)} == {"o"}
    styles = class_styles(10 * len(MARKERS))
    assert len(set(styles)) == 100 and styles[10] == (CLASS_COLOURS[0], MARKERS[1])
    figure = page.page(200, 200)
    drawn = points.scatter(page.box(figure, page.Area(0, 0, 200, 200)), np.array([0, 10, 25, 12]), 30)
    assert [len(path.vertices) for path in drawn.get_paths()].count(len(drawn.get_paths()[1].vertices)) == 2
    assert len({path.vertices.tobytes() for path in drawn.get_paths()}) == 3


@pytest.mark.parametrize("vision", VISION)
def test_an_animation_keeps_the_colours_apart(vision, tmp_path):
    figure = page.page(300, 300)
    axes = page.box(figure, page.Area(0, 0, 300, 300))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    drawn = points.scatter(axes, np.arange(10), 10, area=60)
    drawn.set_offsets(np.column_stack([np.arange(10) / 10 + 0.05, np.full(10, 0.5)]))
    path = animation.write_animation(figure, lambda frame: None, [0], tmp_path / "a.gif")
    with Image.open(path) as film:
        pixels = np.asarray(film.convert("RGB")) / 255
    centres = np.array([pixels[150, 15 + 30 * i] for i in range(10)])
    assert np.abs(centres - rgb(CLASS_COLOURS)).max() < 0.05
    seen = lab(centres, vision)
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) >= 20
