"""The differences between configurations."""

import hashlib
import json

import pytest
from omegaconf import OmegaConf

from src.run.options import as_text, differences, effective, flatten, part, repeats_in_group, repeats_or_follows
from src.sweeps.jobs import fingerprint
from src.tasks.compare.task import option_differences


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


def test_two_runs_of_a_sweep_do_not_differ_in_its_name():
    assert option_differences({"sweep_name": "one", "seed": 0}, {"sweep_name": "two", "seed": 0}) == {}


def test_what_a_choice_entails_is_left_out_of_a_table_alone():
    ours = {"objective": {"_target_": "src.training.objectives.ELBO"}}
    theirs = {"objective": {"_target_": "src.training.objectives.MMD", "penalty": 9}}
    assert list(differences([ours, theirs], repeats_or_follows)) == ["objective._target_"]
    assert list(differences([ours, theirs], repeats_in_group)) == ["objective._target_", "objective.penalty"]


@pytest.mark.parametrize("data", ["mnist", "npz"])
def test_the_effective_options_are_those_of_a_jobs_fingerprint(composed, data):
    cfg = composed(f"data={data}", "title=a", *(["data.path=a.npz", "data.white=0"] if data == "npz" else []))
    content = json.dumps(effective(OmegaConf.to_container(cfg, resolve=True)), sort_keys=True)
    assert hashlib.sha256(content.encode()).hexdigest()[:16] == fingerprint(cfg)
