"""Tasks give the model the labels of their images."""

import pytest

from src.build import open_run
from src.support.statistics import flatten
from src.tasks.inpaint import inpaint
from src.tasks.interpolate import interpolate
from src.tasks.traverse import traverse
from tests.helpers.labelled import with_labels

OF_TEST = (None, "auto", "auto", False)  # no images of a user's own
TASKS = {
    "interpolate": lambda run, folder: interpolate(run, folder, 1, [[0, 1]], 3, "linear", *OF_TEST),
    "traverse": lambda run, folder: traverse(run, folder, 0, 2, 1, *OF_TEST),
    "inpaint": lambda run, folder: inpaint(run, folder, "half", 2, 10, 3, *OF_TEST),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_model_with_labels_is_given_them(task, finished, tmp_path):
    run = open_run(finished)
    with_labels(run.vae)
    assert flatten(TASKS[task](run, tmp_path)) != flatten(TASKS[task](open_run(finished), tmp_path))
