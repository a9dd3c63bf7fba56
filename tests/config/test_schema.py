"""Types and ranges of options are known at composition, from the parts' own signatures."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from src.config.options import CONF, check_apply, check_run
from src.config.signatures import signature
from src.support.errors import UserError
from src.support.ranges import Count, Share, Widths, describe_type
from tests.helpers.project import ROOT


def targets(node: Any) -> set[str]:
    """All `_target_`s below a node of a configuration."""
    if not isinstance(node, dict):
        return set()
    return {node["_target_"]} - {None} if "_target_" in node else set().union(*map(targets, node.values()))


FILES = [path for path in Path(CONF).glob("*/*.yaml") if path.parent.name != "hydra"]
TARGETS = sorted(target for path in FILES for target in targets(yaml.safe_load(path.read_text())))
OURS = [target for target in TARGETS if target.startswith(("src.", "callbacks."))]


@pytest.mark.parametrize("target", OURS)
def test_what_is_read_from_the_source_is_what_python_sees(target):
    module, _, name = target.rpartition(".")
    part = getattr(importlib.import_module(module), name)
    make = part if inspect.isfunction(part) else part.__init__
    expected = {name: hint for name, hint in get_type_hints(make, include_extras=True).items() if name != "return"}
    found = signature(target)
    assert set(found.options) == set(inspect.signature(part).parameters) - {"args", "kwargs"}
    assert not found.is_open
    for option, kind in found.options.items():
        if kind is not Any:
            assert kind == expected[option], option


def options(node: dict, within: str = "") -> list[tuple[str, str]]:
    """(target, option) for each option that a file of conf/ gives to one of our parts."""
    found = []
    for name, value in node.items():
        if isinstance(value, dict):
            found += options(value, f"{within}{name}.")
        elif not name.startswith("_") and str(node.get("_target_")).startswith(("src.", "callbacks.")):
            found.append((node["_target_"], name))
    return found


SHIPPED = sorted({pair for path in FILES for pair in options(yaml.safe_load(path.read_text()))})


@pytest.mark.parametrize(("target", "option"), SHIPPED)
def test_every_shipped_option_has_a_type(target, option):
    assert signature(target).options[option] is not Any


def test_nothing_heavy_is_imported_to_know_the_options():
    code = f"""
import sys
from src.config.signatures import signature
for target in {TARGETS!r}:
    assert signature(target), target
print(sorted({{"torch", "lightning", "numpy"}} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.encoder.residual=no"], "model.encoder.residual must be true or false, got no"),
        (["optimizer.lr=true"], "optimizer.lr must be a number, 0 or more, got true"),
        (["optimizer.lr=-1"], "optimizer.lr must be a number, 0 or more, got -1"),
        (["optimizer.lr=nan"], "optimizer.lr must be a number, 0 or more, got nan"),
        (["trainer.gradient_clip_val=-1"], "trainer.gradient_clip_val must be a number, 0 or more"),
        (["trainer.max_epochs=-3"], "trainer.max_epochs must be a whole number, 1 or more, got -3"),
        (["trainer.max_epochs=2.5"], "trainer.max_epochs must be a whole number, 1 or more, got 2.5"),
        (["trainer.accelerator=tpu"], "trainer.accelerator must be auto or cpu or gpu or cuda or mps, got tpu"),
        (["trainer.precision=8"], "trainer.precision must be 32-true or"),
        (["trainer.devices=0"], "trainer.devices must be a whole number, 1 or more or auto"),
        (["trainer.ema=1"], "trainer.ema must be a number above 0 and below 1 or null, got 1"),
        (["data.batch_size=0"], "data.batch_size must be a whole number, 1 or more or auto, got 0"),
        (["data.batch_size=[64]"], "data.batch_size must be a whole number, 1 or more or auto, got"),
        (["data.shape=[1,28]"], "data.shape must be a list"),
        (["data.exclude_labels=4"], "data.exclude_labels must be a list"),
        (
            ["data=emnist", "data.split=foo"],
            "data.split must be balanced or byclass or bymerge or letters or digits or",
        ),
        (["data=qmnist", "data.split=60"], "data.split must be test10k or test50k or test60k, got 60"),
        (["data=qmnist", "data.source.split=test"], "data.source.split must be test10k or"),
        (["data=npz", "data.path=x.npz", "data.white=grey"], "data.white must be a number above 0 or auto, got grey"),
        (["data.source=null"], "data.source must be a group of options, got null"),
        (["callbacks.recorder.images=-1"], "callbacks.recorder.images must be a whole number"),
        (["callbacks.recorder.samples=abc"], "callbacks.recorder.samples must be a whole number"),
        (["callbacks.pictures.share=2"], "callbacks.pictures.share must be a number from 0 to 1, got 2"),
        (["model=conv", "model.encoder.channels=[]"], "model.encoder.channels must be a list"),
        (["model.encoder.hidden=[0]"], "model.encoder.hidden must be a list"),
        (["model.encoder.hidden=512"], "model.encoder.hidden must be a list"),
        (["model.encoder.activation=foo"], "model.encoder.activation must be relu or"),
        (["objective.samples=0"], "objective.samples must be a whole number, 1 or more, got 0"),
        (
            ["objective.samples=1000000"],
            "objective.samples=1000000 times data.batch_size=64 times data.shape=[1,28,28] takes",
        ),
        (
            ["objective.samples=100000000"],
            "objective.samples=100000000 times data.batch_size=64 times data.shape=[1,28,28] takes",
        ),
        (["objective.kl=open"], "objective.kl must be closed or sample, got open"),
        (["objective=free_bits", "objective.floor=-1"], "objective.floor must be a number, 0 or more, got -1"),
        (["schedule=cyclic", "schedule.cycles=0"], "schedule.cycles must be a whole number, 1 or more, got 0"),
        (["schedule=linear", "schedule.length=.inf"], "schedule.length must be a number above 0"),
        (["schedule=linear", "schedule.unit=days"], "schedule.unit must be epochs or steps, got days"),
        (["lr_schedule.rise=1"], "lr_schedule.rise must be a number above 0 and below 1, got 1"),
        (["prior=mixture", "prior.components=0"], "prior.components must be a whole number, 1 or more, got 0"),
        (["prior=flow", "prior.kind=planar"], "prior.kind must be coupling or autoregressive, got planar"),
        (["posterior=flow", "posterior.context=-1"], "posterior.context must be a whole number, 0 or more, got -1"),
        (
            ["likelihood=gaussian", "likelihood.sigma=big"],
            "likelihood.sigma must be learned or per_pixel or optimal or",
        ),
        (["likelihood=gaussian", "likelihood.sigma=0"], "likelihood.sigma must be learned or per_pixel or optimal or"),
        (["logger.wandb.mode=sometimes"], "logger.wandb.mode must be auto or online or offline or disabled"),
        (["latent_dim=99999999999"], "latent_dim must be at most 100000"),
        (["beta=${nothing}"], "Interpolation key 'nothing' not found"),
        (["data=npz"], "data.path must be given: data.path=..."),
        (["data=npz", "data.path=nowhere.npz"], "data.path=nowhere.npz: there is no such file or folder"),
        (["~prior"], "prior must be given"),
        (["model.encoder=null"], "model.encoder must name a class"),
        (["~model.decoder"], "model.decoder must name a class"),
        (["+callbacks.mine=3"], "callbacks.mine must name a class: callbacks.mine._target_="),
        (["+logger.mine.words=3"], "logger.mine must name a class: logger.mine._target_="),
        (["prior=[]"], "prior must be given"),
        (["optimizer._target_=null"], "optimizer._target_ must be text, got null"),
        (
            ["objective._target_=src.training.objectives.ELB"],
            "objective._target_=src.training.objectives.ELB: there is no such class",
        ),
        (["model.encoder._target_=nowhere.Net"], "model.encoder._target_=nowhere.Net: there is no module nowhere"),
    ],
)
def test_a_bad_value_is_refused_at_composition(composed, words, message):
    with pytest.raises(UserError) as error:
        check_run(composed(*words))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["+latent_dims=3"], "there is no option latent_dims; did you mean latent_dim?"),
        (["+optimizer.learning_rate=1"], "there is no option optimizer.learning_rate; optimizer has"),
        (["+trainer.max_epoch=3"], "there is no option trainer.max_epoch; did you mean trainer.max_epochs?"),
        (["+data.side=3"], "there is no option data.side; data has"),
        (["+prior.scale=3"], "there is no option prior.scale; prior has latent_dim"),
        (["+callbacks.recorder.often=3"], "there is no option callbacks.recorder.often; callbacks.recorder has"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(composed, words, message):
    with pytest.raises(UserError) as error:
        check_run(composed(*words))
    assert message in str(error.value)


@pytest.mark.parametrize(
    "words",
    [
        ["+optimizer.betas=[0.9,0.99]"],
        ["optimizer._target_=torch.optim.SGD", "+optimizer.momentum=0.9"],
        ["+side=28", "data.shape=[1,${side},${side}]"],  # something refers to it
        ["+data.side=28", "data.shape=[1,${data.side},28]"],
        ["+data.half=32", "data.batch_size=${.half}"],
        ["+names.b=[20,30]", "model.encoder.hidden=${names.b}"],
        ["+data.n=32", "data.batch_size=${oc.select:data.n,64}"],
        ["+trainer.limit_train_batches=1"],
        ["trainer.devices=[0,1]"],
        ["trainer.gradient_clip_val=0.5"],
        ["likelihood=gaussian", "likelihood.sigma=0.1"],
        ["likelihood=gaussian", "likelihood.sigma=1"],
        ["beta=0"],
        ["schedule=linear", "schedule.length=2000", "schedule.unit=steps"],
        ["+callbacks.stop._target_=lightning.pytorch.callbacks.EarlyStopping", "+callbacks.stop.monitor=val/loss"],
    ],
)
def test_what_is_right_is_accepted(composed, words):
    check_run(composed(*words))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["+callbacks.stop.monitor=val/elbow"],
            "callbacks.stop.monitor=val/elbow is not measured after each epoch; what is: val/",
        ),
        (["+callbacks.stop.monitor=val/elbo"], "is best at its maximum: +callbacks.stop.mode=max"),
        (["+callbacks.stop.monitor=val/loss", "+callbacks.stop.mode=max"], "is best at its minimum"),
    ],
)
def test_a_monitor_watches_what_is_measured_and_the_right_way_round(composed, words, message):
    stopping = "+callbacks.stop._target_=lightning.pytorch.callbacks.EarlyStopping"
    with pytest.raises(UserError) as error:
        check_run(composed(stopping, *words))
    assert message in str(error.value)


def test_every_shipped_file_passes(composed):
    for path in FILES:
        if path.parent.name not in ("task", "sweep") and path.stem not in ("images", "npz"):
            check_run(composed(*["model=ladder"] * (path.stem == "ladder"), f"{path.parent.name}={path.stem}"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["task=sample", "task.samplers=null"], "task.samplers must be a list"),
        (["task=inpaint", "task.mask=1"], "task.mask must be"),
        (["task=sample", "task.count=0"], "task.count must be a whole number"),
        (["task=figures", "task.films=no"], "task.films must be true or false, got no"),
        (["task=compare", "task.other=[A,B]"], "task.other must be text or null, got [A,B]"),
        (["task=evaluate", "+task.sample=3"], "there is no option task.sample; did you mean task.samples?"),
        (["task=evaluate", "+images=3"], "there is no option images; --help lists them"),
    ],
)
def test_options_of_tasks_are_checked_alike(finished, words, message):
    import hydra

    with hydra.initialize_config_dir(CONF, version_base="1.3"), pytest.raises(UserError) as error:
        check_apply(hydra.compose("apply", [f"run={finished}", *words]))
    assert message in str(error.value)


def test_types_are_said_in_words():
    assert describe_type(Count) == "a whole number, 1 or more"
    assert describe_type(Share | None) == "a number from 0 to 1 or null"
    assert describe_type(Widths) == "a list, each element a whole number, 1 or more, 1 or more of them"


OWN = """
from dataclasses import dataclass
from typing import overload

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping


@dataclass
class Fields(Callback):
    every: int = 1


@dataclass
class More(Fields):
    often: int = 1


class Mixin:
    pass


class Mixed(Mixin, EarlyStopping):
    pass


class Overloaded(Callback):
    @overload
    def __init__(self, a: int): ...
    @overload
    def __init__(self, b: str): ...
    def __init__(self, a=None, b=None):
        pass
"""


@pytest.mark.parametrize(
    "words",
    [
        ["Fields", "every=3"],
        ["More", "every=3"],
        ["More", "often=2"],
        ["Mixed", "monitor=val/loss"],
        ["Overloaded", "b=x"],
    ],
)
def test_options_of_ones_own_classes_are_not_misread(composed, tmp_path, monkeypatch, words):
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    name, option = words
    check_run(composed(f"+callbacks.own._target_=mine.{name}", f"+callbacks.own.{option}"))
