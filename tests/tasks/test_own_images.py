"""A user's own images in place of test images: interpolate, traverse and inpaint."""

import logging

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from omegaconf import OmegaConf
from PIL import Image

from src.build import open_run
from src.data.image_files import Reading
from src.support.errors import UserError
from src.tasks import walks
from src.tasks.interpolate import choose_pairs
from src.tasks.own_images import examples, reading_of


@pytest.fixture(scope="module")
def opened(finished):
    return open_run(finished)


@pytest.fixture
def folder(images, tmp_path):
    """Negatives of five discs, twice as large, which are inverted back."""
    for i, image in enumerate(images.test.images[:5, 0]):
        Image.fromarray(255 - image).resize((56, 56), Image.Resampling.NEAREST).save(tmp_path / f"{i}.png")
    return tmp_path


def test_the_model_gets_the_images_inverted_and_the_picture_shows_both(opened, folder, images):
    own = examples(opened, str(folder), "auto", "auto")
    batch = own.batch([3, 0])
    difference = batch.x.numpy() - images.test.images[[3, 0]] / 255
    assert np.abs(difference).mean() < 0.1  # pixels are drawn
    assert torch.equal(own.batch([0]).x[0], batch.x[1])
    rows = own.picture_rows([3, 0])
    assert list(rows) == ["your image", "as the VAE sees it"]
    assert np.array_equal(rows["as the VAE sees it"], (batch.x * 255).byte().numpy())
    assert np.abs(rows["your image"] - (255.0 - images.test.images[[3, 0]])).mean() < 5
    assert own.describe(3) == "3.png"
    assert own.short_names([3, 0]) == ["3.png", "0.png"]


def test_pairs_come_in_the_order_of_the_files_or_from_different_classes(opened, folder, images):
    assert choose_pairs(None, 2, examples(opened, str(folder), "auto", "auto")).tolist() == [[0, 1], [2, 3]]
    np.savez(folder / "own.npz", images=images.test.images[:8], labels=np.repeat(["a", "b"], 4))
    own = examples(opened, str(folder / "own.npz"), False, "auto")
    for one, other in choose_pairs(None, 4, own):
        assert own.classes[one] != own.classes[other]
    assert own.describe(5) == "own.npz[5] (b)"


def test_two_images_of_a_user_are_interpolated(applied, finished, folder, monkeypatch):
    captions = []
    strip = walks.strip

    def record(title, caption, *rest):
        captions.append(caption)
        return strip(title, caption, *rest)

    monkeypatch.setattr(walks, "strip", record)
    options = [f"task.input={folder}", "task.images=[[4,1]]", "task.steps=3"]
    numbers, results = applied(finished, "task=interpolate", *options)
    assert numbers["pairs"] == 1
    assert {path.name for path in results.iterdir()} >= {"pair_1.png", "interpolation.gif"}
    assert captions[0].startswith("from 4.png to 1.png: ")


def test_the_animation_names_the_files():
    means = np.zeros((3, 1, 8, 8), np.uint8)
    figure, _ = walks.tour(
        "a", "b", {"your image": means[:2], "as the VAE sees it": means[:2]}, {"linear": means}, "XY"
    )
    words = [text.get_text() for text in figure.findobj(Text)]
    assert words.count("X") == 2  # first and last
    assert words.count("Y") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["task.input=FOLDER/0.png"], "needs two images of yours or more: there is one"),
        (["task.input=FOLDER", "task.images=[[0,5]]"], "different images of yours from 0 to 4"),
        (["task.input=FOLDER", "task.pairs=5"], "task.pairs must be from 1 to 4, got 5"),
        (["task.input=FOLDER/missing"], "no such file or folder"),
    ],
)
def test_what_can_not_be_interpolated_is_refused_in_a_line(applied, finished, folder, options, message):
    with pytest.raises(UserError, match=message):
        applied(finished, "task=interpolate", *(option.replace("FOLDER", str(folder)) for option in options))


def test_images_of_a_user_are_traversed_and_inpainted(applied, finished, folder, caplog):
    caplog.set_level(logging.WARNING)
    numbers, _ = applied(
        finished, "task=traverse", f"task.input={folder}", "task.image=4", "task.steps=3", "task.dimensions=1"
    )
    assert numbers["image"] == 4
    with pytest.raises(UserError, match=r"task\.image must be from 0 to 4, or null, got 5"):
        applied(finished, "task=traverse", f"task.input={folder}", "task.image=5")
    (folder / "one").mkdir()
    (folder / "0.png").rename(folder / "one" / "0.png")
    options = ["task.samples=20", "task.draws=3", "task.mask=half"]
    numbers, results = applied(finished, "task=inpaint", f"task.input={folder}/one", *options)
    assert numbers["images"] == 1
    assert np.isfinite(numbers["half/nll"])
    assert (results / "half.png").is_file()
    assert not caplog.records


@pytest.mark.parametrize(
    ("data", "reading"),
    [
        ({"name": "mnist"}, Reading()),
        ({"white": 16, "invert": True, "images": "x", "labels": "y"}, Reading("x", "y", 16, True)),
        ({"white": "auto", "invert": "auto", "labels": "y.npy"}, Reading(invert="light")),
    ],
)
def test_the_options_of_the_run_s_data_hold_for_a_user_s_images(data, reading):
    assert reading_of(OmegaConf.create(data)) == reading
