"""The contents of a run's folder beside those of a run that was never disturbed."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.run import status
from src.support.folders import RunFolder, SweepFolder

TIMES = ("seconds", "images_per_second", "training_seconds")
TRAINED = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step")
OWN = {"train.log", ".lock"}  # files that a run may have or not, and whose content is its own


def differences(run: Path, whole: Path) -> list[str]:
    """In what a run that was disturbed, and went on, differs from one that was not: nothing but times may.

    Weights and the state of the optimizer, metrics, terms, the trace, samples, pictures and animations must be the
    same bit by bit, the files the same, and the state `finished`.
    """
    state = status.read(run).get("state")
    found = [] if state == status.State.FINISHED else [f"the state is {state}"]
    ours, theirs = files(run), files(whole)
    found += [f"{name} is missing" for name in sorted(theirs - ours)]
    found += [f"{name} is left over" for name in sorted(ours - theirs)]
    for name in sorted(ours & theirs):
        try:
            if not same(run / name, whole / name):
                found.append(f"{name} differs")
        except Exception as error:
            found.append(f"{name} can't be read ({type(error).__name__}: {error})")
    return found


def files(run: Path) -> set[str]:
    """The files of a run, those of Hydra left out."""
    hydra = RunFolder(run).hydra
    found = {path for path in run.rglob("*") if not path.is_dir() and hydra not in path.parents}
    return {str(path.relative_to(run)) for path in found if path.name not in OWN}


def partial_files(folder: Path) -> list[str]:
    """The temporary files that were left in a folder."""
    return [path.name for path in folder.rglob(".*") if re.match(r"\.\d+\.", path.name)]


def same(path: Path, other: Path) -> bool:
    """Whether two files of runs have the same content, except for times, commands and paths."""
    if path.name == RunFolder(path.parent).status.name:
        ours, theirs = (json.loads(each.read_text()) for each in (path, other))
        return all(ours.get(name) == theirs.get(name) for name in ("state", "reason", "warning"))
    if path.name == RunFolder(path.parent).config.name:
        return lines_but(path, "ckpt_path") == lines_but(other, "ckpt_path")
    if path.name == RunFolder(path.parent).epochs.name:
        ours, theirs = (list(csv.DictReader(each.read_text().splitlines())) for each in (path, other))
        return list(map(without_times, ours)) == list(map(without_times, theirs))
    if path.name == RunFolder(path.parent).metrics.name:
        return without_times(json.loads(path.read_text())) == without_times(json.loads(other.read_text()))
    if path.suffix == ".npz":
        return same_arrays(path, other)
    if path.suffix == ".ckpt":
        return same_checkpoint(path, other)
    return path.read_bytes() == other.read_bytes()


def lines_but(path: Path, option: str) -> list[str]:
    """The lines of a file but those that begin with an option's name, and those that name a way of starting."""
    skipped = (f"{option}:", "resume:", "run_name:")
    return [line for line in path.read_text().splitlines() if not line.startswith(skipped)]


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers of a run without those of time."""
    return {name: value for name, value in row.items() if name not in TIMES}


def same_arrays(path: Path, other: Path) -> bool:
    """Whether two npz files hold the same arrays, bit by bit."""
    with np.load(path) as ours, np.load(other) as theirs:
        if set(ours.files) != set(theirs.files):
            return False
        pairs = [(ours[name], theirs[name]) for name in ours.files]
    return all((a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes()) for a, b in pairs)


def same_checkpoint(path: Path, other: Path) -> bool:
    """Whether two checkpoints go on to the same training."""
    ours, theirs = (torch.load(each, weights_only=True) for each in (path, other))
    pairs = [(list(leaves(ours.get(name))), list(leaves(theirs.get(name)))) for name in TRAINED]
    return all(
        len(a) == len(b) and all(type(x) is type(y) and equal(x, y) for x, y in zip(a, b, strict=True))
        for a, b in pairs
    )


def leaves(value: Any) -> Iterator[Any]:
    """The values in nested containers, with the keys."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each)
    else:
        yield value


def equal(one: Any, other: Any) -> bool:
    """Whether two values of a checkpoint agree bit by bit."""
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def sweep_differences(sweep: Path, whole: Path) -> list[str]:
    """In what the jobs of a sweep, or the trials of a search, differ from those of one that was not disturbed."""
    if not sweep.is_dir():
        return ["it has left nothing"]
    ours, theirs = ({path.name for path in each.iterdir() if path.name.isdigit()} for each in (sweep, whole))
    found = [f"jobs {sorted(ours)}, not {sorted(theirs)}"] if ours != theirs else []
    found += [f"{name} is left over" for name in partial_files(sweep)]
    for name in sorted(ours & theirs):
        one, other = (SweepFolder(each).run(int(name)).path for each in (sweep, whole))
        found += [f"{name}: {each}" for each in differences(one, other)]
    return found
