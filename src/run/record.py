"""The files of numbers that a run leaves: JSON and terms per image, with their provenance."""

import functools
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from src.support.files import atomic_path
from src.support.folders import RunFolder
from src.support.statistics import Estimate, Interval, Noted

SOURCES = [f":/{name}" for name in ("src", "callbacks", "conf", "pyproject.toml")]
PACKAGES = ("torch", "torchvision", "lightning", "hydra-core", "omegaconf", "numpy", "wandb", "openTSNE")


def write(path: Path, text: str) -> None:
    """Write a text file."""
    with atomic_path(path, durable=True) as partial:
        partial.write_text(text)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` as JSON, arrays as lists."""
    write(path, json.dumps(content, indent=2, default=lambda value: np.asarray(value).tolist()) + "\n")


def write_terms(run: Path, terms: dict[str, dict[str, np.ndarray]]) -> None:
    """Write for each split the `index`, `loss`, `recon` and `kl` of each image, nats."""
    for split, arrays in terms.items():
        with atomic_path(RunFolder(run).terms(split), durable=True) as partial:
            np.savez(partial, **arrays)


def table(numbers: Mapping[str, Any]) -> str:
    """A task's numbers as lines of text: single ones first, then a table of those in rows and columns.

    Estimates are shown with their standard errors, arrays left out. Rows within a row are called `row/inner row`.
    """
    rows = cells(numbers)
    lines = [[name, cell] for name, cell in rows.pop("", {}).items()]
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    if columns:
        lines += [["", *columns], *([name, *(row.get(column, "") for column in columns)] for name, row in rows.items())]
    widths = [max(len(line[i]) for line in lines if i < len(line)) for i in range(max(map(len, lines), default=0))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def cells(numbers: Mapping[str, Any], row: str = "") -> dict[str, dict[str, str]]:
    """The numbers as text, by row and column; single ones are columns of the row without a name."""
    rows: dict[str, dict[str, str]] = {row: {}}
    for name, value in numbers.items():
        match value:
            case Mapping():
                rows |= cells(value, f"{row}/{name}" if row else name)
            case Noted(noted, note):
                rows[row][name] = f"{cells({name: noted})[''][name]}  ({note})"
            case Estimate(mean, se):
                rows[row][name] = number_text(mean) + ("" if se is None else f" ± {se:.2g}")
            case Interval(mean, low, high):
                rows[row][name] = f"{number_text(mean)} (95 %: {number_text(low)} to {number_text(high)})"
            case _ if np.ndim(value) == 0:
                rows[row][name] = number_text(value)
    return {name: row for name, row in rows.items() if row}


def number_text(value: str | float) -> str:
    """A number with four significant digits below 1 and two decimals above; whole numbers and text as they are."""
    if isinstance(value, str | int):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}"


def provenance() -> dict[str, Any]:
    """Versions, machine and git commit.

    The commit ends in `+` if code or configurations differ from it, and is None outside a checkout.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "git_commit": git_commit(),
    }


@functools.cache
def git_commit() -> str | None:
    """The commit of the checkout at the first call, which should come soon after the code is imported."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", *SOURCES) else "")
    except (OSError, subprocess.CalledProcessError):
        return None
