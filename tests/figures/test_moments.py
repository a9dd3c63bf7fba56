"""Moments between the frames of an animation."""

import numpy as np
import pytest
from PIL import Image

from src.figures import grids
from src.figures.animation import write_animation, write_smooth_animation
from src.figures.moments import FEWEST, MOST, Moment, blend, dissolve, evenly_in_log, fade, smooth
from src.figures.page import render
from tests.helpers.traces import make_trace


def test_frames_evenly_in_log():
    assert evenly_in_log(np.array([0])).tolist() == [0]
    assert evenly_in_log(np.array([0, 5])).tolist() == [0, 1]
    chosen = evenly_in_log(4000 * np.arange(301))
    assert len(chosen) <= 30 and chosen[0] == 0 and chosen[-1] == 300
    ratios = chosen[8:][1:] / chosen[8:][:-1]
    assert ratios.max() / ratios.min() < 1.15
    assert chosen[:5].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [1, 2, 13, 30, 64, 300])
def test_moments_lead_from_frame_to_frame_in_even_steps(count):
    frames = range(5, 5 + 2 * count, 2)
    moments = smooth(frames)
    assert len(moments) <= MOST and moments[0].frame == 5 and moments[-1] == Moment(frames[-1])
    passed = [moment.frame for moment in moments if not moment.share]
    assert passed == list(frames) if count <= MOST else set(passed) <= set(frames)
    places = np.array([blend(np.arange(700.0), moment) for moment in moments])
    assert (np.diff(places) > 0).all()
    if 1 < count < 30:
        assert np.diff(places) == pytest.approx(np.full(len(moments) - 1, np.diff(places)[0]))


def test_images_are_faded_and_draws_dissolved():
    images = np.stack([np.zeros((3, 1, 40, 40), np.uint8), np.full((3, 1, 40, 40), 255, np.uint8)])
    assert (fade(images, Moment(0, 1, 0.4)) == 102).all()
    shares = [dissolve(images, Moment(0, 1, share)) for share in (0.25, 0.75)]
    assert all(set(np.unique(each)) == {0, 255} for each in shares)
    assert [(each == 255).mean() for each in shares] == pytest.approx([0.25, 0.75], abs=0.03)
    assert (shares[1] >= shares[0]).all()  # no pixel turns back
    assert np.array_equal(dissolve(images, Moment(1)), images[1])


def test_an_animation_that_would_be_too_large_has_fewer_moments(tmp_path):
    trace = make_trace(points=20, epochs=12)
    sizes = {}
    for limit in (10_000_000, 150_000, 1):
        path = write_smooth_animation(*grids.samples(trace, compact=True), range(13), tmp_path / "a.gif", limit)
        with Image.open(path) as film:
            sizes[limit] = (path.stat().st_size, film.n_frames)
    assert sizes[10_000_000][1] == len(smooth(range(13))) and sizes[10_000_000][0] > 150_000
    assert sizes[150_000][0] <= 150_000 and sizes[150_000][1] > sizes[1][1] == FEWEST


def test_a_walk_that_would_be_too_large_has_every_other_frame(tmp_path):
    trace = make_trace(points=20, epochs=40)
    moments = [Moment(frame) for frame in range(41)]
    counts, durations = [], []
    for limit in (10_000_000, 200_000):
        path = write_animation(*grids.samples(trace, compact=True), moments, tmp_path / "a.gif", limit)
        with Image.open(path) as film:
            counts.append(film.n_frames)
            durations.append(film.info["duration"])
    assert path.stat().st_size <= 200_000 and counts == [41, 11] and durations == [120, 480]


def test_what_stays_as_it_is_takes_no_space_and_is_shown(tmp_path):
    """Each image of the file holds changes alone; what a reader shows is the page, in the file's colours."""
    trace = make_trace(points=20, epochs=2)
    figure, show = grids.samples(trace, compact=True)
    path = write_smooth_animation(figure, show, range(3), tmp_path / "a.gif")
    with Image.open(path) as film:
        for frame in (0, 5, 10):
            film.seek(frame)
            shown = np.asarray(film.convert("RGB")).astype(int)
            show(Moment(frame // 5))
            assert np.abs(shown - np.asarray(render(figure)).astype(int)).mean() < 4
