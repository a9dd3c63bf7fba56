"""What older versions named is found where it is today, or refused with its new name."""

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from src.config.classes import locate
from src.config.moved import MODULES, TASKS, current_path, current_paths
from src.config.options import CONF, check_apply, check_run
from src.support.errors import UserError

# every `_target_` in the groups of conf/ when all modules were in one folder, and what moved since then
OLD = [
    "callbacks.pictures.Pictures",
    "callbacks.progress.Progress",
    "callbacks.recorder.Recorder",
    "lightning.pytorch.Trainer",
    "src.data.sources.fashion_mnist",
    "src.data.sources.mnist",
    "src.likelihoods.Bernoulli",
    "src.likelihoods.ContinuousBernoulli",
    "src.likelihoods.Gaussian",
    "src.likelihoods.Logistic256",
    "src.lr_schedules.Constant",
    "src.lr_schedules.Cosine",
    "src.lr_schedules.OneCycle",
    "src.networks.ConvDecoder",
    "src.networks.ConvEncoder",
    "src.networks.MLPDecoder",
    "src.networks.MLPEncoder",
    "src.objectives.BetaTC",
    "src.objectives.Capacity",
    "src.objectives.ELBO",
    "src.objectives.FreeBits",
    "src.objectives.IWAE",
    "src.objectives.MMD",
    "src.posteriors.Flow",
    "src.posteriors.Full",
    "src.posteriors.Gaussian",
    "src.priors.Flow",
    "src.priors.Mixture",
    "src.priors.Standard",
    "src.priors.Vamp",
    "src.schedules.Constant",
    "src.schedules.Cosine",
    "src.schedules.Cyclic",
    "src.schedules.Linear",
    "src.sources.fashion_mnist",
    "src.sources.mnist",
    "src.sources.mnist5k",
    "src.sources.npz",
    "src.tasks.anomaly.anomaly",
    "src.tasks.compare.compare",
    "src.tasks.diagnose.diagnose",
    "src.tasks.evaluate.evaluate",
    "src.tasks.export.export",
    "src.tasks.figures.figures",
    "src.tasks.inpaint.inpaint",
    "src.tasks.interpolate.interpolate",
    "src.tasks.sample.sample",
    "src.tasks.synthesize.synthesize",
    "src.tasks.traverse.traverse",
    "src.tracking.wandb_logger",
    "torch.optim.Adam",
    "torch.optim.AdamW",
]


@pytest.mark.parametrize("target", OLD)
def test_every_target_of_before_opens_today(target):
    found = locate(current_path(target), "part")
    assert found.__name__ == ("images" if target == "src.sources.npz" else target.rpartition(".")[2])
    assert current_path(current_path(target)) == current_path(target)


@pytest.mark.parametrize("module", MODULES.values())
def test_modules_are_where_the_table_says(module):
    assert importlib.util.find_spec(module)


def test_paths_are_translated_wherever_a_configuration_has_them():
    config = {
        "prior": {"_target_": "src.priors.Mixture", "components": 5},
        "overrides": ["prior._target_=src.priors.Mixture", "beta=4", "+mine._target_=mine.src.priors"],
        "task": {"_target_": "src.tasks.sample.sample", "name": "src.priors.Mixture"},
    }
    assert current_paths(config) == {
        "prior": {"_target_": "src.models.priors.Mixture", "components": 5},
        "overrides": ["prior._target_=src.models.priors.Mixture", "beta=4", "+mine._target_=mine.src.priors"],
        "task": {"_target_": "src.tasks.sample.task.sample", "name": "src.priors.Mixture"},
    }


@pytest.mark.parametrize("old", [target for target in OLD if target.startswith("src.") and "tasks" not in target])
def test_an_old_path_on_the_command_line_is_refused_with_the_new_one(composed, old):
    cfg = composed(f"prior._target_={old}")
    message = rf"prior\._target_={old}: there is no such class or function; it is {current_path(old)} now"
    with pytest.raises(UserError, match=message):
        check_run(cfg)


def test_an_old_path_in_a_file_of_ones_own_is_refused_with_the_new_one(tmp_path):
    (tmp_path / "conf" / "prior").mkdir(parents=True)
    (tmp_path / "conf" / "prior" / "mine.yaml").write_text("_target_: src.priors.Mixture\nlatent_dim: ${latent_dim}\n")
    command = [sys.executable, "-m", "src.train", "--config-dir", "conf", "prior=mine", "logger=csv"]
    env = {"PYTHONPATH": str(Path(CONF).parent), "PATH": ""}
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    line = "prior._target_=src.priors.Mixture: there is no such class or function; it is src.models.priors.Mixture now"
    assert (result.returncode, result.stderr.strip()) == (1, line)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_an_old_path_of_a_task_is_refused_with_the_new_one(name, tmp_path):
    import hydra

    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        cfg = hydra.compose("apply", [f"run={tmp_path}", "task=figures", f"task._target_={name}"])
    with pytest.raises(UserError, match=f"; it is {TASKS[name]} now"):
        check_apply(cfg)


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("from src.distributions import DiagonalGaussian", "src.models.distributions"),
        ("import src.objectives", "src.training.objectives"),
        ("class Net:\n    def __init__(self):\n        from src.vae import VAE", "src.models.vae"),
    ],
)
def test_the_import_of_a_module_that_moved_names_its_new_place(composed, tmp_path, monkeypatch, text, new):
    from src import build

    (tmp_path / "older.py").write_text(f"{text}\n\nclass Net: ...\n" if "class" not in text else text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "older", raising=False)
    old = f"src.{new.rpartition('.')[2]}"
    with pytest.raises(UserError, match=rf"No module named '{old}' \(older\.py, line \d\); {old} is {new} now$"):
        build.vae(composed("prior._target_=older.Net"))
