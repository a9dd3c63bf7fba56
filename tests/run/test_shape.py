"""data.shape=auto: what a run keeps of the shape that was found, and when it needs the images again."""

import shutil

import pytest
import torch
from omegaconf import OmegaConf

from src import build
from src.run.shape import settle_shape
from src.support.errors import UserError
from tests.helpers.own_images import X, png, write_folder

SMALL = ["model.encoder.hidden=[8]", "model.decoder.hidden=[8]", "data.shape=auto", "trainer.max_epochs=1"]


def test_a_run_keeps_the_shape_and_opens_without_its_images(run, tmp_path):
    own = write_folder(tmp_path / "own")
    folder = run("data=images", f"data.path={own}", "prior=vamp", *SMALL, "data.batch_size=8")
    config = OmegaConf.load(folder / "config.yaml")
    assert config.data.shape == config.data.source.shape == config.prior.shape == [1, 8, 8]
    assert "60 images of 8 x 8, 3 classes" in (folder / "data.json").read_text()
    assert torch.equal(torch.tensor(build.open_run(folder).data.source.train.images.shape[1:]), torch.tensor([1, 8, 8]))
    shutil.rmtree(own)
    assert build.load(folder).prior().sample((2,)).shape == (2, 3)
    with pytest.raises(UserError, match="no such file or folder"):
        _ = build.open_run(folder).complete


def test_images_that_have_changed_are_noticed(run, tmp_path):
    own = write_folder(tmp_path / "own")
    folder = run("data=images", f"data.path={own}", *SMALL, "data.batch_size=8")
    (own / "class 1" / "more.png").write_bytes(png(255 - X[0]))
    with pytest.raises(UserError, match=r"holds other images or labels than .* was trained on"):
        _ = build.open_run(folder).data


def test_a_shape_is_found_for_own_images_only(composed, tmp_path):
    with pytest.raises(UserError, match=r"data\.shape=auto is for images of your own: give data\.shape=\[C,H,W\]"):
        settle_shape(composed("data=mnist5k", "data.shape=auto"))
    cfg = composed("data=images", f"data.path={write_folder(tmp_path / 'own')}")
    settle_shape(cfg)
    assert cfg.data.shape == cfg.data.source.shape == [1, 8, 8]
