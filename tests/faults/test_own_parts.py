"""A run with a network of one's own: each command opens it by the user's word, and by nothing in a file."""

import json
import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
import yaml
from hydra.core.global_hydra import GlobalHydra

from src import apply, build, search, train
from src.config import trust
from src.support.errors import UserError
from tests.helpers import hostile
from tests.helpers.command_lines import Outcome, run_case
from tests.helpers.option_values import Case
from tests.helpers.own_parts import OWN_PARTS
from tests.helpers.runs import train_run

OWN = "model.encoder._target_=mine.Net"


def start(command: str, folder: Path, *options: str) -> Outcome:
    """A command in a fork of this process, which has not imported the file with the network."""
    sys.modules.pop("mine")
    return run_case(Case(command, "", list(options)), folder / "case", imports=False)


def test_apply_repeats_the_command_with_the_trust_that_it_needs(own, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["apply.py", f"run={own}", "task=sample", "task.count=4", "name=a b"])
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as end:
        apply.main()
    asked = f"python -m src.apply run={own} task=sample task.count=4 'name=a b' trust=mine"
    assert end.value.code == (
        f"{own} was trained with mine.Net, code that is not this program's: if you trust it: {asked}"
    )
    assert not (own / "tasks").exists()
    options = ["task=sample", "task.count=4", "task.compare=false", "task.samplers=[prior]"]
    trusting = start("apply", tmp_path, f"run={own}", *options, "trust=mine")
    assert trusting.code == 0, trusting.errors
    assert (own / "tasks" / "sample" / "latest" / "metrics.json").is_file()
    hostile.assert_untouched(tmp_path)


def test_a_run_with_a_network_of_ones_own_is_loaded_by_the_users_word(own, monkeypatch):
    with pytest.raises(
        UserError, match=r'mine\.Net, code that is not this program\'s: if you trust it, trust=\["mine"\]'
    ):
        build.load(own)
    assert type(build.load(own, trust=["mine"]).encoder).__name__ == "Net"
    assert type(build.load(own, trust="mine.Net").encoder).__name__ == "Net"
    for other in ("min", "mine.Nett", "mine.Net.x", "src"):
        with pytest.raises(UserError, match="that is not this program's"):
            build.load(own, trust=[other])
    monkeypatch.setenv("VAE_LAB_TRUST", "other, mine")
    assert type(build.load(own).encoder).__name__ == "Net"


def test_a_trusted_module_is_not_trusted_with_the_names_of_others(own):
    hostile.name_in_checkpoints(own, "prior", {"_target_": "mine.sys.settrace", "function": None})
    with pytest.raises(UserError, match=r"mine\.sys\.settrace is sys\.settrace, which trust=mine does not cover"):
        build.load(own, trust=["mine"])
    hostile.name_in_checkpoints(own, "prior", {"_target_": "mine.Normal", "loc": 0, "scale": 1})
    with pytest.raises(UserError, match=r"mine\.Normal is torch\.distributions\.normal\.Normal, which trust=mine does"):
        build.load(own, trust=["mine"])


def test_the_other_run_of_a_comparison_is_opened_by_the_users_word(trained, own, tmp_path, applied):
    first = hostile.copy_run(trained, tmp_path / "first")
    with pytest.raises(UserError, match=r"mine\.Net, code that is not this program's"):
        applied(first, "task=compare", f"task.other={own}")
    assert applied(first, "task=compare", f"task.other={own}", "trust=mine")[0]["images"] > 0


def test_a_resume_needs_the_users_word_for_a_network_of_ones_own(own, resume):
    last = own / "checkpoints" / "last.ckpt"
    with pytest.raises(UserError, match=r"mine\.Net, code that is not this program's"):
        resume(own, "trainer.max_epochs=3")
    train_run([f"ckpt_path={last}", "trust=mine"], own, ("trainer.max_epochs=3", "trust=mine"))
    run = torch.load(last, weights_only=True)["run"]
    assert "trust" not in run["config"]
    assert "trust" not in run["composition"]
    assert "trust=mine" not in run["overrides"]
    assert "trust" not in yaml.safe_load((own / "config.yaml").read_text())


def test_an_option_that_names_the_class_is_the_users_word(own, resume):
    resume(own, "trainer.max_epochs=3", OWN)
    assert json.loads((own / "metrics.json").read_text())["epoch"] <= 3


def test_nothing_in_a_folder_grants_trust(own, resume):
    def edit(state: dict[str, Any]) -> None:
        state["run"]["config"]["trust"] = state["run"]["composition"]["trust"] = ["mine"]
        state["run"]["overrides"].append("trust=mine")

    hostile.change(own, edit)
    with pytest.raises(UserError, match=r"mine\.Net, code that is not this program's"):
        resume(own, "trainer.max_epochs=3")
    with pytest.raises(UserError, match=r"mine\.Net, code that is not this program's"):
        build.load(own)


def test_a_job_of_a_sweep_is_resumed_by_the_command_that_names_its_class(own, small, resume):
    """The configuration of the job, composed from the command line, is what the sweep hands to `train`."""
    with hydra.initialize_config_dir(train.CONF, version_base="1.3"):
        options = [*small, OWN, "trainer.max_epochs=3"]
        cfg = hydra.compose("train", options)
        cfg.ckpt_path = str(own / "checkpoints" / "last.ckpt")
        train.train(cfg, own, [*options, f"ckpt_path={cfg.ckpt_path}"])
    assert json.loads((own / "status.json").read_text())["state"] == "finished"


def test_a_search_goes_on_by_the_users_word(small, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(OWN_PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    words = [each for each in small if not each.startswith("trainer.max_epochs")]
    GlobalHydra.instance().clear()
    search.search(["name=first", "trials=1", *words, OWN, "trainer.max_epochs=1", "beta=interval(1,2)"])
    monkeypatch.setattr(trust, "asked_for", set())
    with pytest.raises(UserError, match=r"mine\.Net, code that is not this program's"):
        search.search(["name=first", "trials=2"])
    search.search(["name=first", "trials=2", "trust=mine"])
    assert (tmp_path / "outputs/sweeps/first/1/metrics.json").is_file()
    assert "trust" not in (tmp_path / "outputs/sweeps/first/search.yaml").read_text()
