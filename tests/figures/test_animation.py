"""Films: what is drawn once and kept may hold nothing that changes."""

import numpy as np
import pytest

from src.figures import grids, latent, page
from src.figures.moments import Moment
from tests.helpers.traces import make_trace


@pytest.mark.parametrize("dimensions", [1, 4])
def test_animations_show_what_drawing_each_frame_anew_would(dimensions):
    trace = make_trace(dimensions=dimensions)
    planes = {frame: np.repeat(codes[:, :1], 2, axis=1) for frame, codes in enumerate(trace.frames["codes"])}
    for figure, show in (
        grids.samples(trace),
        grids.reconstructions(trace),
        latent.plane(trace, [0, 3]),
        latent.tsne(trace, planes, planes[0]),
    ):
        images = list(page.render_each(figure, show, [Moment(0), Moment(3)]))
        for frame, image in zip([0, 3], images, strict=True):
            show(Moment(frame))
            assert np.array_equal(page.render(figure), image)
