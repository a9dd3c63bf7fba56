"""Options of one's own images that are `auto`: what a run keeps of the values that were found, and says of them."""

import shutil

import pytest
import torch
from omegaconf import OmegaConf

from src import build
from src.run.automatic import choose_length, settle_options
from src.run.class_names import class_names, plain_name
from src.support.errors import UserError
from tests.helpers.own_images import X, png, write_folder

TINY = ["model.encoder.hidden=[8]", "model.decoder.hidden=[8]"]
SMALL = [*TINY, "data.shape=auto", "trainer.max_epochs=1"]


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
        settle_options(composed("data=mnist5k", "data.shape=auto"))
    cfg = composed("data=images", f"data.path={write_folder(tmp_path / 'own')}")
    settle_options(cfg)
    assert cfg.data.shape == cfg.data.source.shape == [1, 8, 8]


@pytest.mark.parametrize(
    ("count", "batch_size", "epochs"),
    [
        (8, 8, 100),
        (48, 8, 100),
        (120, 8, 100),
        (240, 8, 60),
        (400, 16, 60),
        (800, 32, 60),
        (1600, 64, 60),
        (9999, 64, 60),
    ],
)
def test_few_images_have_small_batches_and_more_epochs(count, batch_size, epochs):
    assert choose_length(count) == {"batch_size": batch_size, "epochs": epochs}


def test_a_run_keeps_and_says_the_length_that_was_chosen(run, composed, tmp_path, caplog):
    caplog.set_level("INFO")
    own = write_folder(tmp_path / "own")
    folder = run("data=images", f"data.path={own}", "data.batch_size=auto", *SMALL)
    config = OmegaConf.load(folder / "config.yaml")
    assert (config.data.batch_size, config.data.epochs, config.trainer.max_epochs) == (8, 100, 1)
    assert "steps   8 images each, 1 epoch, as few images need (data.batch_size=auto)" in caplog.text
    cfg = composed("data=images", f"data.path={own}", "data.batch_size=16", "data.exclude_labels=[class 2]")
    settle_options(cfg)
    assert (cfg.data.batch_size, cfg.data.epochs, cfg.trainer.max_epochs) == (16, 100, 100)
    with pytest.raises(UserError, match=r"data\.batch_size=auto is for images of your own: give data\.batch_size=128"):
        settle_options(composed("data=mnist5k", "data.batch_size=auto"))


def test_the_former_name_of_the_data_keeps_its_batches_and_epochs(composed, tmp_path):
    cfg = composed("data=npz", f"data.path={write_folder(tmp_path / 'own')}")
    settle_options(cfg)
    assert (cfg.data.batch_size, cfg.trainer.max_epochs) == (64, 60)


def test_images_that_one_job_can_not_read_fail_that_job_alone(sweep, tmp_path, capfd):
    write_folder(tmp_path / "own")
    write_folder(tmp_path / "bad")
    (tmp_path / "bad" / "class 0" / "0.png").write_bytes(b"no image")
    words = ["data=images", *SMALL]
    assert sweep(*words, "data.path=own,bad", "sweep_name=own") == 1
    said = capfd.readouterr().out
    assert "1 of 2 jobs finished" in said and "failed" in said and "1 of 60 files are no readable images" in said
    assert "1 of 60 files are no readable images" in sweep(*words, "data.path=bad", "beta=1,2", "sweep_name=other")
    assert not (tmp_path / "outputs" / "sweeps" / "other").exists()


@pytest.mark.parametrize(("data", "count", "first"), [("mnist", 10, "0"), ("fashion_mnist", 10, "T-shirt")])
def test_the_classes_of_a_known_data_set_need_no_images(composed, monkeypatch, data, count, first):
    monkeypatch.setenv("DATA_ROOT", "/nowhere")
    names = class_names(composed(f"data={data}", "condition=label"))
    assert (len(names), names[0]) == (count, first)


def test_labels_are_the_names_of_the_classes(composed, tmp_path):
    cfg = composed("data=images", f"data.path={write_folder(tmp_path / 'own')}", "condition=label")
    settle_options(cfg)
    assert cfg.condition.labels == ["class 0", "class 1", "class 2"]
    assert plain_name("a${oc.env:HOME}\n") == "a$ {oc.env:HOME}\\n"
