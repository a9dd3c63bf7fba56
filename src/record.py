"""What a run leaves in writing besides its pictures."""

import csv
import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from src.files import whole

PACKAGES = ("torch", "torchvision", "lightning", "hydra-core", "omegaconf", "numpy", "wandb", "openTSNE")


def write(path: Path, text: str) -> None:
    """Writes a text file."""
    with whole(path) as partial:
        partial.write_text(text)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """`content` as JSON, arrays as lists."""
    write(path, json.dumps(content, indent=2, default=lambda value: np.asarray(value).tolist()) + "\n")


def write_terms(folder: Path, terms: dict[str, dict[str, np.ndarray]]) -> None:
    """{split}_terms.npz: `index`, `loss`, `recon`, `kl` of each image, nats."""
    for split, arrays in terms.items():
        with whole(folder / f"{split}_terms.npz") as partial:
            np.savez(partial, **arrays)


def epochs(run: Path) -> list[dict[str, float]]:
    """The rows of a run's metrics.csv that belong to an epoch, without empty cells; none where there is no file."""
    path = run / "metrics.csv"
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    return [row for row in rows if "epoch" in row]


def provenance() -> dict[str, Any]:
    """Versions, machine and git commit (with `+` where the working tree differs from it; None outside a checkout)."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "git_commit": git_commit(),
    }


def git_commit() -> str | None:
    """The checkout's commit."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
