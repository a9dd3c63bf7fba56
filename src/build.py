"""From a configuration to the objects of a training, and from a run's folder back to its VAE."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from src.config import trust as trusting
from src.config.classes import bind, call, explain, guard, make, select_options
from src.config.memory import check_memory, check_training_memory
from src.config.names import option_name
from src.config.options import check_beta, to_plain_dict
from src.config.overrides import name_of
from src.data.batches import EVALUATION_BATCH, EvaluationBatches
from src.data.labels import exclude_labels, numbers_of
from src.data.module import ImageData
from src.data.pixels import SEEDS, prepare, required_pixels, smoothed_mean
from src.data.sources import Images, Split
from src.models.vae import VAE
from src.run import identity
from src.run.confine import confine, find_images
from src.run.epochs import Position
from src.support.errors import UserError
from src.support.folders import RunFolder
from src.training import checkpoints
from src.training.cluster import check_accelerator
from src.training.module import VAEModule
from src.training.trial import try_networks, try_objective, try_schedules, try_single_image

log = logging.getLogger(__name__)


class Training(NamedTuple):
    """A module to train, its images, and the position of the checkpoint that a resumed run continues."""

    module: VAEModule
    data: ImageData
    position: Position | None = None


def everything(cfg: DictConfig, overrides: list[str], checkpoint: dict[str, Any] | None = None) -> Training:
    """The module and the images of a configuration, which fit each other.

    checkpoint: that of the run that is resumed. Raises UserError where it does not fit the configuration or the images;
        nothing has been written then.
    """
    images = None
    check_accelerator(cfg.trainer.accelerator)
    if cfg.trainer.accelerator == "cpu" or not torch.cuda.is_available():
        check_training_memory(to_plain_dict(cfg))
    if checkpoint:
        if cfg.trainer.max_epochs <= (done := checkpoint["epoch"]):
            raise UserError(f"the run is past epoch {done + 1}: trainer.max_epochs counts from its start")
        images = source(cfg)
        overrides = overrides + identity.check_resumed(checkpoint, cfg, images)
    if cfg.trainer.accelerator == "cpu" or not torch.cuda.is_available():
        check_training_memory(to_plain_dict(cfg))
    trained = module(cfg, overrides)
    if checkpoint:
        checkpoints.check_fit(checkpoint, trained, averages=cfg.trainer.get("ema") is not None)
    prepared = data(cfg, trained.vae, images, with_test=cfg.get("test", True))
    try_single_image(trained, prepared)
    if not checkpoint:
        start_at_mean(trained.vae, prepared)
    position = Position(checkpoint["epoch"] + 1, checkpoint["global_step"]) if checkpoint else None
    return Training(trained, prepared, position)


def vae(cfg: DictConfig, trained: bool = False) -> VAE:
    """The VAE of a configuration, untrained.

    trained: the configuration is that of a trained run, and its options are not checked again
    """
    parts = {
        name: make(select_options(cfg, name, trained=trained), name, nn.Module)
        for name in ("posterior", "prior", "likelihood")
    }
    node = select_options(cfg, "condition", trained=trained) if cfg.get("condition") else None
    condition = None if node is None else make(node, "condition", nn.Module)
    networks = {}
    for name in ("encoder", "decoder"):
        option = f"model.{name}"
        network = make(select_options(cfg, option, positional=2, trained=trained), option)
        networks[name] = partial(make_network, network, option)
    try:
        start = cfg.model.get("start", "zero")
        return VAE(list(cfg.data.shape), cfg.latent_dim, **networks, **parts, start=start, condition=condition)
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"model: {explain(error)}") from error


def start_at_mean(vae: VAE, data: ImageData) -> None:
    """Start a VAE that has an offset at the mean of the training images, if its likelihood knows the raw numbers."""
    if vae.offset is None:
        return
    try:
        vae.start_at(torch.from_numpy(smoothed_mean(data.source.train.images)))
    except TypeError as error:
        log.info("note: the decoder starts at zero, as with model.start=zero: %s", error)


def make_network(network: Callable[..., nn.Module], option: str, *arguments: Any) -> nn.Module:
    """Make a network with (shape, out_features) or (in_features, shape). Raises UserError if it is not a module."""
    made = call(network, option, *arguments)
    if not isinstance(made, nn.Module):
        raise UserError(f"{option}: makes a {type(made).__name__}, and must make a torch.nn.Module")
    return made


def source(cfg: DictConfig) -> Images:
    """All images of a configuration, including those of the labels that it excludes."""
    images: Images = make(cfg.data.source, "data")
    return images._replace(fingerprint=identity.fingerprint(images))


def data(
    cfg: DictConfig, vae: VAE, images: Images | None = None, by_place: bool = False, with_test: bool = True
) -> ImageData:
    """The images of a configuration, prepared as the VAE's likelihood needs. Raises UserError if they do not fit.

    images: those of `source`, if they have been read already
    by_place: see src/data/labels.py
    with_test: whether its test images are to be measured
    """
    pixels = required_pixels(vae.likelihood, cfg.data.binarize)
    images = images or source(cfg)
    shape = images.train.images.shape[1:]
    if tuple(cfg.data.shape) != shape:
        raise UserError(f"data.shape={list(cfg.data.shape)}, but the images of {images.name} are {list(shape)}")
    images = exclude_labels(images, cfg.data.exclude_labels, by_place)
    if vae.condition is not None:
        check_labels(images, vae.condition.labels)
    try:
        return ImageData(images, pixels, cfg.data.batch_size, cfg.seed, with_test)
    except (TypeError, ValueError) as error:
        raise UserError(f"data: {error}") from error


def check_labels(images: Images, labels: Sequence[str]) -> None:
    """Raise UserError unless a conditional model has a label for each class of the images, two of which train it."""
    if len(labels) != len(images.classes):
        found = f"{images.name} has {len(images.classes)} classes"
        raise UserError(f"condition.labels are {len(labels)} names, but {found}: leave it out")
    if len(np.unique(images.train.labels)) < 2:
        raise UserError("condition=label needs training images of two classes or more: leave it out")


def module(cfg: DictConfig, overrides: list[str]) -> VAEModule:
    """The VAE of a configuration with its objective, ready to train. Raises UserError if they do not fit each other."""
    check_beta(cfg)
    torch.manual_seed(cfg.seed)
    model, shape = vae(cfg), [1 if cfg.data.batch_size == 1 else 2, *cfg.data.shape]
    try_networks(model, shape)
    groups = ("objective", "schedule", "lr_schedule", "optimizer")
    objective, schedule, lr_schedule, optimizer = (make(select_options(cfg, name), name, Callable) for name in groups)
    try_objective(model, objective, shape)
    try_schedules(schedule, lr_schedule)
    if not any(objective.scheduled.values()) and schedule(0.0, 0) != schedule(math.inf, math.inf):
        names = f"schedule={option_name(cfg.schedule._target_)}: objective={option_name(cfg.objective._target_)}"
        raise UserError(f"{names} has nothing that a schedule could multiply; use schedule=constant")
    return VAEModule(
        model,
        objective,
        schedule,
        lr_schedule,
        guard(optimizer, "optimizer"),
        cfg.seed,
        to_plain_dict(cfg),
        [each for each in overrides if name_of(each) != "trust"],
        {name: node for name, node in OmegaConf.to_container(cfg).items() if name != "trust"} | {"ckpt_path": None},
    )


@dataclass
class Run:
    """A trained run: its folder, the configuration it was trained with, its VAE in evaluation mode, its weights frozen.

    seed: for random numbers in tasks; the run's own seed reproduces the evaluation during training
    epoch: the number of epochs that the checkpoint was trained
    data_record: the fingerprint of its images (src/run/identity.py); None for runs of versions without fingerprints
    trust: the modules and classes that the user trusts besides this program's
    """

    folder: Path
    config: DictConfig
    vae: VAE
    seed: int
    epoch: int
    data_record: dict[str, Any] | None = None
    trust: Sequence[str] = ()

    @cached_property
    def complete(self) -> Images:
        """The data set, including excluded labels. Raises UserError where it has changed since the run was trained."""
        images = source(self.config)
        identity.check(self.data_record, images, str(self.folder))
        return images

    @cached_property
    def data(self) -> ImageData:
        """The images that the run was trained on, prepared in the same way; read at the first use."""
        return data(self.config, self.vae, self.complete, by_place=self.data_record is None)

    @property
    def excluded_labels(self) -> list[int]:
        """The labels of `complete` that were left out of the training."""
        return numbers_of(self.complete, self.config.data.exclude_labels, by_place=self.data_record is None)

    @cached_property
    def train(self) -> Split:
        """The training images, their pixels drawn once, as those of the validation images are."""
        images, labels = self.data.source.train
        return Split(prepare(images, self.data.pixels, SEEDS["train"]), labels)

    def batches(self, split: Split, size: int = EVALUATION_BATCH) -> EvaluationBatches:
        """Batches of a prepared split (`run.train`, `run.data.val`, `run.data.test`), on the VAE's device."""
        return EvaluationBatches(*(torch.from_numpy(array).to(self.device) for array in split), size)

    def codes(self, split: Split) -> np.ndarray:
        """The posterior means (N, D) of a prepared split."""
        return torch.cat([self.vae.given(batch.y).embed(batch.x) for batch in self.batches(split)]).cpu().numpy()

    @property
    def device(self) -> torch.device:
        """The device of the VAE."""
        return next(self.vae.parameters()).device


def load(run: Path | str, which: str = "best", trust: str | Sequence[str] = ()) -> VAE:
    """Load the trained VAE of a run's folder, in evaluation mode, its weights frozen: `requires_grad_()` frees them.

    Args:
        run: the folder.
        which: of its checkpoints, `best` or `last`.
        trust: the modules or classes, beside this program's, that the run may import, such as "mine".

    Raises UserError where the checkpoint does not exist, where its weights do not fit its configuration, or where it
    names classes that are neither this program's nor trusted.
    """
    return open_run(run, which, trust=trust).vae


def open_run(
    folder: Path | str,
    which: str = "best",
    seed: int | None = None,
    where: Mapping[str, str | None] | None = None,
    trust: str | Sequence[str] | None = (),
) -> Run:
    """Open the run in a folder; `which`, `trust` and UserError as for `load`.

    where: `root` and `path`, where the images are now if they have been moved
    """
    path = RunFolder(Path(folder)).checkpoint(which)
    state = checkpoints.read(path)
    config, trusted = state["run"]["config"], trusting.all_names(trust)
    trusting.check(config, str(folder), trusted, without=trusting.NOT_BUILT)
    check_memory(config)
    cfg = OmegaConf.create(config | {"callbacks": None})
    moved = {name: value for name, value in (where or {}).items() if value is not None and name in cfg.data}
    for name, value in moved.items():
        cfg.data[name] = cfg.data.source[name] = value
    if "path" not in moved:
        find_images(cfg, state["run"].get("data"))
    confine(cfg, [f"data.{name}" for name in moved])
    trained = vae(cfg, trained=True)
    weights = {k.removeprefix("vae."): v for k, v in state["state_dict"].items() if k.startswith("vae.")}
    if not checkpoints.has_weights_of(trained, weights):
        raise UserError(f"{path}: the weights do not fit the run's configuration")
    trained.load_state_dict(weights)
    seed = cfg.seed if seed is None else seed
    trained.eval().requires_grad_(False)
    return Run(Path(folder), cfg, trained, seed, state["epoch"] + 1, state["run"].get("data"), trusted)


def task(node: DictConfig) -> Callable[[Run, Path], dict[str, Any]]:
    """The function of src/tasks that a node of the configuration names, with its options."""
    return bind(node)
