"""The latent plane: which dimensions, what of the prior, what it counts."""

import numpy as np
import pytest
from matplotlib.text import Text

from src import figures
from src.figures import latent
from src.figures.moments import Moment
from tests.helpers.traces import ANIMATIONS, STILLS, make_trace, names_of


def test_captions_name_epoch_and_elbo():
    trace = make_trace()
    figure, show = latent.plane(trace, [0, 3])
    show(Moment(3))
    words = [text.get_text() for text in figure.texts]
    assert "mlp d=4 beta=1 on clusters" in words
    assert "epoch 3 · validation ELBO \N{MINUS SIGN}140.0 nats" in words


@pytest.mark.parametrize("classes", [4, 10, 26, 60])
def test_an_animation_says_which_colour_is_which_class(classes):
    trace = make_trace(points=120, classes=classes)
    planes = {frame: trace.frames["codes"][frame][:, :2] for frame in (0, 3)}
    for figure, _ in (latent.plane(trace, [0, 3], compact=True), latent.tsne(trace, planes, planes[3], compact=True)):
        fixed = [text.get_text() for text in figure.texts if not text.get_animated()]
        named = [word for word in fixed if word.startswith("class ")]
        assert named == ([f"class {i}" for i in range(classes)] if classes <= 10 else [])
        assert any("no room" in word for word in fixed) == (classes > 10)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_plane_replaces_tsne_of_few_dimensions(tmp_path, dimensions):
    assert names_of(figures.draw_final(make_trace(dimensions=dimensions, epochs=1), tmp_path)) == STILLS | ANIMATIONS


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_plane_shows_draws_of_a_learned_prior_instead_of_contours(dimensions):
    trace = make_trace(dimensions=dimensions, epochs=1)
    trace.frames["prior_codes"] = np.random.default_rng(0).normal(size=(2, 30, dimensions))
    figure, show = latent.plane(trace, [0, 1])
    show(Moment(1))
    axes = figure.axes[-1]
    crosses, points = sorted(axes.collections, key=lambda drawn: drawn.get_zorder())[:2]
    np.testing.assert_allclose(crosses.get_offsets()[:, 0], trace.frames["prior_codes"][1][:, 0])
    np.testing.assert_allclose(points.get_offsets()[:, 0], trace.frames["codes"][1][:, 0])
    assert not axes.patches and len(axes.lines) == 0
    assert any("draws from the prior, which is learned" in text.get_text().replace("\n", " ") for text in figure.texts)
    trace.frames["prior_codes"][1] = trace.frames["prior_codes"][0]
    assert any(
        "draws from the prior." in text.get_text().replace("\n", " ") for text in latent.plane(trace, [0, 1])[0].texts
    )


def test_the_plane_shows_the_dimensions_with_the_largest_kl():
    trace = make_trace(dimensions=5)
    trace.epochs["val/kl_per_dim"][-1] = [0.1, 3, 0.2, 0, 4]
    assert latent.most_active(trace, 3) == [1, 4]
    del trace.epochs["val/kl_per_dim"]
    trace.frames["codes"][-1][:, [0, 2]] *= 100
    assert latent.most_active(trace, 3) == [0, 2]


def test_prior_contours_hold_their_mass():
    z = np.random.default_rng(0).normal(size=(200_000, 2))
    for mass, radius in latent.CIRCLES.items():
        assert (np.linalg.norm(z, axis=1) < radius).mean() == pytest.approx(mass, abs=0.004)
    for mass, half in latent.INTERVALS.items():
        assert (np.abs(z[:, 0]) < half).mean() == pytest.approx(mass, abs=0.004)


@pytest.mark.parametrize("kind", ["tsne", "plane"])
def test_active_units_are_those_that_were_recorded(kind):
    """The drawn codes are of some images only, which may have other active units."""
    trace = make_trace(epochs=2)
    trace.epochs["val/active_units"] = np.array([0, 2, 1])
    if kind == "tsne":
        planes = {frame: np.zeros((len(trace.fixed["labels"]), 2)) for frame in range(3)}
        figure, show = latent.tsne(trace, planes, planes[0])
    else:
        figure, show = latent.plane(trace, range(3))
    for frame, count in enumerate((0, 2, 1)):
        show(Moment(frame))
        dimensions = trace.frames["codes"].shape[2]
        assert f"{count} of {dimensions}" in [text.get_text() for text in figure.findobj(Text)]


def test_the_plane_counts_the_codes_outside_of_its_frame():
    trace = make_trace(points=200, dimensions=2)
    trace.frames["codes"][1][:3] = 1000
    figure, show = latent.plane(trace, range(4))
    show(Moment(1))
    assert "3 of 200 outside of the frame" in [text.get_text() for text in figure.findobj(Text)]
    show(Moment(2))
    assert not any("outside" in text.get_text() for text in figure.findobj(Text))
