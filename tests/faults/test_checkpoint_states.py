"""Checkpoints whose tensors, weights or states of the training are not those of the run."""

from typing import Any

import pytest
import torch

from src import build
from src.support.errors import DamagedError, UserError
from src.training import checkpoints
from tests.helpers import hostile

TENSORS = {
    "one number repeated": torch.zeros(1).expand(10**12),
    "sparse": torch.eye(3).to_sparse(),
    "without values": torch.empty(10**12, device="meta"),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_a_tensor_that_claims_more_than_it_holds_is_refused(kind, folder):
    def edit(state: dict[str, Any]) -> None:
        state["optimizer_states"][0]["state"][0]["exp_avg"] = TENSORS[kind]

    hostile.change(folder, edit)
    with pytest.raises(DamagedError) as refusal:
        checkpoints.read(folder / "checkpoints" / "last.ckpt")
    assert "weights_only" not in str(refusal.value)


def test_lists_of_lists_that_double_are_read_in_no_time(folder):
    def edit(state: dict[str, Any]) -> None:
        value: list = []
        for _ in range(100):
            value = [value, value]
        state["optimizer_states"].append(value)

    hostile.change(folder, edit)
    assert checkpoints.read(folder / "checkpoints" / "last.ckpt")["epoch"] >= 0


def test_widths_that_no_memory_holds_are_refused_before_anything_is_made(folder):
    def edit(state: dict[str, Any]) -> None:
        state["run"]["config"]["model"]["encoder"]["hidden"] = [10**6, 10**6]

    hostile.change(folder, edit)
    with pytest.raises(UserError, match=r"hidden=\[1000000,1000000\] takes 16000 GB in a single array"):
        build.load(folder)


WEIGHTS = {
    "another shape": lambda weight: weight[:1],
    "another type": lambda weight: weight.long(),
    "numbers": lambda weight: 3,
    "text": lambda weight: "weights",
    "nothing": lambda weight: None,
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_that_do_not_fit_are_refused(kind, folder, resume):
    def edit(state: dict[str, Any]) -> None:
        name = next(name for name, weight in state["state_dict"].items() if len(weight) > 1)
        state["state_dict"][name] = WEIGHTS[kind](state["state_dict"][name])

    hostile.change(folder, edit)
    with pytest.raises(UserError, match=r"weights do not fit|is no checkpoint"):
        build.load(folder, "last")
    with pytest.raises(UserError, match=r"weights do not fit|is no checkpoint"):
        resume(folder, "trainer.max_epochs=3")


STATES = {
    "no optimizer": lambda state: state.pop("optimizer_states"),
    "an optimizer of another kind": lambda state: state.update(optimizer_states=[{"state": 3}]),
    "no moments": lambda state: state["optimizer_states"][0]["param_groups"].clear(),
    "no loops": lambda state: state.update(loops={"fit_loop": 3}),
    "no schedule": lambda state: state.update(lr_schedulers=["x"]),
    "callbacks of another kind": lambda state: state.update(callbacks=[1]),
    "a callback of another kind": lambda state: state["callbacks"].update(dict.fromkeys(state["callbacks"], 3)),
    "no version of Lightning": lambda state: state.pop("pytorch-lightning_version"),
}


@pytest.mark.parametrize("kind", STATES)
def test_a_state_of_the_training_of_another_kind_is_one_line(kind, folder, resume):
    hostile.change(folder, STATES[kind])
    before = {path: path.read_bytes() for path in folder.glob("checkpoints/*")}
    try:
        resume(folder, "trainer.max_epochs=3")
    except UserError as error:
        assert "\n" not in str(error)
        assert "last.ckpt" in str(error)
        assert {path: path.read_bytes() for path in folder.glob("checkpoints/*")} == before


@pytest.mark.parametrize("name", ["..", "x/..", "checkpoints/notes.txt", "checkpoints/../notes.txt"])
def test_a_resume_removes_only_its_own_checkpoint(name, folder, resume):
    """Lightning removes the checkpoint that a better one replaces, by the path in the checkpoint."""

    def edit(state: dict[str, Any]) -> None:
        for each in state["callbacks"].values():
            if "best_k_models" in each:
                each["best_k_models"] = {f"{folder}/{name}": torch.tensor(1e9)} if each["best_k_models"] else {}
                each |= {"best_model_path": f"{folder}/{name}", "kth_best_model_path": f"{folder}/{name}"}

    hostile.change(folder, edit)
    for path in (folder, folder / "checkpoints"):
        (path / "notes.txt").touch()
    files = {path for path in folder.rglob("*") if path.is_file()}
    resume(folder, "trainer.max_epochs=3")
    assert files <= {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("path", ["data.source", "latent_dim", "trainer", "objective.samples", "prior"])
@pytest.mark.parametrize("value", ["x", [1]])
def test_a_composition_of_another_kind_is_one_line(path, value, folder, resume):
    """The configuration with interpolations, from which a resume composes."""
    hostile.change(folder, lambda state: hostile.set_option(state["run"]["composition"], path, value))
    with pytest.raises(UserError) as refusal:
        resume(folder, "trainer.max_epochs=3")
    assert "\n" not in str(refusal.value)
