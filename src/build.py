"""From a configuration to objects and back: the only place that calls Hydra's instantiate."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar, Timer
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from torch import nn

from src.config import classes as own
from src.config.options import check_beta, choice, plain
from src.data.batches import EVALUATION_BATCH, EvaluationBatches
from src.data.labels import excluding, numbers_of
from src.data.module import ImageData
from src.data.pixels import SEEDS, prepare, required_pixels
from src.data.sources import Images, Split
from src.models.vae import VAE
from src.run import identity
from src.support.errors import UserError
from src.support.folders import RunFolder
from src.training import checkpoints
from src.training.module import VAEModule
from src.training.schedules import Constant
from src.training.trial import try_networks, try_out, try_schedules


def make(node: DictConfig, name: str, /, **arguments: Any) -> Any:
    """The object that a node of the configuration names; `arguments` are handed over as they are.

    Raises UserError with the option's name where the object refuses what it is given, or is of the wrong kind.
    """
    target = node.get("_target_")
    if target is not None:
        own.locate(target, name)
    try:
        # Hydra would build every `_target_` inside of `arguments` too
        if arguments:
            made = instantiate(node, _partial_=True, _convert_="all")(**arguments)
        else:
            made = instantiate(node, _convert_="all")
    except UserError:
        raise
    except Exception as error:
        cause = error.__cause__ or error
        if isinstance(cause, UserError):
            raise cause from None
        raise UserError(f"{name}: {own.explain(cause)}") from error
    kind = KINDS.get(name.partition(".")[0])
    if kind and not isinstance(made, kind):
        raise UserError(f"{name}: {target} makes a {type(made).__name__}, and must make a {kind.__name__}")
    return made


KINDS = {
    "posterior": nn.Module,
    "prior": nn.Module,
    "likelihood": nn.Module,
    "objective": Callable,
    "schedule": Callable,
    "lr_schedule": Callable,
    "optimizer": Callable,
    "callbacks": Callback,
    "logger": Logger,
}


def vae(cfg: DictConfig, trained: bool = False) -> VAE:
    """The VAE of a configuration, untrained; with `trained` the configuration is that of a run, and judged no more."""
    parts = {
        name: make(own.named_options(cfg, name, trained=trained), name) for name in ("posterior", "prior", "likelihood")
    }
    networks = {}
    for name in ("encoder", "decoder"):
        option = f"model.{name}"
        network = make(own.named_options(cfg, option, positional=2, trained=trained), option)
        networks[name] = partial(make_network, network, option)
    try:
        return VAE(list(cfg.data.shape), cfg.latent_dim, **networks, **parts)
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"model: {own.explain(error)}") from error


def make_network(network: Callable[..., nn.Module], option: str, *arguments: Any) -> nn.Module:
    """The network that is made with (shape, out_features) or (in_features, shape). Raises UserError if it is none."""
    made = own.call(network, option, *arguments)
    if not isinstance(made, nn.Module):
        raise UserError(f"{option}: makes a {type(made).__name__}, and must make a torch.nn.Module")
    return made


def source(cfg: DictConfig) -> Images:
    """All images of a configuration, those of the labels it excludes too."""
    images: Images = make(cfg.data.source, "data")
    return images._replace(fingerprint=identity.fingerprint(images))


def data(cfg: DictConfig, vae: VAE, images: Images | None = None, by_place: bool = False) -> ImageData:
    """The images of a configuration, prepared as the VAE's likelihood needs. Raises UserError if they do not fit.

    images: those of `source`, if they have been read; by_place: see src/data/labels.py
    """
    pixels = required_pixels(vae.likelihood, cfg.data.binarize)
    images = images or source(cfg)
    shape = images.train.images.shape[1:]
    if tuple(cfg.data.shape) != shape:
        raise UserError(f"data.shape={list(cfg.data.shape)}, but the images of {images.name} are {list(shape)}")
    try:
        return ImageData(excluding(images, cfg.data.exclude_labels, by_place), pixels, cfg.data.batch_size, cfg.seed)
    except (TypeError, ValueError) as error:
        raise UserError(f"data: {error}") from error


def module(cfg: DictConfig, overrides: list[str]) -> VAEModule:
    """The VAE of a configuration with its objective, ready to train. Raises UserError if they do not go together."""
    check_beta(cfg)
    torch.manual_seed(cfg.seed)
    model, shape = vae(cfg), [1 if cfg.data.batch_size == 1 else 2, *cfg.data.shape]
    try_networks(model, shape)
    groups = ("objective", "schedule", "lr_schedule", "optimizer")
    objective, schedule, lr_schedule, optimizer = (make(own.named_options(cfg, name), name) for name in groups)
    try_out(model, objective, shape)
    try_schedules(schedule, lr_schedule)
    if not any(objective.scheduled.values()) and not isinstance(schedule, Constant):
        names = f"schedule={choice(type(schedule).__name__)}: objective={choice(type(objective).__name__)}"
        raise UserError(f"{names} has nothing that a schedule could multiply; use schedule=constant")
    return VAEModule(
        model,
        objective,
        schedule,
        lr_schedule,
        own.guard(optimizer, "optimizer"),
        cfg.seed,
        plain(cfg),
        overrides,
        OmegaConf.to_container(cfg) | {"ckpt_path": None},
    )


def trainer(cfg: DictConfig, run: Path, loggers: list[Logger]) -> Trainer:
    """Lightning's trainer with the callbacks of the configuration and checkpoints/{best,last}.ckpt."""
    if not torch.cuda.is_available():
        # Lightning sets it; the optimizer then looks for NVIDIA's library at each step, in vain
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    folder = RunFolder(run).checkpoints
    # the best first: the last then holds what is known of it
    keepers = [checkpoints.EveryEpoch(folder, "best", monitor="val/loss"), checkpoints.EveryEpoch(folder, "last")]
    if (decay := cfg.trainer.get("ema")) is not None:
        keepers.insert(0, checkpoints.Average(decay))
    if (limit := cfg.trainer.get("max_time")) is not None:
        # Lightning's own timer would end the training within an epoch, whose numbers are not measured then
        limit = OmegaConf.to_container(limit) if OmegaConf.is_config(limit) else limit
        keepers.insert(0, Timer(limit, interval="epoch"))
    options = {name: value for name, value in cfg.trainer.items() if name not in ("ema", "max_time")}
    nodes = {name: node for name, node in (cfg.callbacks or {}).items() if node is not None}
    watchers = [make(node, f"callbacks.{name}") for name, node in nodes.items()]
    try:
        return make(
            options,
            "trainer",
            default_root_dir=str(run),
            callbacks=[*watchers, *keepers],
            logger=loggers,
            plugins=[checkpoints.WholeOrNothing()],
            num_sanity_val_steps=0 if cfg.ckpt_path else -1,  # the untrained model is measured too
            enable_progress_bar=any(isinstance(watcher, ProgressBar) for watcher in watchers),
        )
    except (ImportError, RuntimeError) as error:  # of a machine that lacks what an accelerator needs
        raise UserError(f"trainer: {str(error).splitlines()[0]}") from error


@dataclass
class Run:
    """A trained run: its folder, the configuration it was trained with, its VAE in evaluation mode.

    seed: of what is drawn when it is used; by the run's own, numbers of the evaluation in training come out again
    epoch: of the checkpoint, how many it had been trained
    known: what it has kept of its images (src/run/identity.py); None for runs made before there was such a thing
    """

    folder: Path
    config: DictConfig
    vae: VAE
    seed: int
    epoch: int
    known: dict[str, Any] | None = None

    @cached_property
    def complete(self) -> Images:
        """Its data set, the excluded labels too. Raises UserError where it is not what the run was trained on."""
        images = source(self.config)
        identity.check(self.known, images, str(self.folder))
        return images

    @cached_property
    def data(self) -> ImageData:
        """The images it was trained on, prepared as then; read when they are first asked for."""
        return data(self.config, self.vae, self.complete, by_place=self.known is None)

    @property
    def excluded(self) -> list[int]:
        """The labels of `complete` that it was trained without."""
        return numbers_of(self.complete, self.config.data.exclude_labels, by_place=self.known is None)

    @cached_property
    def train(self) -> Split:
        """The training images, prepared like those of the validation: drawn once."""
        images, labels = self.data.source.train
        return Split(prepare(images, self.data.pixels, SEEDS["train"]), labels)

    def batches(self, split: Split, size: int = EVALUATION_BATCH) -> EvaluationBatches:
        """Images prepared for the VAE (`run.train`, `run.data.val`, `run.data.test`) in batches, on its device."""
        return EvaluationBatches(*(torch.from_numpy(array).to(self.device) for array in split), size)

    def codes(self, split: Split) -> np.ndarray:
        """The posterior means (N, D) of such images."""
        return torch.cat([self.vae.embed(batch.x) for batch in self.batches(split)]).cpu().numpy()

    @property
    def device(self) -> torch.device:
        """Where the VAE lies."""
        return next(self.vae.parameters()).device


def load(run: Path | str, which: str = "best") -> VAE:
    """The trained VAE of a run's folder, in evaluation mode: `which` of its checkpoints, `best` or `last`.

    Raises UserError where there is none, or where its weights do not fit its configuration.
    """
    return open_run(run, which).vae


def open_run(
    folder: Path | str, which: str = "best", seed: int | None = None, where: Mapping[str, str | None] | None = None
) -> Run:
    """The run in a folder, with `which` of its checkpoints; `where` (root, path) says where its images lie now.

    Raises UserError as `load` does.
    """
    path = RunFolder(Path(folder)).checkpoint(which)
    state = checkpoints.read(path)
    cfg = OmegaConf.create(state["run"]["config"])
    for name, value in (where or {}).items():
        if value is not None and name in cfg.data:
            cfg.data[name] = cfg.data.source[name] = value
    trained = vae(cfg, trained=True)
    weights = {k.removeprefix("vae."): v for k, v in state["state_dict"].items() if k.startswith("vae.")}
    try:
        trained.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"{path}: the weights do not fit the run's configuration ({str(error).splitlines()[0]})"
        ) from None
    seed = cfg.seed if seed is None else seed
    return Run(Path(folder), cfg, trained.eval(), seed, state["epoch"] + 1, state["run"].get("data"))


def task(node: DictConfig) -> Callable[[Run, Path], dict[str, Any]]:
    """The function of src/tasks that a node of the configuration names, with its options."""
    return instantiate(node, _partial_=True, _convert_="all")
