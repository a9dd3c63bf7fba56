"""A run's folder as a stranger could prepare it: its checkpoints name other programs, and refer to the environment."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

SECRET = "a-password-of-the-user"
CANARY = "canary"  # the file that a program makes which was executed, in the folder where the command runs

TOUCH = f"touch {CANARY}"
# Hydra itself refuses os.system and its like, but not this
METHOD = f"{{_target_:pathlib.Path.touch,self:{{_target_:pathlib.Path,_args_:[{CANARY}]}}}}"
# Nodes of a configuration, each of which makes the canary where it is instantiated, by the option that holds it.
NODES: dict[str, tuple[str, Any]] = {
    "a method": ("prior", {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": [CANARY]}}),
    "a program": ("posterior", {"_target_": "os.system", "command": TOUCH}),
    "a name in a module of ours": ("likelihood", {"_target_": "src.build.os.system", "command": TOUCH}),
    "deeper down": ("prior.latent_dim", {"_target_": "os.system", "command": TOUCH}),
    "in a list": ("model.encoder.hidden", [{"_target_": "os.system", "command": TOUCH}]),
    "the images": ("data.source", {"_target_": "os.system", "command": TOUCH}),
    "the network": ("model.decoder", {"_target_": "os.system", "_partial_": True, "command": TOUCH}),
    "arguments": ("prior._args_", [3]),
    "our part in another place": ("prior", {"_target_": "src.data.sources.mnist", "root": f"{CANARY}/root"}),
    "an older name": ("prior", {"_target_": "src.sources.os.system", "command": TOUCH}),
}


def copy_run(run: Path, to: Path) -> Path:
    """Copy a run's folder."""
    shutil.copytree(run, to, symlinks=True)
    return to


def set_option(config: dict[str, Any], option: str, value: Any) -> None:
    """Set an option of a plain configuration."""
    *parents, last = option.split(".")
    for name in parents:
        config = config[name]
    config[last] = copy.deepcopy(value)


def change(run: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """Change what both checkpoints of a run hold, and return the run's folder."""
    for path in (run / "checkpoints").glob("*.ckpt"):
        state = torch.load(path, weights_only=True)
        edit(state)
        torch.save(state, path)
    return run


def name_in_checkpoints(run: Path, option: str, value: Any, composed: bool = True) -> Path:
    """Let an option of the configuration in a run's checkpoints have this value, with and without interpolations."""

    def edit(state: dict[str, Any]) -> None:
        set_option(state["run"]["config"], option, value)
        if composed:
            set_option(state["run"]["composition"], option, value)

    return change(run, edit)


def assert_untouched(folder: Path) -> None:
    """Assert that no program was executed in a folder, and that no file below it holds the user's secret."""
    assert not (folder / CANARY).exists()
    for path in folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
