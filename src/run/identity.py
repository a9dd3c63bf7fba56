"""Which images a run was trained on: a fingerprint, kept with it, that tells a file from what it holds later.

Each run keeps it in its checkpoints and in RUN/data.json, which who reads folders alone can read. Runs made before
there were fingerprints have none, and nothing to check.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from src.config.moved import current_paths
from src.data import sources
from src.data.labels import numbers_of
from src.data.sources import Images
from src.run import status
from src.run.record import write_json
from src.support.errors import UserError
from src.support.folders import RunFolder

if TYPE_CHECKING:
    from src.data.module import ImageData


def fingerprint(images: Images) -> str:
    """A hash of all images, labels and names of classes, in their parts and order; 30 ms for 70,000 images of MNIST."""
    digest = hashlib.sha256(repr(images.classes).encode())
    for split in (images.train, images.val, images.test):
        for array in split:
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def check(known: dict[str, Any] | None, images: Images, who: str, option: str = "data.path") -> None:
    """Raises UserError unless the images are those of `known`, what a run has kept of its own, if it has.

    option: what names the place of the right ones
    """
    if known and known["fingerprint"] != images.fingerprint:
        raise UserError(
            f"{images.name} ({images.origin}) holds other images or labels than {who} was trained on: "
            f"give those ({option}=...), or train a new run"
        )


def keep(run: Path, kept: dict[str, Any], data: "ImageData", in_sweep: bool) -> None:
    """Adds to what checkpoints keep of a run, and writes to its folder, which images it is trained on.

    Raises UserError where other runs of its sweep were trained on the same source when it held other images.
    """
    described, source = data.described(), source_of(kept["config"]["data"])
    if in_sweep:
        check_job(run, source, data.source)
    kept["data"] = described
    write_json(RunFolder(run).data, described | {"source": source})


def check_resumed(state: dict[str, Any], cfg: DictConfig, images: Images) -> list[str]:
    """Raises UserError unless these images, of a configuration, are those that a checkpoint's run was trained on.

    A run from before labels were known by name excluded them by place: these get their names in the configuration, and
    in the options that are returned.
    """
    known, labels = state["run"].get("data"), cfg.data.exclude_labels
    check(known, images, "the run", "data=npz data.path")
    if known or images.numbered or not labels or labels != state["run"]["config"]["data"]["exclude_labels"]:
        return []
    cfg.data.exclude_labels = [images.classes[i] for i in numbers_of(images, labels, by_place=True)]
    return [f"data.exclude_labels={list(cfg.data.exclude_labels)}"]


def source_of(data: dict[str, Any]) -> dict[str, Any]:
    """What a configuration's `data` says of where its images come from, but for where they lie on this machine."""
    return {name: value for name, value in data["source"].items() if name != "root"}


def siblings(folder: Path) -> dict[str, tuple[str, str]]:
    """The fingerprint of each source that runs in the folder of a sweep were trained on, and the number of one of them;
    by source. Those that failed are trained anew, and do not count."""
    found = {}
    for path in sorted(RunFolder(each).data for each in folder.glob("*")):
        try:
            kept = current_paths(json.loads(path.read_text()))
            key = json.dumps(kept["source"], sort_keys=True)
            if status.read(path.parent).get("state") not in ("failed", None):
                found.setdefault(key, (kept["fingerprint"], path.parent.name))
        except (OSError, ValueError, KeyError, TypeError):  # damaged: it says nothing
            continue
    return found


def check_job(run: Path, source: dict[str, Any], images: Images) -> None:
    """Raises UserError where other runs of a sweep were trained on the same source when it held other images."""
    known, number = siblings(run.parent).get(json.dumps(source, sort_keys=True), (None, ""))
    if known and number != run.name:
        check({"fingerprint": known}, images, f"job {number} of {run.parent.name}")


def check_sweep(folder: Path, data: Iterable[dict[str, Any]]) -> None:
    """Raises UserError where a file of a sweep's jobs (their nodes `data`) holds other images than when runs of it were
    trained. Files that can't be read are left to the jobs."""
    known = siblings(folder)
    wanted = {json.dumps(source_of(each), sort_keys=True): source_of(each) for each in data}
    for key in known.keys() & wanted.keys():
        options = dict(wanted[key])
        if options.pop("_target_") != "src.data.sources.npz":  # the others verify their files
            continue
        try:
            images = sources.npz(**options)
        except UserError:
            continue
        check({"fingerprint": known[key][0]}, images._replace(fingerprint=fingerprint(images)), f"job {known[key][1]}")
