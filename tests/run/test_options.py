"""The differences between configurations."""

import pytest
from omegaconf import OmegaConf

from src.run.options import (
    as_text,
    differences,
    effective,
    flatten,
    part,
    repeats_in_group,
    repeats_or_follows,
    with_added_options,
    without_added_options,
)
from src.sweeps.numbering import training_of


def test_the_leaves_of_a_configuration_have_their_whole_names():
    assert flatten({"a": 1, "b": {"c": {"d": [2]}, "e": {}}}) == {"a": 1, "b.c.d": [2]}


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (True, "true"), (None, "null"), (0.30000000004, "0.3"), ([1], "[1]"), ("a", "a")]
)
def test_values_are_written_as_one_would_type_them(value, text):
    assert as_text(value) == text


def test_the_part_that_an_option_chooses():
    assert [part(name) for name in ("model.name", "prior._target_", "beta")] == ["model", "prior", "beta"]


@pytest.mark.parametrize("repeats", [repeats_in_group, repeats_or_follows])
def test_what_changes_no_number_is_no_difference(repeats):
    ours = {"beta": 1, "title": "a", "sweep_name": "one", "logger": {"csv": None}, "data": {"root": "a", "path": "b"}}
    theirs = {"beta": 2, "title": "b", "sweep_name": None, "logger": {}, "data": {"root": "c", "path": "d"}}
    assert differences([ours, theirs], repeats) == {"beta": [1, 2]}


def test_what_a_choice_entails_is_left_out_of_a_table_alone():
    ours = {"objective": {"_target_": "src.training.objectives.ELBO"}}
    theirs = {"objective": {"_target_": "src.training.objectives.MMD", "penalty": 9}}
    assert list(differences([ours, theirs], repeats_or_follows)) == ["objective._target_"]
    assert list(differences([ours, theirs], repeats_in_group)) == ["objective._target_", "objective.penalty"]


@pytest.mark.parametrize("repeats", [repeats_in_group, repeats_or_follows])
def test_what_a_part_has_from_the_model_is_no_difference_of_its_own(composed, repeats):
    options = ["model.decoder.top=8", "model.decoder.levels=[2,3]", "model.decoder.hidden=9"]
    ladders = [OmegaConf.to_container(composed("model=ladder", *more), resolve=True) for more in ([], options)]
    found = differences(ladders, repeats)
    assert sorted(found) == ["latent_dim", "model.decoder.hidden", "model.decoder.levels", "model.decoder.top"]
    ones_own = [{"latent_dim": 2, "posterior": {"_target_": "mine.P", "channels": count}} for count in (8, 64)]
    assert differences(ones_own, repeats) == {"posterior.channels": [8, 64]}


def test_the_effective_options_are_all_but_those_that_change_no_number(composed):
    config = OmegaConf.to_container(composed("data=npz", "data.path=a.npz", "sweep_name=a"), resolve=True)
    request = ("ckpt_path", "title", "run_name", "resume", "sweep_name", "trust", "test")
    expected = {name: value for name, value in config.items() if name not in request}
    del expected["logger"], expected["callbacks"]
    expected["data"] = {name: value for name, value in config["data"].items() if name != "root"}
    assert effective(config) == expected
    moved = config["data"] | {"root": "/elsewhere", "source": config["data"]["source"] | {"root": "/elsewhere"}}
    assert effective(config | {"data": moved}) == expected


def test_a_run_from_before_an_option_was_added_is_one_with_its_value_of_then(composed):
    """Its configuration lacks `trainer.patience`, `model.start`, the `depth` of convolutions, and `condition`."""
    then = ("model=conv", "model.start=zero", "model.encoder.depth=1")
    config = OmegaConf.to_container(composed(*then), resolve=True)
    before = OmegaConf.to_container(composed(*then), resolve=True)
    del before["trainer"]["patience"], before["model"]["encoder"]["depth"], before["model"]["decoder"]["depth"]
    del before["model"]["start"], before["condition"]
    assert with_added_options(before) | {"condition": {}} == with_added_options(config) == config
    assert without_added_options(before) == without_added_options(config) == before
    assert not differences([before, config], repeats_in_group)
    assert training_of(before) == training_of(config)
    deeper = OmegaConf.to_container(composed(*then, "model.encoder.depth=2"), resolve=True)
    assert list(differences([before, deeper], repeats_in_group)) == ["model.encoder.depth"]
    assert training_of(before) != training_of(deeper)
    resnet = OmegaConf.to_container(composed("model=resnet", "model.encoder.depth=1"), resolve=True)
    assert (
        without_added_options(resnet)["model"]["encoder"] == resnet["model"]["encoder"]
    )  # which always had the option
