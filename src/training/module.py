"""The LightningModule: evaluates the objective, reduces it once, logs and optimises, nothing else."""

import contextlib
import math
import time
from collections.abc import Callable, Iterable
from typing import Any, cast

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from src.data.batches import EVALUATION_BATCH, Batch, EvaluationBatches
from src.data.module import ImageData
from src.data.pixels import Pixels, as_input
from src.data.selection import evenly_spread_rows
from src.inference.metrics import active_units, bits_per_dim, code_gain, mean_image_cost, unexplained_share
from src.models.divergences import kl_per_dim
from src.models.vae import VAE
from src.run.checkpoint_file import FORMAT
from src.support import noise
from src.support.errors import UserError
from src.support.noise import Noise
from src.support.statistics import Estimate, estimate, flatten
from src.training.divergence import (
    SCALED,
    LossWatch,
    error_in_training,
    error_in_validation,
    has_finite_weights,
)
from src.training.objectives import Objective

LOGGED_OF_TRAIN = {f"train/{name}" for name in ("loss", "elbo", "elbo_se", "recon", "kl")}


class VAEModule(lightning.LightningModule):
    """Minimises the mean of `objective` over images, with beta, or what else it schedules, multiplied by `schedule` and
    the learning rate of the optimizer by `lr_schedule`.

    After each epoch `numbers` has the measurements on the validation images and on a fixed subset of the training
    images, in evaluation mode with noise that depends on (seed, image) alone, in nats per image: `{val,train}/loss`
    (the objective at the final value of the schedule), `recon`, `kl`, `elbo` = -(recon + kl) whatever beta, `elbo_se`,
    its standard error over two images or more, `val/active_units`, `val/kl_per_dim` (D,) if the KL of each dimension
    has a closed form, or `val/kl_per_level` (L,) of a hierarchy, and `val/bits_per_dim` unless the images are binary.
    `terms` has those of each image.

    config: the resolved configuration as a plain dict, stored in every checkpoint together with the `overrides` that
        produced it and the `composition`, the same with its interpolations, which a resume changes and resolves again
    """

    def __init__(
        self,
        vae: VAE,
        objective: Objective,
        schedule: Callable[[float, float], float],
        lr_schedule: Callable[[float], float],
        optimizer: Callable[[Iterable[Tensor]], Optimizer],
        seed: int = 0,
        config: dict | None = None,
        overrides: list[str] | None = None,
        composition: dict | None = None,
    ) -> None:
        super().__init__()
        self.vae, self.objective, self.optimizer, self.seed = vae, objective, optimizer, seed
        self.schedule, self.lr_schedule = schedule, lr_schedule
        self.run = {"config": config or {}, "overrides": overrides or [], "composition": composition or {}}
        self.run["version"] = FORMAT
        self.numbers: dict[str, float | np.ndarray] = {}
        self.terms: dict[str, dict[str, np.ndarray]] = {}
        self.batches: dict[str, list[dict[str, Tensor]]] = {}
        self.started, self.seconds, self.first_batch = 0.0, 0.0, 0
        self.loss_watch = LossWatch()

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning assigns the name of each hook that it calls, forty times a step. torch would first check whether it
        # is a parameter, which takes 1.0 us instead of 0.1 us: 34 us a step.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def data(self) -> ImageData:
        """The images that the trainer is given."""
        return cast(Any, self.trainer).datamodule

    def configure_optimizers(self) -> Optimizer:
        try:
            return self.optimizer(self.vae.parameters())
        except (TypeError, ValueError) as error:
            raise UserError(f"optimizer: {error}") from error

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["run"] = self.run

    def on_train_start(self) -> None:
        # a resume restores the options of the optimizer with its state, but the options configured now must apply
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group.update(optimizer.defaults)

    def on_train_epoch_start(self) -> None:
        # so that a resume at the start of an epoch has the noise and dropout of a run that was not interrupted
        torch.manual_seed(noise.seed_of(self.seed, "training noise", self.current_epoch))
        self.started, self.first_batch = time.perf_counter(), self.trainer.fit_loop.total_batch_idx
        self.loss_watch.start()

    def on_train_batch_start(self, batch: Batch, step: int) -> None:
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.lr_at(self.current_epoch + step / self.trainer.num_training_batches)

    def lr_at(self, epoch: float) -> float:
        """The learning rate after so many epochs."""
        epochs = cast(int, self.trainer.max_epochs)
        return self.trainer.optimizers[0].defaults["lr"] * self.lr_schedule(epoch / epochs)

    def training_step(self, batch: Batch, step: int) -> Tensor:
        size, rank, world = len(batch.x), self.global_rank, self.trainer.world_size
        # drawn for all processes and divided, so that their number does not change the noise of an image
        eps = torch.randn(self.objective.samples, size * world, self.vae.latent_dim, device=self.device)
        weight = self.schedule(self.current_epoch + step / self.trainer.num_training_batches, self.global_step)
        vae = self.vae.given(batch.y)
        terms = self.objective(vae, batch.x, eps[:, rank * size : (rank + 1) * size], weight)
        if terms.px is not None and terms.px.fits_batch:
            vae.likelihood.update(terms.px, batch.x)
        loss = terms.loss.mean()
        if self.loss_watch.see(step, terms, loss):
            self.end_at(step, batch.x)
        return loss

    def end_at(self, step: int, x: Tensor) -> None:
        """Raise DivergedError for a loss that is not finite, if all processes notice it at this step with images x."""
        first = self.loss_watch.first
        if first and self.trainer.world_size == 1 and self.trainer.precision != SCALED:
            raise error_in_training(self.trainer, self, first, x if first.number == step and x.is_cpu else None)

    def on_validation_start(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # kernels run asynchronously, and would be missing from the time
        self.seconds = time.perf_counter() - self.started

    def on_validation_epoch_start(self) -> None:
        self.batches = {"val": [], "train": []}

    def validation_step(self, batch: Batch, step: int, dataloader_idx: int = 0) -> None:
        self.evaluate(("val", "train")[dataloader_idx], batch)

    def on_validation_epoch_end(self) -> None:
        epoch = self.current_epoch + (not self.trainer.sanity_checking)
        self.numbers = self.numbers_of_epoch(epoch)
        if epoch:
            speed = (
                (self.trainer.fit_loop.total_batch_idx - self.first_batch) * self.data.images_per_step() / self.seconds
            )
            self.numbers |= {"seconds": self.seconds, "images_per_second": speed}
        self.publish(self.numbers)
        self.check_numbers(epoch)

    def check_numbers(self, epoch: int) -> None:
        """Raise DivergedError where the validation loss, a weight, or the loss of every step is not finite."""
        watch = self.loss_watch
        watch.read()
        is_stuck = watch.first is not None and watch.good == 0
        if not math.isfinite(self.numbers["val/loss"]) or is_stuck or not has_finite_weights(self):
            raise error_in_validation(self.trainer, self, epoch, self.terms["val"], watch.first)

    def numbers_of_epoch(self, epoch: int) -> dict[str, Any]:
        """The measurements after `epoch`, from the batches that have been evaluated."""
        trainer, total = self.trainer, self.trainer.fit_loop.total_batch_idx
        numbers: dict[str, Any] = {"epoch": epoch, "images_seen": (total + 1) * self.data.images_per_step()}
        numbers |= self.summary("val") | {k: v for k, v in self.summary("train").items() if k in LOGGED_OF_TRAIN}
        last = max(0, epoch - 1 / trainer.num_training_batches)  # when the last step of the epoch began
        weight = self.schedule(last, max(0, self.global_step - 1))
        numbers |= {name: value * weight for name, value in self.objective.scheduled.items()}
        return numbers | {"lr": self.lr_at(last)}

    @torch.no_grad()
    def measure(self, epoch: int) -> None:
        """Set `numbers` and `terms` to those after `epoch`, outside a validation of Lightning; nothing is logged."""
        self.eval()
        self.on_validation_epoch_start()
        for i, batches in enumerate(self.data.val_dataloader()):
            for step, batch in enumerate(map(self.trainer.precision_plugin.convert_input, batches)):
                self.validation_step(batch, step, i)
        self.numbers = self.numbers_of_epoch(epoch)

    def on_test_epoch_start(self) -> None:
        self.batches = {name: [] for name in self.data.measured}

    def test_step(self, batch: Batch, step: int, dataloader_idx: int = 0) -> None:
        self.evaluate(self.data.measured[dataloader_idx], batch)

    def on_test_epoch_end(self) -> None:
        test = self.summary("test") if "test" in self.data.measured else {}
        self.numbers = test | self.summary("val") | self.code_metrics()
        self.publish(test)

    def code_metrics(self) -> dict[str, float]:
        """Numbers that reveal a decoder which ignores the code: `val/code_gain` and `val/unexplained`, on some of the
        validation images, and for binary images the cost of the mean training image, `val/mean_image`."""
        data, numbers = self.data, {}
        if data.pixels == Pixels.BINARY:
            numbers["val/mean_image"] = mean_image_cost(data.source.train.images, data.val.images)
        rows = evenly_spread_rows(len(data.val.images), EVALUATION_BATCH)
        if len(rows) > 1:
            some = EvaluationBatches(*data.on_device(data.val.take(rows)))
            (batch,) = map(self.trainer.precision_plugin.convert_input, some)
            mean = as_input(data.on_device(data.train_subset)[0]).mean(0).to(batch.x)
            numbers["val/code_gain"] = float(code_gain(self.vae, batch, Noise(self.seed)).double().mean())
            if not self.vae.averages_draws:  # whose noise is an error that no code explains
                numbers["val/unexplained"] = unexplained_share(self.vae, batch, mean)
        return numbers

    def publish(self, numbers: dict[str, float | np.ndarray]) -> None:
        """Send `numbers` to the loggers, as one row in float64, and to the callbacks that monitor one of them."""
        flat = scalars(numbers)
        for name, value in flat.items():
            self.log(name, value, logger=False, prog_bar=name == "val/elbo")
        for logger in self.loggers:
            logger.log_metrics(flat, self.global_step)
            logger.save()

    def evaluate(self, split: str, batch: Batch) -> None:
        """Store the terms of each image of a batch, at the final value of the schedule and in full precision."""
        eps = Noise(self.seed).normal(batch.index, self.objective.samples, self.vae.latent_dim, like=batch.x)
        if not self.vae.likelihood.support.check(batch.x).all():
            name = self.vae.likelihood.__class__.__name__
            raise UserError(f"{split}: the likelihood {name} is no distribution over these images")
        with torch.autocast(self.device.type, enabled=False):
            vae, weight = self.vae.given(batch.y), self.schedule(math.inf, math.inf)
            terms = self.objective(vae, batch.x, eps, weight)
            rows = {"index": batch.index, "loss": terms.loss, "recon": terms.recon, "kl": terms.kl}
            rows["mean"] = terms.q.mean
            if terms.draws is not None and terms.draws.conditional is not None:
                rows["kl_per_level"] = terms.draws.kl_per_level("closed")
            with contextlib.suppress(TypeError):  # posterior or prior does not factorise
                rows["kl_per_dim"] = kl_per_dim(terms.q, terms.p)
        self.batches[split].append(rows)

    def summary(self, split: str) -> dict[str, float | np.ndarray]:
        """Means over the images of a split, in float64; fills `terms[split]`."""
        batches = self.batches.pop(split)
        columns = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
        self.terms[split] = {name: columns[name].cpu().numpy() for name in ("index", "loss", "recon", "kl")}
        means: dict[str, Any] = {name: float(columns[name].double().mean()) for name in ("loss", "recon", "kl")}
        error = estimate((columns["recon"].double() + columns["kl"].double()).cpu().numpy()).se
        means = flatten({"elbo": Estimate(-(means["recon"] + means["kl"]), error)}) | means
        means["active_units"] = active_units(columns["mean"].cpu().numpy())
        for name in ("kl_per_dim", "kl_per_level"):
            if name in columns:
                means[name] = columns[name].double().mean(0).cpu().numpy()
        data = self.data
        if data.pixels != Pixels.BINARY:
            is_density = data.pixels == Pixels.DEQUANTIZED
            means["bits_per_dim"] = bits_per_dim(-means["elbo"], data.val.images[0].size, is_density)
        return {f"{split}/{name}": value for name, value in means.items()}


def scalars(numbers: dict[str, float | np.ndarray]) -> dict[str, float]:
    """`numbers` for a logger, where a vector becomes one number for each dimension, `val/kl_per_dim/003`."""
    flat = {}
    for name, value in numbers.items():
        if isinstance(value, np.ndarray):
            flat |= {f"{name}/{i:03d}": float(v) for i, v in enumerate(value)}
        else:
            flat[name] = float(value)
    return flat
