"""Which images a run was trained on: a fingerprint, kept with the run, that detects a change of its data file.

A run keeps the fingerprint in its checkpoints, and in data.json for readers that open no checkpoint. Runs that are
older than fingerprints have none, and are not checked.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from src.config.moved import current_paths
from src.data import user_images
from src.data.labels import numbers_of
from src.data.sources import Images
from src.run import status
from src.run.automatic import SOURCE
from src.run.record import write_json
from src.run.status import State
from src.support.errors import UserError
from src.support.folders import RunFolder
from src.support.texts import read_json

if TYPE_CHECKING:
    from src.data.module import ImageData


def fingerprint(images: Images) -> str:
    """A hash of all images, labels and class names, in their splits and order; 30 ms for the 70,000 images of MNIST."""
    digest = hashlib.sha256(repr(images.classes).encode())
    for split in (images.train, images.val, images.test):
        for array in split:
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def check(expected: dict[str, Any] | None, images: Images, who: str, option: str = "data.path") -> None:
    """Raise UserError unless these are the images that a run was trained on.

    Args:
        expected: what the run keeps of its images; without it there is nothing to check.
        images: the images at hand.
        who: the run, as the error names it.
        option: the option that selects the right images, as the error names it.
    """
    if expected and expected["fingerprint"] != images.fingerprint:
        raise UserError(
            f"{images.name} ({images.origin}) holds other images or labels than {who} was trained on: "
            f"give those ({option}=...), or train a new run"
        )


def keep(run: Path, content: dict[str, Any], data: "ImageData", in_sweep: bool) -> None:
    """Record the images that a run is trained on, in what its checkpoints hold of it and in its folder.

    Raises UserError if other runs of its sweep were trained on the same source when it held other images.
    """
    description, source = data.description(), source_of(content["config"]["data"])
    if in_sweep:
        check_job(run, source, data.source)
    content["data"] = description
    write_json(RunFolder(run).data, description | {"source": source})


def check_resumed(state: dict[str, Any], cfg: DictConfig, images: Images) -> list[str]:
    """Raise UserError unless the images of a configuration are those that the run of a checkpoint was trained on.

    Old runs exclude labels by their position, not by their name: the names are set in the configuration, and returned
    as overrides.
    """
    expected, labels = state["run"].get("data"), cfg.data.exclude_labels
    check(expected, images, "the run", "data.split" if "split" in cfg.data else "data=images data.path")
    if expected or images.numbered or not labels or labels != state["run"]["config"]["data"]["exclude_labels"]:
        return []
    cfg.data.exclude_labels = [images.classes[i] for i in numbers_of(images, labels, by_place=True)]
    return [f"data.exclude_labels={list(cfg.data.exclude_labels)}"]


def source_of(data: dict[str, Any]) -> dict[str, Any]:
    """The source of the images in a configuration's node `data`, without the folder of its files on this machine."""
    return {name: value for name, value in data["source"].items() if name != "root"}


def sweep_fingerprints(folder: Path) -> dict[str, tuple[str, str]]:
    """For each source of a sweep's runs the fingerprint of the images, and the number of one of the runs.

    Failed runs do not count, since they are trained anew.
    """
    fingerprints = {}
    for path in sorted(RunFolder(each).data for each in folder.glob("*")):
        try:
            content = current_paths(read_json(path))
            key = json.dumps(content["source"], sort_keys=True)
            if status.read(path.parent).get("state") not in (State.FAILED, None):
                fingerprints.setdefault(key, (content["fingerprint"], path.parent.name))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):  # missing or damaged
            continue
    return fingerprints


def check_job(run: Path, source: dict[str, Any], images: Images) -> None:
    """Raise UserError if other runs of a sweep were trained on the same source when it held other images."""
    expected, number = sweep_fingerprints(run.parent).get(json.dumps(source, sort_keys=True), (None, ""))
    if expected and number != run.name:
        check({"fingerprint": expected}, images, f"job {number} of {run.parent.name}")


def check_sweep(folder: Path, data: Iterable[dict[str, Any]]) -> None:
    """Raise UserError if a data file of a sweep's jobs has changed since runs of the sweep were trained on it.

    Files that can't be read are left to the jobs, which explain the problem.

    Args:
        folder: the folder of the sweep.
        data: the node `data` of each job's configuration.
    """
    expected = sweep_fingerprints(folder)
    wanted = {json.dumps(source_of(each), sort_keys=True): source_of(each) for each in data}
    for key in expected.keys() & wanted.keys():
        options = dict(wanted[key])
        if options.pop("_target_") != SOURCE:  # the other sources verify their files themselves
            continue
        try:
            images = user_images.images(**options)
        except UserError:
            continue
        value, number = expected[key]
        check({"fingerprint": value}, images._replace(fingerprint=fingerprint(images)), f"job {number}")
