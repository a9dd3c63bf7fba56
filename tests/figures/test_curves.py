"""Losses and divergences over the epochs."""

import numpy as np
import pytest

from src import figures
from src.figures import curves
from tests.helpers.traces import STILLS, make_trace, names_of


def test_the_loss_plot_shows_what_is_scheduled():
    trace = make_trace()
    assert "β" in {text.get_text() for text in curves.loss(trace).texts}
    trace.epochs["capacity"] = trace.epochs.pop("beta") * 25
    words = {text.get_text() for text in curves.loss(trace).texts}
    assert "C (nats)" in words
    assert "β" not in words
    del trace.epochs["capacity"]
    assert len(curves.loss(trace).axes) == 4


def test_no_kl_per_dimension_without_its_numbers(tmp_path):
    trace = make_trace(points=20, epochs=1)
    del trace.epochs["val/kl_per_dim"]
    assert names_of(figures.draw_latest(trace, tmp_path)) == STILLS - {"kl_per_dim.png"}


@pytest.mark.parametrize("dimensions", [1, 128])
def test_heat_map_of_any_height_sorts_by_the_last_epoch(dimensions):
    trace = make_trace(points=20, dimensions=dimensions, epochs=1)
    figure = curves.kl_per_dim(trace)
    heat = figure.axes[0].images[0].get_array()
    assert heat.shape == (dimensions, 2) and (np.diff(heat[:, -1]) <= 0).all()
    labels = figure.axes[0].get_yticklabels()
    assert labels[0].get_text() == str(dimensions - 1) and len(labels) <= 43


def test_loss_axes_ignore_the_untrained_model_but_show_the_best_epoch():
    epochs = np.arange(41)
    curve = np.concatenate([[5000.0, 300], np.linspace(200, 100, 39)])
    low, high = curves.readable_limits(epochs, [curve], best=40)
    assert low < 100 and 190 < high < 210
    assert curves.readable_limits(epochs, [curve[::-1]], best=1)[0] < 100
    exploded = np.concatenate([curve[:31], np.full(10, 1e28)])
    low, high = curves.readable_limits(epochs, [exploded], best=30)
    assert low < 120 and 200 < high < 3000
    assert curves.readable_limits(np.array([0]), [np.array([np.nan])], best=0) == (0, 1)


@pytest.mark.parametrize("loss", [7.0, -1.9e30])
def test_the_axis_of_a_single_loss_has_a_height_however_large_it_is(loss):
    low, high = curves.readable_limits(np.arange(2), [np.array([1.0, loss])], best=1)
    assert low < loss < high


def test_the_best_epoch_is_that_of_the_checkpoint():
    """The checkpoint is chosen in float32: of two losses that are equal there, the first."""
    trace = make_trace(epochs=3)
    trace.epochs["val/loss"] = np.array([500, 206.3385523, 206.3385521, 206.4])
    assert np.float32(206.3385523) == np.float32(206.3385521)
    assert curves.best_epoch(trace) == 1


@pytest.mark.parametrize(("untrained", "extend"), [(9.0, "max"), (0.1, "neither")])
def test_the_heat_map_says_where_the_untrained_model_exceeds_its_colours(untrained, extend):
    trace = make_trace(dimensions=2, epochs=2)
    trace.epochs["val/kl_per_dim"] = np.array([[untrained, 0], [0.5, 0.1], [0.6, 0.2]])
    (bar,) = (axes for axes in curves.kl_per_dim(trace).axes if hasattr(axes, "_colorbar"))
    assert bar._colorbar.extend == extend
