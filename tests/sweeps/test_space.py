"""What a search may vary, and what its command line answers."""

import importlib.util
import sys
from pathlib import Path

import hydra
import optuna
import pytest

from src import search
from src.config.options import CONF
from src.support.errors import UserError
from src.sweeps import space
from src.sweeps.space import Plan, split
from tests.helpers.project import LINES, arguments

COMMANDS = [line for line in LINES if line.startswith("python -m src.search name=")]
SWEEPS = Path("outputs/sweeps")
SHORT = ["trainer.max_epochs=1"]
SPACE = ["beta=tag(log,interval(0.5,8))", "latent_dim=int(interval(2,6))"]


@pytest.mark.parametrize(
    ("word", "method", "arguments"),
    [
        ("beta=interval(1,8)", "suggest_float", {"low": 1.0, "high": 8.0}),
        ("beta=tag(log,interval(0.5,8))", "suggest_float", {"low": 0.5, "high": 8.0, "log": True}),
        ("latent_dim=int(interval(2,32))", "suggest_int", {"low": 2, "high": 32}),
        ("latent_dim=int(tag(log,interval(2,32)))", "suggest_int", {"low": 2, "high": 32, "log": True}),
        ("latent_dim=range(2,33,2)", "suggest_int", {"low": 2, "high": 32, "step": 2}),
        ("model=choice(mlp,conv)", "suggest_categorical", {"choices": ["mlp", "conv"]}),
        ("beta=1,4", "suggest_categorical", {"choices": ["1", "4"]}),
        ("model.encoder.hidden=choice([8,8],[16])", "suggest_categorical", {"choices": ["[8,8]", "[16]"]}),
    ],
)
def test_a_space_is_what_hydra_understands(word, method, arguments):
    fixed, (dimension,) = split(["seed=1", word])
    assert fixed == ["seed=1"]
    assert (dimension.option, dimension.method) == (word.partition("=")[0], method)
    assert dimension.arguments == arguments
    trial = optuna.create_study().ask()
    assert dimension.suggest(trial) == dimension.override(trial.params[dimension.option])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([*SPACE], "name must be given"),
        (["name=../up", *SPACE], "name must be given, of letters"),
        (["name=x", "trials=0", *SPACE], "trials must be a whole number, 1 or more, got 0"),
        (["name=x", "trials=3,4", *SPACE], "trials=3,4: this has one value"),
        (["name=x"], "there is no search outputs/sweeps/x to go on with"),
        (["name=x", "beta=4"], "there is nothing to search"),
        (["name=x", "metric=test/elbo", *SPACE], "metric must be one of val/elbo, .*, got test/elbo"),
        (["name=x", "metric=[[val/elbo]]", *SPACE], "metric must be text or a list, each element text"),
        (["name=x", "metric=3", *SPACE], "metric must be text or a list, each element text, got 3"),
        (["name=x", "metric=[val/kl,val/kl]", *SPACE], "two that differ"),
        (["name=x", "metric=[val/kl,val/recon]", "direction=maximize", *SPACE], "direction is for one metric"),
        (["name=x", "direction=up", *SPACE], "direction must be maximize or minimize or null, got up"),
        (["name=x", "pruner=hope", *SPACE], "pruner must be median or hyperband or none, got hope"),
        (["name=x", "startup=0", *SPACE], "startup must be a whole number, 1 or more, got 0"),
        (["name=x", "warmup=-1", *SPACE], "warmup must be a whole number, 0 or more, got -1"),
        (["name=x", "beta=interval(-1,4)"], "beta must be a finite number, 0 or more"),
        (
            ["name=x", "latent_dim=interval(2,8)"],
            "latent_dim must be a whole number, got 4.292",
        ),
        (["name=x", "latent_dim=range(0,4)"], "latent_dim must be at least 1"),
        (
            ["name=x", "model=choice(mlp,transformer)"],
            "model=transformer: there is no such choice; model has",
        ),
        (["name=x", "latentdim=range(2,4)"], "there is no option latentdim; did you mean latent_dim"),
        (["name=x", "objective=choice(elbo,iwae)", "beta=4"], "objective=iwae has no beta"),
        (["name=x", "model=glob(*)"], "name the choices"),
        (["name=x", "beta=tag(cubic,interval(1,2))"], "the only tag is log, got cubic"),
        (["name=x", "beta=tag(log,interval(0,2))"], "a log scale begins above 0"),
        (["name=x", "beta=interval(2,1)"], "the end must be above the start"),
        (["name=x", "latent_dim=range(4,4)"], "nothing in that range"),
        (["name=x", "beta=interval(1,2)", "beta=4"], "beta is given twice"),
        (["name=x", "condition=choice(none,label)"], "condition can't be searched"),
        (["name=x", *SPACE, "trainer.devices=2"], "one process a trial"),
        (["name=x", *SPACE, "trainer=ddp"], "one process a trial"),
        (["name=x", *SPACE, "hydra.run.dir=y"], "hydra.run.dir=y: trials are in outputs/sweeps/NAME/NUMBER"),
        (["name=x", *SPACE, "--config-name=apply"], "--config-name=apply: a search takes options alone"),
        (["name=x", *SPACE, "-m"], "-m: a search takes options alone"),
        (["name=x", *SPACE, "+trainer.fast_dev_run=true"], "trainer.fast_dev_run=true is not possible"),
        (["name=x", *SPACE, "+trainer.num_nodes=2"], "trainer.num_nodes=2, but this process was started on its own"),
        (["name=x", *SPACE, "sweep_name=y"], "leave sweep_name out"),
    ],
)
def test_mistakes_are_answered_before_anything_is_made(options, message):
    with pytest.raises(Exception, match=message):
        search.search(options)
    assert not Path("outputs").exists()


@pytest.mark.parametrize("line", COMMANDS)
def test_documented_command(line):
    _name, trials, asked = space.parse_command_line(arguments(line, "src.search"))
    assert trials >= 10
    if asked:  # else it goes on with one
        with hydra.initialize_config_dir(CONF, version_base="1.3"):
            space.check_plan(asked)


def test_help_says_why_the_elbo_alone_finds_beta_1(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["search", "--help"])
    search.main()
    said = capsys.readouterr().out
    assert "beta only finds its way to 1" in said
    fields = [field for field in Plan.__dataclass_fields__ if field != "words"]
    for name in ("name", "trials", *fields, *space.DIRECTIONS):
        assert name in said


def test_the_command_line_answers_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["search", "name=x", "beta=interval(2,1)"])
    with pytest.raises(SystemExit) as stop:
        search.main()
    assert stop.value.code == "beta=interval(2,1): the end must be above the start"


def test_a_search_without_optuna_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"optuna is missing: pip install 'vae-lab\[search\]'"):
        search.search(["name=one", *SPACE])


def test_of_many_whole_numbers_the_least_and_the_largest_are_checked():
    (dimension,) = split([f"optimizer.lr={','.join(map(str, range(1000)))}"])[1]
    assert dimension.edges() == ["optimizer.lr=0", "optimizer.lr=999"]
