"""Grids of samples and reconstructions."""

import numpy as np
import pytest
from matplotlib.image import BboxImage
from PIL import Image

from src.figures import animation, grids
from src.figures.moments import Moment
from tests.helpers.traces import make_trace


def test_nearest_training_images_only_when_there(tmp_path):
    trace = make_trace()
    without, _ = grids.samples(trace, nearest=True)
    trace.last["samples_nearest"] = trace.frames["samples_mean"][-1]
    with_them, _ = grids.samples(trace, nearest=True)
    assert len(with_them.artists) == len(without.artists) + 1
    assert len(grids.samples(trace)[0].artists) == len(without.artists)


def test_samples_of_a_conditional_model_are_a_row_for_each_class():
    trace = make_trace(samples=9, classes=4)
    trace.fixed["samples_labels"] = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3])
    figure, show = grids.samples(trace)
    show(Moment(0))
    words = [text.get_text() for text in figure.texts]
    assert [word for word in words if word.startswith("class")] == [f"class {i}" for i in range(4)]
    assert "mean of p(x | z, y), z from the prior" in words
    assert any("ELBO given the label" in word for word in words)
    shown, classes = grids.class_rows(trace.fixed["samples_labels"], 3, 8)
    assert shown.tolist() == [[0, 1], [3, 4], [5, 6]]
    assert classes.tolist() == [0, 1, 2]


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
        path = animation.write_animation(figure, show, [Moment(0), Moment(1)], tmp_path / "animation.gif")
        with Image.open(path) as film:
            assert film.n_frames == 2 and 440 <= film.width <= 1400


def test_the_gray_originals_stand_over_binary_pixels():
    trace = make_trace()
    trace.fixed["pixels"] = (trace.fixed["pixels"] > 127).astype(np.uint8) * 255
    without, _ = grids.reconstructions(trace, worst=True)
    assert not any(text.get_text() in (grids.ORIGINAL, grids.BINARY) for text in without.texts)
    trace.fixed["originals"] = np.full_like(trace.frames["recon_mean"][0], 33)
    trace.last["worst_original"] = np.full_like(trace.last["worst_x"], 44)
    for compact in (False, True):
        figure, show = grids.reconstructions(trace, worst=True, compact=compact)
        show(Moment(3))
        names = [text.get_text() for text in figure.texts]
        bands = 1 + 1  # six images in one band, and the worst
        assert names.count(grids.ORIGINAL) == names.count(grids.BINARY) == bands
        shown = [image.get_array() for image in figure.artists if isinstance(image, BboxImage)]
        height, width = trace.fixed["pixels"].shape[2:]
        for grid, level in zip(shown, (33, 44), strict=True):
            assert (grid[1 : height + 1, 1 : width + 1] == level).all()
        assert np.array_equal(shown[0][height + 2 : 2 * height + 2, 1 : width + 1, 0], trace.fixed["pixels"][0, 0])


def test_images_that_were_binary_already_are_shown_once():
    images = np.array([0, 255], np.uint8).reshape(1, 1, 1, 2)
    assert list(grids.data_rows(images, images.copy())) == [grids.IMAGE]
    assert list(grids.data_rows(images, None)) == [grids.IMAGE]
    assert list(grids.data_rows(images, images // 2)) == [grids.ORIGINAL, grids.BINARY]


def test_tiles_hold_the_pixels_between_lines():
    images = np.arange(2 * 3 * 2 * 2, dtype=np.uint8).reshape(2, 3, 2, 2)
    sheet = grids.tile(images, columns=2)
    assert sheet.shape == (4, 7, 3)
    assert (sheet[1:3, 1:3] == images[0].transpose(1, 2, 0)).all()
    assert (sheet[1:3, 4:6] == images[1].transpose(1, 2, 0)).all()
    assert (sheet[0] == grids.SEPARATOR).all() and (sheet[:, 3] == grids.SEPARATOR).all()
    assert grids.tile(images[:, :1], columns=1).shape == (7, 4, 3)


@pytest.mark.parametrize(("side", "scale"), [(1, 14), (4, 14), (8, 7), (28, 2), (300, 1)])
def test_images_of_any_size_are_enlarged_by_a_whole_number(side, scale):
    assert grids.enlargement(np.zeros((2, 1, side, side // 2))) == scale
