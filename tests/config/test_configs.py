"""Every shipped option composes, builds and trains a step; the flat options are checked."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from src import build
from src.config.options import CONF, ApplyConfig, Config, check_flat
from src.data.official import PUBLISHED, QMNIST_TEST
from src.support.errors import UserError
from tests.helpers.models import TINY_NETWORKS
from tests.helpers.official_files import shrink, write_files
from tests.helpers.runs import train_run

PARTS = (
    "model",
    "posterior",
    "prior",
    "likelihood",
    "objective",
    "schedule",
    "optimizer",
    "lr_schedule",
    "trainer",
    "logger",
    "data",
    "experiment",
)
OPTIONS = [f"{group}={path.stem}" for group in PARTS for path in sorted(Path(CONF, group).glob("*.yaml"))]
OPTIONS.remove("posterior=ladder")  # model=ladder chooses it


def test_there_are_options_to_test():
    assert len(OPTIONS) > 15


@pytest.mark.parametrize("option", [option for option in OPTIONS if not option.startswith("data=")])
def test_option_trains_a_step(run, option):
    latents = ["latent_dim=${latents:16}"] if "ladder" in option else []  # those of its levels
    folder = run(option, *latents, "+trainer.limit_train_batches=1", "trainer.max_epochs=1")
    assert (folder / "metrics.json").is_file()


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.startswith("data=")])
def test_data_option_composes_with_a_vae(composed, option, tmp_path):
    """Their sources have tests of their own."""
    own = option in ("data=images", "data=npz")
    cfg = composed(option, *(["data.path=x.npz", "data.shape=[3,9,7]", "model=conv"] if own else []))
    vae = build.vae(cfg)
    assert vae.decode(vae.prior().sample((1,))).mean.shape == (1, *cfg.data.shape)
    assert cfg.trainer.max_epochs == cfg.data.epochs


@pytest.mark.parametrize(("name", "options"), [("kmnist", []), ("emnist", ["data.split=letters"]), ("qmnist", [])])
def test_data_option_trains_a_step(small, tmp_path, monkeypatch, name, options):
    """On small files in the official format."""
    published = {"emnist": "emnist_letters"}.get(name, name)
    monkeypatch.setitem(QMNIST_TEST, "test10k", slice(10))
    write_files(tmp_path / PUBLISHED[published].name / "raw", shrink(monkeypatch, published))
    common = [each for each in small if not each.startswith("data") and not each.startswith("trainer.max_epochs")]
    data = [f"data={name}", f"data.root={tmp_path}", "data.batch_size=16", *options]
    folder = train_run([*common, *data, "trainer.max_epochs=1"], tmp_path / "run")
    config = OmegaConf.load(folder / "config.yaml")
    assert config.title.endswith(f" on {config.data.name}")
    assert config.data.name == {"emnist": "emnist_letters", "qmnist": "qmnist_test10k"}.get(name, name)
    assert build.open_run(folder).complete.classes == PUBLISHED[published].classes


@pytest.mark.parametrize("latent_dim", [1, 2, 128])
@pytest.mark.parametrize("model", sorted(TINY_NETWORKS.keys() - {"ladder"}))  # whose latents follow from its levels
def test_latent_dim_reaches_every_part(composed, model, latent_dim):
    vae = build.vae(composed(f"model={model}", f"latent_dim={latent_dim}"))
    assert vae.prior().sample().shape == (latent_dim,)
    assert vae.encode(vae.decode(vae.prior().sample((3,))).mean).mean.shape == (3, latent_dim)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        ({"beta": -1}, "beta must be a finite number, 0 or more"),
        ({"beta": "inf"}, "beta must be a finite number"),
        ({"seed": -1}, "seed must be from 0"),
        ({"latent_dim": "many"}, "could not be converted to Integer"),
        ({"ckpt_path": "/nowhere/last.ckpt"}, "no such file"),
    ],
)
def test_flat_options_are_checked(option, message):
    with pytest.raises(UserError, match=message):
        check_flat(option)


def test_the_title_names_what_is_not_plain(composed):
    assert composed("beta=4").title == "mlp d=16 beta=4.0 on mnist5k"
    cfg = composed("prior=vamp", "objective=free_bits", "model=conv")
    assert cfg.title == "conv d=16 beta=1.0 prior=vamp objective=free_bits on mnist5k"


@pytest.mark.parametrize(("path", "name"), [("/a/my cats", "my cats"), ("b/c.d.npz", "c"), ("x" * 99, "x" * 40)])
def test_the_title_names_the_folder_or_file_of_ones_own_images(composed, path, name):
    for data in ("images", "npz"):
        assert composed(f"data={data}", f"data.path='{path}'").title == f"mlp d=16 beta=1.0 on {name}"


def test_the_title_names_networks_of_ones_own(composed):
    cfg = composed("model.encoder._target_=mine.MobileNet", "prior=vamp")
    assert cfg.title == "mlp d=16 beta=1.0 encoder=mine.MobileNet prior=vamp on mnist5k"
    cfg = composed("model=conv", "model.encoder._target_=src.models.networks.MLPEncoder", "model.decoder._target_=a.B")
    assert cfg.title == "conv d=16 beta=1.0 decoder=a.B on mnist5k"


def test_beta_of_zero_is_legal():
    check_flat({"beta": 0})


def test_the_schemas_state_the_defaults_that_conf_does():
    """A checkpoint from before an option was added has it by the schema."""
    for name, schema in (("train", Config), ("apply", ApplyConfig)):
        stated = {k: v for k, v in OmegaConf.to_container(OmegaConf.structured(schema)).items() if v != "???"}
        shipped = OmegaConf.load(Path(CONF) / f"{name}.yaml")
        assert {k: shipped[k] for k in stated if k in shipped} == {k: stated[k] for k in stated if k in shipped}
        assert set(stated) - set(shipped) <= {"logger", "callbacks", "condition"}
