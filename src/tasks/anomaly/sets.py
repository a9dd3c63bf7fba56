"""What test images are set against: corrupted images, a class that was held out, other data."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf

from src.build import Run
from src.config.classes import make
from src.config.options import CONF
from src.data import sources
from src.data.pixels import prepare
from src.data.selection import equidistant_rows
from src.support import noise
from src.support.errors import UserError

DATA = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "mnist5k": None}  # and the folder that their files lie in
OTHER = {"mnist": "fashion_mnist", "mnist5k": "fashion_mnist", "fashion_mnist": "mnist"}


def noisy(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A tenth of the pixels replaced by grey levels drawn evenly."""
    return np.where(random.random(images.shape) < 0.1, random.integers(0, 256, images.shape), images).astype(np.uint8)


def blurred(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Smoothed by a Gaussian of 1/28 of the longer side."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(images, max(images.shape[2:]) / 28, axes=(2, 3))


CORRUPTIONS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "flip_vertical": lambda images, random: images[:, :, ::-1],
    "flip_horizontal": lambda images, random: images[..., ::-1],
    "rotate": lambda images, random: np.rot90(images, axes=(2, 3)),
    "invert": lambda images, random: 255 - images,
    "noise": noisy,
    "blur": blurred,
}


def others(run: Run, chosen: str | Sequence[str], count: int) -> dict[str, np.ndarray]:
    """At most `count` images of each set that `task.against` names, prepared for the run; `auto` chooses.

    Raises UserError for one that is none, or has another shape or less than two images.
    """
    if isinstance(chosen, str):
        chosen = automatic(run) if chosen == "auto" else [chosen]
    known = ["held_out", *DATA, *CORRUPTIONS]
    if not chosen or not all(name in known for name in chosen):
        raise UserError(f"task.against must be auto or some of [{','.join(known)}], got {chosen}")
    found = {name: prepared_for(run, name, spread(grey(run, name), count)) for name in chosen}
    if few := [name for name, images in found.items() if len(images) < 2]:
        raise UserError(f"task.against={few[0]}: there are less than two such test images")
    return found


def spread(images: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the images, evenly spread: the first of MNIST's test images are neater than the last."""
    return images[equidistant_rows(len(images), count)]


def prepared_for(run: Run, name: str, images: np.ndarray) -> np.ndarray:
    """Grey levels (N, C, H, W) uint8, corrupted if `name` says so, as the run's VAE takes them."""
    seed = noise.seed_of(run.seed, "anomaly", name) % 2**32
    if name in CORRUPTIONS:
        images = CORRUPTIONS[name](images, np.random.default_rng(seed))
    if list(images.shape[1:]) != list(run.config.data.shape):
        raise UserError(f"task.against={name}: images are {list(images.shape[1:])}, the run's {run.config.data.shape}")
    return prepare(np.ascontiguousarray(images), run.data.pixels, seed)


def grey(run: Run, name: str) -> np.ndarray:
    """The test images of a data set, those of the labels that were held out, or, for a corruption, the run's own."""
    if name in DATA:
        if name == run.config.data.name:
            raise UserError(f"task.against={name}: the run was trained on it")
        return make(composed(run, name).source, f"task.against={name}").test.images
    if name in CORRUPTIONS:
        return run.data.source.test.images
    if not run.excluded_labels:
        raise UserError("task.against=held_out: this run was trained on all labels; train one with data.exclude_labels")
    images, labels = run.complete.test
    return images[np.isin(labels, run.excluded_labels)]


def automatic(run: Run) -> list[str]:
    """The class that was held out; else flips, noise, and the other one of MNIST and Fashion-MNIST if its files are
    there: nothing is downloaded unasked."""
    if run.excluded_labels:
        return ["held_out"]
    name = OTHER.get(run.config.data.name)
    raw = name and Path(composed(run, name).root).expanduser() / DATA[name] / "raw"
    there = raw and all((raw / file).exists() or (raw / f"{file}.gz").exists() for file in sources.SHAPES)
    return ["flip_vertical", "flip_horizontal", "noise", *([name] if there else [])]


def composed(run: Run, name: str) -> DictConfig:
    """The node `data` of conf/data/NAME.yaml, with the run's root where both have one."""
    node = OmegaConf.create({"data": OmegaConf.load(Path(CONF) / "data" / f"{name}.yaml")}).data
    if "root" in node and "root" in run.config.data:
        node.root = run.config.data.root
    return node
