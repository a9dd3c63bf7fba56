"""Single images, and how pictures of binary models show them."""

import numpy as np
import pytest

from src.build import open_run
from src.figures import page
from src.figures.grids import BINARY, IMAGE, ORIGINAL
from src.tasks.examples import picture_rows

FIRST_OF_BOTH = {ORIGINAL.partition(",")[0], BINARY.partition(",")[0]}


def test_rows_of_a_binary_model_begin_with_the_gray_originals(finished):
    run = open_run(finished)
    rows = picture_rows(run, [2, 0])
    assert list(rows) == [ORIGINAL, BINARY]
    assert np.array_equal(rows[ORIGINAL], run.data.source.test.images[[2, 0]])
    assert np.array_equal(rows[BINARY], run.data.test.images[[2, 0]])
    of_validation = picture_rows(run, [1], "val")
    assert np.array_equal(of_validation[ORIGINAL], run.data.source.val.images[[1]])


def test_rows_of_a_model_of_gray_levels_are_the_images(run):
    trained = open_run(run("likelihood=logistic256", "trainer.max_epochs=1"))
    rows = picture_rows(trained, [2, 0])
    assert list(rows) == [IMAGE] and np.array_equal(rows[IMAGE], trained.data.source.test.images[[2, 0]])


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("interpolate", ["task.pairs=1", "task.steps=3"]),
        ("traverse", ["task.steps=3"]),
        ("inpaint", ["task.mask=half", "task.images=2", "task.samples=10", "task.draws=3"]),
        ("compare", ["task.other=", "task.samples=1", "task.count=2"]),
        ("anomaly", ["task.scores=[-elbo]", "task.images=8", "task.against=[noise]"]),
    ],
)
def test_pictures_of_a_binary_model_name_what_it_sees(applied, finished, monkeypatch, task, options):
    drawn, make = [], page.page

    def remember(*size):
        drawn.append(make(*size))
        return drawn[-1]

    monkeypatch.setattr(page, "page", remember)
    applied(finished, f"task={task}", *(f"{each}{finished}" if each.endswith("=") else each for each in options))
    texts = [" ".join(text.get_text() for text in figure.texts) for figure in drawn]
    with_both = [all(name in text for name in FIRST_OF_BOTH) for text in texts]
    without = {"compare": 2, "anomaly": 1}.get(task, 0)  # a table and images of the models, histograms
    assert with_both.count(False) == without and any(with_both)
