"""Images that test images are compared with: corrupted images, a class that was held out, other data sets."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from omegaconf import DictConfig, OmegaConf

from src.build import Run
from src.config.classes import make
from src.config.options import CONF
from src.data import official
from src.data.pixels import prepare
from src.data.selection import equidistant_rows
from src.support import noise
from src.support.errors import UserError

MORE = "train with more images, or score other images by task.input=FOLDER"  # what to do where there are too few
DATA = ("mnist", "fashion_mnist", "kmnist", "mnist5k")
COUNTERPART = {"mnist": "fashion_mnist", "mnist5k": "fashion_mnist", "fashion_mnist": "mnist", "kmnist": "mnist"}


class ImageSet(NamedTuple):
    """Images (N, C, H, W): their gray levels (uint8), and prepared for the run's VAE."""

    levels: np.ndarray
    prepared: np.ndarray


def add_noise(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Replace a tenth of the pixels by gray levels drawn uniformly."""
    return np.where(random.random(images.shape) < 0.1, random.integers(0, 256, images.shape), images).astype(np.uint8)


def blur(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Smooth by a Gaussian whose standard deviation is 1/28 of the longer side."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(images, max(images.shape[2:]) / 28, axes=(2, 3))


CORRUPTIONS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "flip_vertical": lambda images, random: images[:, :, ::-1],
    "flip_horizontal": lambda images, random: images[..., ::-1],
    "rotate": lambda images, random: np.rot90(images, axes=(2, 3)),
    "invert": lambda images, random: 255 - images,
    "noise": add_noise,
    "blur": blur,
}


def make_sets(run: Run, names: str | Sequence[str], count: int) -> dict[str, ImageSet]:
    """At most `count` images of each set that `task.against` names, prepared for the run; `auto` chooses the sets.

    Raises UserError for an unknown name, and for a set of images of another shape or of fewer than two.
    """
    if isinstance(names, str):
        names = default_sets(run) if names == "auto" else [names]
    choices = ["held_out", *DATA, *CORRUPTIONS]
    if not names or not all(name in choices for name in names):
        raise UserError(f"task.against must be auto or some of [{','.join(choices)}], got {names}")
    sets = {name: prepare_set(run, name, evenly_spread(read_set(run, name), count)) for name in names}
    if few := [name for name, images in sets.items() if len(images.levels) < 2]:
        count = len(sets[few[0]].levels)
        raise UserError(f"task.against={few[0]} needs two such test images or more, and there are {count}: {MORE}")
    return sets


def evenly_spread(images: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the images, evenly spread, since the first of MNIST's test images are neater than the last."""
    return images[equidistant_rows(len(images), count)]


def prepare_set(run: Run, name: str, images: np.ndarray) -> ImageSet:
    """Corrupt gray levels (N, C, H, W) uint8 if `name` is that of a corruption, and prepare them for the run's VAE."""
    seed = noise.seed_of(run.seed, "anomaly", name) % 2**32
    if name in CORRUPTIONS:
        images = CORRUPTIONS[name](images, np.random.default_rng(seed))
    if list(images.shape[1:]) != list(run.config.data.shape):
        raise UserError(f"task.against={name}: images are {list(images.shape[1:])}, the run's {run.config.data.shape}")
    levels = np.ascontiguousarray(images)
    return ImageSet(levels, prepare(levels, run.data.pixels, seed))


def read_set(run: Run, name: str) -> np.ndarray:
    """The test images of a data set, those of the labels that were held out, or, for a corruption, the run's own."""
    if name in DATA:
        if name == run.config.data.name:
            raise UserError(f"task.against={name}: the run was trained on it")
        return make(data_config(run, name).source, f"task.against={name}").test.images
    if name in CORRUPTIONS:
        return run.data.source.test.images
    if not run.excluded_labels:
        raise UserError("task.against=held_out: this run was trained on all labels; train one with data.exclude_labels")
    images, labels = run.complete.test
    return images[np.isin(labels, run.excluded_labels)]


def default_sets(run: Run) -> list[str]:
    """The class that was held out; else flips, noise, and another data set like MNIST if its files exist.

    No data set is downloaded unless the user names it.
    """
    if run.excluded_labels:
        return ["held_out"]
    name = COUNTERPART.get(run.config.data.name)
    exists = name and official.can_read(name, data_config(run, name).root)
    return ["flip_vertical", "flip_horizontal", "noise", *([name] if exists else [])]


def data_config(run: Run, name: str) -> DictConfig:
    """The node `data` of conf/data/NAME.yaml, with the run's root where both have one."""
    node = OmegaConf.create({"data": OmegaConf.load(Path(CONF) / "data" / f"{name}.yaml")}).data
    if "root" in node and "root" in run.config.data:
        node.root = run.config.data.root
    return node
