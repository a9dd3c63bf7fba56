"""task=figures."""

import shutil

import numpy as np
import pytest
from PIL import Image

from src.figures import page, vector
from src.support.errors import UserError
from tests.helpers.traces import ANIMATIONS, STILLS, TSNE, make_trace


@pytest.fixture(scope="module")
def watched(finished, tmp_path_factory):
    """A copy of the finished run with a trace, and a picture that must stay."""
    folder = tmp_path_factory.mktemp("watched") / "run"
    shutil.copytree(finished, folder)
    (folder / "figures").mkdir()
    make_trace(points=40).save(folder / "figures" / "trace.npz")
    (folder / "figures" / "loss.png").write_text("the old one")
    return folder


def test_pictures_and_films_are_drawn_beside_the_old_ones(applied, watched):
    numbers, folder = applied(watched, "task=figures", "task.scale=1")
    assert {path.name for path in folder.iterdir()} - {"metrics.json", "task.yaml"} == STILLS | ANIMATIONS | TSNE
    assert numbers == {"stills": 6, "films": 4}
    assert (watched / "figures" / "loss.png").read_text() == "the old one"


def test_size_and_formats(applied, watched):
    numbers, folder = applied(watched, "task=figures", "task.scale=0.5", "task.formats=[png,svg]", "task.films=false")
    assert numbers == {"stills": 12, "films": 0}
    with Image.open(folder / "loss.png") as image:
        assert image.size == (480, 300)
    # what a film would move, such as the header's epoch, is in the still
    assert "epoch 3" in (folder / "latent_tsne.svg").read_text()


def test_a_vector_file_is_the_same_each_time_and_leaves_the_figure_alone(tmp_path):
    figure = page.page(300, 200)
    words = page.write(figure, 10, 10, "moving words", animated=True)
    page.paste(figure, 10, 40, np.zeros((4, 4, 3), np.uint8), 5)
    for suffix in ("svg", "pdf"):
        first, second = (vector.write_vector(figure, tmp_path / f"a.{suffix}", 2).read_bytes() for _ in range(2))
        assert first == second
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert "moving words" in (tmp_path / "a.svg").read_text()
    assert words.get_animated()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("scale=0", "task.scale must be a number from 0.5 to 8, got 0"),
        ("scale=big", "task.scale must be a number from 0.5 to 8, got big"),
        ("formats=[]", "task.formats must be a list, each element png or pdf or svg, 1 or more of them"),
        ("formats=[png,jpg]", "task.formats must be a list, each element png or pdf or svg, 1 or more of them"),
        ("formats=png", "task.formats must be a list, each element png or pdf or svg, 1 or more of them"),
        ("films=3", "task.films must be true or false, got 3"),
    ],
)
def test_bad_options_are_refused(applied, watched, option, words):
    with pytest.raises(UserError, match=words):
        applied(watched, "task=figures", f"task.{option}")


def test_a_run_without_a_trace_is_refused(applied, finished):
    with pytest.raises(UserError, match=r"trace.npz does not exist: give the folder of a run that was trained with"):
        applied(finished, "task=figures")
