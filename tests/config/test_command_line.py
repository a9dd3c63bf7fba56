"""What the commands answer to words that Hydra cannot read, and to its errors."""

import itertools
from pathlib import Path

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from src.config.command_line import APPLY, errors_in_one_line, in_one_line, prepare_arguments
from src.config.options import CONF, check_apply
from src.config.synonyms import CHOICES, SYNONYMS, exists
from src.support.errors import UserError

GROUPS = Path(CONF)


@pytest.mark.parametrize(
    "value",
    ["été.png", "a(b).png", "a=b.npz", "it's (1).png", "日本語", "C:\\x(", "[1,2", "${", "#1", "plain.png", "a\\'(b"],
)
def test_any_text_is_a_value(value):
    (word,) = prepare_arguments([f"task.input={value}"], GROUPS)
    (override,) = OverridesParser.create().parse_overrides([word])
    assert override.value() == value


@pytest.mark.parametrize(
    "word",
    ["beta=4", "model.encoder.hidden=[8,8]", "+a.b=null", "~logger", "callbacks=none", "-m", "beta=1,4", "x='é'"],
)
def test_what_hydra_reads_is_left_as_it_is(word):
    assert prepare_arguments([word], GROUPS) == [word]


def test_another_projects_flag_is_understood():
    for words, meant in {("--epochs", "3"): "trainer.max_epochs=3", ("--batch-size=64",): "data.batch_size=64"}.items():
        with pytest.raises(UserError, match=f"^options have no dashes: {meant}$"):
            prepare_arguments(list(words), GROUPS)
    with pytest.raises(UserError, match=r"^options have no dashes: checkpoint=last$"):
        prepare_arguments(["--checkpoint", "last"], GROUPS, "apply")


def test_a_command_needs_no_arguments():
    assert prepare_arguments([], GROUPS) == []


def test_flags_may_stand_anywhere():
    words = prepare_arguments(["beta=1,2", "-m", "--config-dir", "my", "seed=3"], GROUPS)
    assert words == ["-m", "--config-dir", "my", "beta=1,2", "seed=3"]


def test_values_of_a_sweep_are_quoted_one_by_one():
    _, word = prepare_arguments(["-m", "data.path=é.npz,a=b.npz"], GROUPS)
    (override,) = OverridesParser.create().parse_overrides([word])
    assert [each.strip("'") for each in override.sweep_string_iterator()] == ["é.npz", "a=b.npz"]


@pytest.mark.parametrize("words", [["--latent_dim=2"], ["--latent-dim", "2"], ["-m", "--latent_dim", "2", "beta=1,2"]])
def test_an_option_has_no_dashes(words):
    with pytest.raises(UserError, match=r"^options have no dashes: latent_dim=2$"):
        prepare_arguments(words, GROUPS)
    assert prepare_arguments(["--cfg", "job", "--multi", "beta=2"], GROUPS) == ["--cfg", "job", "--multi", "beta=2"]


@pytest.mark.parametrize("word", ["prior=null", "model=", "experiment=None"])
def test_a_group_needs_a_choice(word):
    with pytest.raises(UserError, match=f"{word}: there is no such choice; "):
        prepare_arguments([word], GROUPS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["experiment=beta-vae"], "experiment=beta-vae: there is no such choice; did you mean experiment=beta_vae?"),
        (["experiment=vqvae"], "experiment=vqvae: there is no such choice; did you mean experiment=vae?"),
        (["sweep=nope"], "sweep=nope: there is no such choice; sweep has beta_latent_model, seeds, wandb"),
        (["prior=normal"], "prior=normal: there is no such choice; did you mean prior=standard?"),
        (["prior=laplace"], "prior=laplace: there is no such choice; prior has flow, mixture, standard, vamp"),
        (["likelihood=MSE"], "likelihood=MSE: there is no such choice; did you mean likelihood=gaussian?"),
        (["data=MNIST"], "data=MNIST: there is no such choice; did you mean data=mnist?"),
        (["data=my.npz"], "data=my.npz: there is no such choice; did you mean data=images data.path=my.npz?"),
        (["data=a/b.csv"], "data=a/b.csv: there is no such choice; did you mean data=images data.path=a/b.csv?"),
        (["data=.."], "data=..: there is no such choice; did you mean data=images data.path=..?"),
        (["trainer=cpu"], "trainer=cpu: there is no such choice; did you mean trainer.accelerator=cpu?"),
        (["activation=relu"], "there is no option activation; did you mean model.encoder.activation?"),
        (
            ["hydra/launcher=jobli"],
            "hydra/launcher=jobli: there is no such choice; did you mean hydra/launcher=joblib?",
        ),
        (["latent_dims=3"], "there is no option latent_dims; did you mean latent_dim?"),
        (["experiments=vae"], "there is no option experiments; did you mean experiment?"),
        (["modle=conv"], "there is no option modle; did you mean model?"),
        (["modle.encoder.hidden=[3]"], "there is no option modle; did you mean model?"),
        (["model.encoder.hiden=[3]"], "there is no option model.encoder.hiden; did you mean model.encoder.hidden?"),
        (["task=sample"], f"a task is done on a trained run: {APPLY}TASK"),
        (["model.latent_dim=3"], "there is no option model.latent_dim; did you mean latent_dim?"),
        (["trainer.lr=3"], "there is no option trainer.lr; did you mean optimizer.lr?"),
        (["optimizer.learning_rate=3"], "there is no option optimizer.learning_rate; did you mean optimizer.lr?"),
        (["trainer.epochs=3"], "there is no option trainer.epochs; did you mean trainer.max_epochs?"),
        (["lr=0.001"], "there is no option lr; did you mean optimizer.lr?"),
        (["max_epochs=3"], "there is no option max_epochs; did you mean trainer.max_epochs?"),
        (["epochs=3"], "there is no option epochs; did you mean trainer.max_epochs?"),
        (["batch_size=32"], "there is no option batch_size; did you mean data.batch_size?"),
        (["hidden=[3]"], "there is no option hidden; did you mean model.encoder.hidden or model.decoder.hidden?"),
        (["beta=much"], "beta must be a number, got much"),
        (["latent_dim=two"], "latent_dim must be a whole number, got two"),
        (["sample"], f"'sample' is not an option: a task is done on a trained run: {APPLY}sample"),
        (["vamp"], "'vamp' is not an option: did you mean experiment=vamp or prior=vamp?"),
        (
            ["data=images", "data.path=a,b"],
            "data.path=a,b has several values: -m tries each of them; for a comma in a name: \"data.path='a,b'\"",
        ),
        (["beta=1,2"], "beta=1,2 has several values: -m tries each of them; a list is beta=[1,2]"),
        (["foo"], "'foo' is not an option: give option=value, without a blank beside the ="),
        (["~nothing"], "Could not delete from config. 'nothing' does not exist."),
    ],
)
def test_an_error_is_one_line_that_names_the_remedy(words, message):
    with hydra.initialize_config_dir(CONF, version_base="1.3"), pytest.raises(HydraException) as error:
        hydra.compose("train", words)
    assert in_one_line(error.value, GROUPS) == message


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("train", {"learning_rate": "optimizer.lr", "epochs": "trainer.max_epochs", "epoch": "trainer.max_epochs"}),
        ("train", {"batch": "data.batch_size", "batch_size": "data.batch_size", "lr": "optimizer.lr"}),
        ("train", {"z_dim": "latent_dim", "latents": "latent_dim", "Z-dim": "latent_dim", "dataset": "data"}),
        ("train", {"device": "trainer.accelerator", "gpu": "trainer.accelerator", "devices": "trainer.devices"}),
        ("train", {"loss": "objective", "recon_loss": "likelihood", "kl_weight": "beta", "encoder": "model"}),
        ("train", {"output_dir": "run_name", "checkpoint": "ckpt_path", "weight_decay": "optimizer.weight_decay"}),
        ("apply", {"gpu": "device", "ckpt": "checkpoint", "run_dir": "run", "run_name": "run"}),
    ],
)
def test_another_projects_name_of_an_option_is_understood(command, names):
    extra = ["optimizer=adamw"] if command == "train" else ["task=sample", "run=x"]
    for name, option in names.items():
        with hydra.initialize_config_dir(CONF, version_base="1.3"), pytest.raises(HydraException) as error:
            hydra.compose(command, [*extra, f"{name}=1"])
        assert in_one_line(error.value, GROUPS, command) == f"there is no option {name}; did you mean {option}?"


def test_the_synonyms_are_of_options_that_exist():
    configs = []
    for command, word in (("train", "data=npz"), ("train", "data=mnist"), ("apply", "task=sample")):
        with hydra.initialize_config_dir(CONF, version_base="1.3"):
            configs.append(hydra.compose(command, [word]))
    for option in itertools.chain(*SYNONYMS.values()):
        assert any(exists(option, cfg) for cfg in configs), option


def test_other_names_of_choices_are_of_ones_that_exist():
    for group, names in CHOICES.items():
        for name, meant in names.items():
            assert not (GROUPS / group / f"{name}.yaml").exists()
            chosen, _, choice = meant.partition("=")
            assert (GROUPS / chosen / f"{choice}.yaml").is_file() or meant == "trainer.accelerator=cpu"


def test_a_runs_folder_without_its_option_is_understood(tmp_path):
    (tmp_path / "outputs" / "runs" / "first").mkdir(parents=True)
    for word in ("outputs/runs/first", "nowhere/first"):
        with hydra.initialize_config_dir(CONF, version_base="1.3"), pytest.raises(HydraException) as error:
            hydra.compose("apply", ["task=sample", word])
        said = in_one_line(error.value, GROUPS, "apply")
        assert ("did you mean run=outputs/runs/first?" in said) == (word == "outputs/runs/first")
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        cfg = hydra.compose("apply", ["task=sample", "run=first"])
    with pytest.raises(UserError, match=r"run=first: no such folder; did you mean run=outputs/runs/first\?"):
        check_apply(cfg)


def test_a_traceback_is_shown_where_it_is_asked_for(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(UserError), errors_in_one_line(GROUPS):
        raise UserError("in full")
    monkeypatch.delenv("HYDRA_FULL_ERROR")
    with pytest.raises(SystemExit, match="in one line"), errors_in_one_line(GROUPS):
        raise UserError("in one line")


def test_a_mistake_of_the_program_is_not_hidden():
    with pytest.raises(ValueError, match="ours"), errors_in_one_line(GROUPS):
        raise ValueError("ours")
