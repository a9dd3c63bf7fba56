"""What a run leaves in writing besides its pictures."""

import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("torch", "torchvision", "lightning", "hydra-core", "omegaconf", "numpy", "wandb", "openTSNE")


def write(path: Path, text: str) -> None:
    """Writes `path` whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(path)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """`content` as JSON, arrays as lists."""
    write(path, json.dumps(content, indent=2, default=lambda value: np.asarray(value).tolist()) + "\n")


def write_terms(folder: Path, terms: dict[str, dict[str, np.ndarray]]) -> None:
    """{split}_terms.npz: `index`, `loss`, `recon`, `kl` of each image, nats."""
    for split, arrays in terms.items():
        partial = folder / f".{split}_terms.{os.getpid()}.npz"
        np.savez(partial, **arrays)
        partial.replace(folder / f"{split}_terms.npz")


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
