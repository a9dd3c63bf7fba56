"""Runs trained as from the command line, and the contents of their files."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import hydra
import torch
from torch import Tensor

from src.config.options import CONF


def train_run(options: list[str], folder: Path, changes: tuple[str, ...] = ()) -> Path:
    """Train in `folder` with these options of the command line; `changes` are the new options of a resume.

    Returns:
        The run's folder.
    """
    from src.train import train

    folder.mkdir(exist_ok=True)
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        train(hydra.compose("train", options), folder, [*options, *changes])
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv, one an epoch."""
    return [row for row in csv.DictReader((folder / "metrics.csv").open()) if row["epoch"]]


def weights(folder: Path, which: str = "last") -> dict[str, Tensor]:
    """The weights in a run's checkpoint."""
    return torch.load(folder / "checkpoints" / f"{which}.ckpt", weights_only=True)["state_dict"]


def identical(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether the weights agree bit by bit."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def inspect_wandb(folder: Path, *flags: str) -> str:
    """The one offline W&B run of a folder, as W&B's own reader prints it."""
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    wandb = Path(sys.executable).with_name("wandb")
    command = [str(wandb), "leet", "inspect", *flags, "--json", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def wandb_records(folder: Path, kind: str) -> list[dict]:
    """The records of one kind in the one offline W&B run of a folder."""
    lines = (json.loads(line) for line in inspect_wandb(folder).splitlines())
    return [line[kind] for line in lines if line["type"] == kind]
