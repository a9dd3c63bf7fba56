"""A resumed run is built from the configuration in its checkpoint, changed by the overrides given now."""

import json
import shutil
from pathlib import Path

import hydra
import pytest
import torch
import yaml

from src import build, train
from src.config.options import CONF, to_plain_dict
from src.config.overrides import name_of
from src.run import resume
from src.run.loggers import build_loggers
from src.support.errors import DamagedError
from src.training.trainer import make_trainer
from tests.helpers.processes import HEAVY, packages_imported
from tests.helpers.runs import identical, rows, weights

TINY = ["model.encoder.hidden=[8]", "model.decoder.hidden=[8]"]


@pytest.fixture
def started(tmp_path, small, monkeypatch):
    """started(*overrides): a run with the configuration and the checkpoint of a training that was stopped."""

    def start(*options: str, composition: bool = True) -> Path:
        options = list({name_of(word): word for word in [*small, *options]}.values())
        if "data=mnist" in options:
            options = [word for word in options if not word.startswith("data.path=")]
        with hydra.initialize_config_dir(CONF, version_base="1.3"):
            cfg = hydra.compose("train", options)
        module = build.module(cfg, options)
        if not composition:
            del module.run["composition"]
        path = tmp_path / "run" / "checkpoints" / "last.ckpt"
        path.parent.mkdir(parents=True)
        torch.save({"run": module.run, "state_dict": module.state_dict(), "epoch": 1, "global_step": 20}, path)
        return path

    return start


@pytest.fixture
def goes_on():
    """goes_on(checkpoint, *overrides): the configuration and the overrides of the resumed run."""

    def go_on(path: Path, *new: str):
        with hydra.initialize_config_dir(CONF, version_base="1.3"):
            return resume.compose(path, [f"ckpt_path={path}", *new])

    return go_on


def test_a_checkpoint_holds_the_composition_in_plain_containers(run):
    state = torch.load(run() / "checkpoints" / "last.ckpt", weights_only=True)["run"]
    assert state["composition"]["objective"]["beta"] == "${beta}"
    assert state["composition"]["optimizer"]["lr"] == "${data.lr}"
    assert state["config"]["objective"]["beta"] == 1
    assert "hydra" not in state["composition"]
    assert state == resume.read_run(Path("run/checkpoints/last.ckpt").absolute())


def test_new_overrides_reach_what_is_built(started, goes_on, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", "there")
    path = started("beta=3", "objective.samples=2", "logger=wandb", "callbacks=default", "lr_schedule=cosine")
    cfg, said = goes_on(
        path,
        *("beta=2", "optimizer.lr=0.5", "logger=csv", "trainer.max_epochs=7", "+trainer.accumulate_grad_batches=3"),
        *("~callbacks.pictures", "+optimizer.weight_decay=0.25", "model.encoder.activation=relu"),
    )
    module = build.module(cfg, said)
    assert (module.objective.beta, module.objective.samples) == (2, 2)
    assert module.vae.latent_dim == 3
    assert module.configure_optimizers().defaults["lr"] == 0.5
    assert module.configure_optimizers().defaults["weight_decay"] == 0.25
    trainer = make_trainer(cfg, tmp_path / "new", [])
    assert (trainer.max_epochs, trainer.accumulate_grad_batches) == (7, 3)
    names = {type(each).__name__ for each in trainer.callbacks}
    assert "Recorder" in names
    assert "Pictures" not in names
    assert len(build_loggers(cfg, tmp_path, None, 0)) == 1  # metrics.csv
    assert cfg.title == "mlp d=3 beta=2.0 on blobs"
    assert cfg.model.decoder.activation == "relu"  # by its own interpolation
    assert type(module.lr_schedule).__name__ == "Cosine"
    assert set(said) >= {"beta=2", "objective.samples=2", "logger=csv", "~callbacks.pictures"}
    assert "beta=3" not in said


def test_the_folder_of_the_images_is_looked_up_again(started, goes_on, monkeypatch, caplog):
    monkeypatch.setenv("DATA_ROOT", "there")
    path = started("data=mnist", "data.batch_size=32")
    monkeypatch.setenv("DATA_ROOT", "here")
    assert goes_on(path)[0].data.source.root == "here"
    assert "the environment has changed since the run began, in data" in caplog.text
    assert goes_on(path, "data.root=elsewhere")[0].data.source.root == "elsewhere"


def test_a_newly_chosen_group_keeps_the_runs_overrides(started, goes_on):
    path = started("objective.samples=4", "beta=1", "optimizer.lr=0.1", "objective.kl=sample")
    cfg, said = goes_on(path, "objective=iwae", "objective.estimator=dreg")
    objective = build.module(cfg, said).objective
    assert (type(objective).__name__, objective.samples, objective.estimator) == ("IWAE", 4, "dreg")
    assert cfg.optimizer.lr == 0.1
    assert {"objective=iwae", "objective.samples=4"} <= set(said)
    assert "objective.kl=sample" not in said  # iwae has none


def test_a_group_chosen_again_does_not_change(started, goes_on, small):
    path = started("beta=3")
    cfg, _ = goes_on(path)
    again, said = goes_on(path, *small, "beta=3")
    assert again == cfg
    assert said == resume.read_run(path)["overrides"]


def test_of_two_overrides_at_the_start_the_later_is_the_runs(run, resume):
    folder = run("trainer.max_epochs=1", *TINY)
    for name in ("best", "last"):
        path = folder / "checkpoints" / f"{name}.ckpt"
        state = torch.load(path, weights_only=True)
        state["run"]["overrides"].insert(0, "trainer.max_epochs=2")
        torch.save(state, path)
    assert [float(row["epoch"]) for row in rows(resume(folder, "trainer.max_epochs=2"))] == [0, 1, 2]


def test_of_two_overrides_given_now_the_later_counts(started, goes_on):
    cfg, said = goes_on(started("beta=3"), "beta=2", "beta=3")
    assert (cfg.beta, said.count("beta=3")) == (3, 1)


def test_an_experiment_on_top(started, goes_on):
    path = started("latent_dim=5")
    cfg, _ = goes_on(path, "experiment=beta_tc")
    assert (cfg.objective._target_, cfg.beta, cfg.latent_dim) == ("src.training.objectives.BetaTC", 6, 5)
    assert goes_on(path, "experiment=beta_tc", "beta=2")[0].beta == 2


def test_the_present_content_of_conf_has_no_effect(started, goes_on, monkeypatch, tmp_path):
    path = started("schedule=linear")
    shutil.copytree(CONF, tmp_path / "conf")
    for name, old, new in [("objective/elbo", "samples: 1", "samples: 9"), ("data/npz", "epochs: 60", "epochs: 9")]:
        file = tmp_path / "conf" / f"{name}.yaml"
        file.write_text(file.read_text().replace(old, new))
    (tmp_path / "conf" / "schedule" / "linear.yaml").unlink()
    with hydra.initialize_config_dir(str(tmp_path / "conf"), version_base="1.3"):
        cfg, _ = resume.compose(path, ["beta=2"])
    assert cfg.objective.samples == 1
    assert cfg.data.epochs == 60
    assert cfg.schedule._target_ == "src.training.schedules.Linear"


def test_a_checkpoint_of_an_earlier_version_is_composed_again(started, goes_on):
    path = started("beta=3", "objective.samples=2", composition=False)
    cfg, said = goes_on(path, "optimizer.lr=0.5", "logger=csv", "beta=2")
    module = build.module(cfg, said)
    assert (module.objective.beta, module.objective.samples, module.vae.latent_dim) == (2, 2, 3)
    assert cfg.ckpt_path == str(path)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("latent_dims=3", "latent_dims is no option of the run that goes on: did you mean latent_dim?"),
        ("optimizer.l=3", "optimizer.l is no option of the run that goes on: did you mean optimizer.lr?"),
        ("beta.x=3", "beta.x"),
        ("data.source={nme:1}", "data.source=.*Key 'nme' is not in struct"),
        ("beta=much", "beta=much: Value 'much' of type 'str' could not be converted to Float"),
        ("beta=1,2", "beta=1,2: a run that goes on takes one value"),
        ("~callbacks.pictures", "~callbacks.pictures: the run has no callbacks.pictures"),
        ("objective=nope", "nope"),
        ("data.root=${nothing}", "data.root"),
    ],
)
def test_overrides_that_do_not_fit_are_refused(started, goes_on, word, message):
    with pytest.raises(Exception, match=message.replace("?", r"\?")) as refusal:
        cfg, _said = goes_on(started(), word)
        to_plain_dict(cfg)
    assert not isinstance(refusal.value, (TypeError, KeyError, AttributeError))


def test_damaged_checkpoints(tmp_path):
    for content in (b"", b"hello", b"PK\x03\x04"):
        (tmp_path / "a.ckpt").write_bytes(content)
        with pytest.raises(DamagedError, match="is no checkpoint, or is cut short"):
            resume.read_run(tmp_path / "a.ckpt")


def test_a_refusal_of_a_resume_comes_before_anything_heavy_and_changes_nothing(run):
    folder = run()
    path = folder / "checkpoints" / "last.ckpt"
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    loaded = packages_imported("train", folder, f"ckpt_path={path}", "trainer.max_epochs=-3")
    assert not loaded & HEAVY
    after = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != "train.log"}
    assert after == before


def test_a_job_of_a_sweep_is_resumed_with_new_overrides(run, small):
    """Only the overrides given now change the configuration of a stopped job."""
    folder = run("beta=3")
    before = weights(folder)
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        cfg = hydra.compose("train", [*small, "beta=3"])
        cfg.ckpt_path = f"{folder}/checkpoints/last.ckpt"
        train.train(cfg, folder, [*small, "beta=3", "optimizer.lr=0", "trainer.max_epochs=3"])
    assert identical(before, weights(folder))
    assert json.loads((folder / "metrics.json").read_text())["epoch"] <= 3
    assert yaml.safe_load((folder / "config.yaml").read_text())["objective"]["beta"] == 3


def test_an_added_option_that_others_refer_to_is_resumed(started, goes_on):
    path = started("+width=24", "model.encoder.hidden=[${width}]")
    assert list(goes_on(path, "trainer.max_epochs=7")[0].model.encoder.hidden) == [24]


def test_a_run_that_goes_on_has_its_options_in_their_order(started, goes_on):
    """So that its config.yaml is that of a run that was not interrupted, line by line."""
    path = started()
    cfg, _ = goes_on(path)
    kept = torch.load(path, weights_only=True)["run"]["config"]["trainer"]
    assert list(cfg.trainer) == list(kept)
