"""Grids of samples and reconstructions."""

import numpy as np
import pytest
from PIL import Image

from src.figures import animation, grids
from tests.helpers.traces import make_trace


def test_nearest_training_images_only_when_there(tmp_path):
    trace = make_trace()
    without, _ = grids.samples(trace, nearest=True)
    trace.last["samples_nearest"] = trace.frames["samples_mean"][-1]
    with_them, _ = grids.samples(trace, nearest=True)
    assert len(with_them.artists) == len(without.artists) + 1
    assert len(grids.samples(trace)[0].artists) == len(without.artists)


def test_worst_images_carry_their_elbo():
    trace = make_trace()
    figure, _ = grids.reconstructions(trace, worst=True)
    words = [text.get_text() for text in figure.texts]
    assert "\N{MINUS SIGN}300.0" in words and "\N{MINUS SIGN}200.0" in words
    figure, _ = grids.reconstructions(trace)
    assert not any("300.0" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 5, 11), (3, 64, 40)])
def test_images_of_any_shape(tmp_path, shape):
    trace = make_trace(points=20, epochs=1, shape=shape)
    trace.last["samples_nearest"] = trace.frames["samples_mean"][-1]
    for figure, show in (grids.samples(trace, nearest=True), grids.reconstructions(trace, worst=True)):
        path = animation.write_animation(figure, show, [0, 1], tmp_path / "animation.gif")
        with Image.open(path) as film:
            assert film.n_frames == 2 and 440 <= film.width <= 1400


def test_tiles_hold_the_pixels_between_lines():
    images = np.arange(2 * 3 * 2 * 2, dtype=np.uint8).reshape(2, 3, 2, 2)
    sheet = grids.tile(images, columns=2)
    assert sheet.shape == (4, 7, 3)
    assert (sheet[1:3, 1:3] == images[0].transpose(1, 2, 0)).all()
    assert (sheet[1:3, 4:6] == images[1].transpose(1, 2, 0)).all()
    assert (sheet[0] == grids.SEPARATOR).all() and (sheet[:, 3] == grids.SEPARATOR).all()
    assert grids.tile(images[:, :1], columns=1).shape == (7, 4, 3)
