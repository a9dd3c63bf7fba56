"""From a configuration to objects and back: the only place that calls Hydra's instantiate."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from src import checkpoints, identity, record
from src.config import check_beta, choice
from src.data import DRAWS, EVALUATION_BATCH, EvaluationBatches, ImageData, pixels, prepared
from src.errors import UserError
from src.labels import excluding, numbers_of
from src.module import VAEModule
from src.objectives import Terms
from src.schedules import Constant
from src.sources import Images, Split
from src.sweeps import Job
from src.vae import VAE


def make(node: DictConfig, name: str, /, **arguments: Any) -> Any:
    """The object that a node of the configuration names; `arguments` are handed over as they are.

    Raises UserError with the option's name where the object refuses what it is given.
    """
    try:
        # Hydra would build every `_target_` inside of `arguments` too
        if arguments:
            return instantiate(node, _partial_=True, _convert_="all")(**arguments)
        return instantiate(node, _convert_="all")
    except UserError:
        raise
    except (InstantiationException, MisconfigurationException, TypeError, ValueError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, UserError):
            raise cause from None
        raise UserError(f"{name}: {str(cause).splitlines()[0]}") from error


def vae(cfg: DictConfig) -> VAE:
    """The untrained VAE of a configuration."""
    parts = {name: make(cfg[name], name) for name in ("posterior", "prior", "likelihood")}
    networks = {name: make(cfg.model[name], f"model.{name}") for name in ("encoder", "decoder")}
    try:
        return VAE(list(cfg.data.shape), cfg.latent_dim, **networks, **parts)
    except (TypeError, ValueError) as error:
        raise UserError(f"model: {error}") from error


def source(cfg: DictConfig) -> Images:
    """All images of a configuration, those of the labels it excludes too."""
    images: Images = make(cfg.data.source, "data")
    return images._replace(fingerprint=identity.fingerprint(images))


def data(cfg: DictConfig, vae: VAE, images: Images | None = None, by_place: bool = False) -> ImageData:
    """The images of a configuration, prepared as the VAE's likelihood needs. Raises UserError if they do not fit.

    images: those of `source`, if they have been read; by_place: see src/labels.py
    """
    kind = pixels(cfg.data.binarize, vae)
    images = images or source(cfg)
    shape = images.train.images.shape[1:]
    if tuple(cfg.data.shape) != shape:
        raise UserError(f"data.shape={list(cfg.data.shape)}, but the images of {images.name} are {list(shape)}")
    try:
        return ImageData(excluding(images, cfg.data.exclude_labels, by_place), kind, cfg.data.batch_size, cfg.seed)
    except (TypeError, ValueError) as error:
        raise UserError(f"data: {error}") from error


def module(cfg: DictConfig, overrides: list[str]) -> VAEModule:
    """The VAE of a configuration with its objective, ready to train. Raises UserError if they do not go together."""
    check_beta(cfg)
    torch.manual_seed(cfg.seed)
    model, objective, schedule = vae(cfg), make(cfg.objective, "objective"), make(cfg.schedule, "schedule")
    try_out(model, objective, [1 if cfg.data.batch_size == 1 else 2, *cfg.data.shape])
    if not any(objective.scheduled.values()) and not isinstance(schedule, Constant):
        names = f"schedule={choice(type(schedule).__name__)}: objective={choice(type(objective).__name__)}"
        raise UserError(f"{names} has nothing that a schedule could multiply; use schedule=constant")
    return VAEModule(
        model,
        objective,
        schedule,
        make(cfg.lr_schedule, "lr_schedule"),
        make(cfg.optimizer, "optimizer"),
        cfg.seed,
        plain(cfg),
        overrides,
    )


def try_out(vae: VAE, objective: Callable[..., Terms], shape: list[int]) -> None:
    """Evaluates the objective on blank images of a shape (B, C, H, W). Raises UserError, naming the parts, where one
    lacks what another needs: before anything is trained, and in the words of the part that needs it."""
    training = vae.training
    try:
        with torch.no_grad():
            objective(vae.eval(), torch.zeros(shape), torch.randn(objective.samples, shape[0], vae.latent_dim), 1.0)
    except (TypeError, ValueError) as error:
        parts = {"objective": objective, "posterior": vae.posterior, "prior": vae.prior_head}
        names = " ".join(f"{group}={choice(type(part).__name__)}" for group, part in parts.items())
        raise UserError(f"{names}: {error}") from error
    finally:
        vae.train(training)


def try_few(module: VAEModule, data: ImageData) -> None:
    """Raises UserError where the objective needs more images than a part of the data has."""
    parts = {"training": data.source.train, "validation": data.val, "test": data.test}
    if few := [name for name, split in parts.items() if len(split.images) == 1]:
        try:
            try_out(module.vae, module.objective, [1, *data.source.train.images.shape[1:]])
        except UserError as error:
            raise UserError(f"{error}, but there is one {few[0]} image: give more images") from None


def plain(cfg: DictConfig) -> dict:
    """The resolved configuration as a plain dict. Raises UserError where an option is missing."""
    try:
        return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise UserError(f"{error.full_key} must be given: {error.full_key}=...") from None
    except OmegaConfBaseException as error:
        raise UserError(str(error).splitlines()[0]) from None


def loggers(cfg: DictConfig, run: Path, job: Job | None, resumed_at: int = 0) -> list[Logger]:
    """metrics.csv and the loggers of the configuration; a resumed run keeps its rows up to the step `resumed_at`.

    A sweep's job goes by the options in which it differs from others, and has them in a column each.
    """
    rows = [row | {"step": int(row["step"])} for row in record.epochs(run) if row["step"] <= resumed_at]
    table = CSVLogger(run, name="", version="", flush_logs_every_n_steps=1)
    table.experiment.metrics = rows  # Lightning deletes an old file when it opens a new one
    table.save()
    others = {} if cfg.logger is None else cfg.logger
    name = None if (run / ".wandb_id").is_file() else cfg.title
    given: dict[str, Any] = {"name": name, "group": None, "options": plain(cfg), "resume_from": run / ".wandb_id"}
    if job:
        words = dict(word.lstrip("+").split("=", 1) for word in job.options if "=" in word)
        values = {name: OmegaConf.select(cfg, name) for name in words}
        knobs = {
            name: words[name] if value is None or OmegaConf.is_config(value) else value
            for name, value in values.items()
        }
        given |= {"name": " ".join(job.options) or cfg.title, "group": job.sweep}
        given["options"]["sweep"] = knobs
    return [table, *(make(node, f"logger.{key}", **given) for key, node in others.items())]


def trainer(cfg: DictConfig, run: Path, loggers: list[Logger]) -> Trainer:
    """Lightning's trainer with the callbacks of the configuration and checkpoints/{best,last}.ckpt."""
    options = cfg.trainer
    if not isinstance(options.max_epochs, int) or options.max_epochs < 1:
        raise UserError(f"trainer.max_epochs must be a whole number, 1 or more, got {options.max_epochs}")
    if options.precision in ("bf16-true", "16-true"):
        raise UserError(f"trainer.precision={options.precision}: use {options.precision[:-4]}mixed")
    if not torch.cuda.is_available():
        # Lightning sets it; the optimizer then looks for NVIDIA's library at each step, in vain
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    folder = run / "checkpoints"
    # the best first: the last then holds what is known of it
    keepers = [checkpoints.EveryEpoch(folder, "best", monitor="val/loss"), checkpoints.EveryEpoch(folder, "last")]
    if options.ema is not None:
        if not isinstance(options.ema, float) or not 0 < options.ema < 1:
            raise UserError(f"trainer.ema must be a number above 0 and below 1, got {options.ema}")
        keepers.insert(0, checkpoints.Average(options.ema))
    options = {name: value for name, value in options.items() if name != "ema"}
    watchers: list[Callback] = [make(node, f"callbacks.{k}") for k, node in (cfg.callbacks or {}).items()]
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


@dataclass
class Run:
    """A trained run: its folder, the configuration it was trained with, its VAE in evaluation mode.

    seed: of what is drawn when it is used; by the run's own, numbers of the evaluation in training come out again
    epoch: of the checkpoint, how many it had been trained
    known: what it has kept of its images (src/identity.py); None for runs made before there was such a thing
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
        return Split(prepared(images, self.data.pixels, DRAWS["train"]), labels)

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
    path = Path(folder) / "checkpoints" / f"{which}.ckpt"
    state = checkpoints.read(path)
    cfg = OmegaConf.create(state["run"]["config"])
    for name, value in (where or {}).items():
        if value is not None and name in cfg.data:
            cfg.data[name] = cfg.data.source[name] = value
    trained = vae(cfg)
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
