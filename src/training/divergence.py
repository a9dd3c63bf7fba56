"""A loss that is not finite: noticed at its step, and explained in one line."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from src.config.overrides import format_option
from src.support.errors import DivergedError
from src.support.folders import RunFolder
from src.training.objectives import Terms

WINDOW = 50  # steps whose losses stay on an accelerator until they are read together: each reading waits for the device
SCALED = "16-mixed"  # the precision whose gradient scaler leaves out steps with a loss that is not finite


class Step(NamedTuple):
    """A step of an epoch, counted from 0, with the loss and its terms of each image (B,)."""

    number: int
    loss: Tensor
    recon: Tensor
    kl: Tensor


class LossWatch:
    """Notices the first step of an epoch whose loss is not finite.

    On the CPU it is noticed before its gradients change the weights. On another device it is noticed up to WINDOW steps
    later; with several processes at the validation, since all of them must end at the same place. A gradient scaler
    leaves out such a step, so that it is noticed only where all steps of an epoch are like that.
    """

    def __init__(self) -> None:
        self.recent: list[tuple[Step, Tensor]] = []
        self.first: Step | None = None
        self.good = 0

    def start(self) -> None:
        """Begin an epoch."""
        self.recent, self.first, self.good = [], None, 0

    def see(self, number: int, terms: Terms, mean: Tensor) -> bool:
        """Take note of a step and the mean of its loss; whether a step that is not finite has just been noticed."""
        if mean.is_cpu and math.isfinite(mean.item()):
            self.good += 1
            return False
        step = Step(number, terms.loss.detach(), terms.recon.detach(), terms.kl.detach())
        if mean.is_cpu:
            self.first = self.first or step
            return True
        self.recent.append((step, mean.detach()))
        return len(self.recent) == WINDOW and self.read()

    def read(self) -> bool:
        """Read the losses that are still on the device; whether one of them is not finite."""
        if not self.recent:
            return False
        finite = torch.stack([mean for _, mean in self.recent]).isfinite().tolist()
        if not all(finite):
            self.first = self.first or self.recent[finite.index(False)][0]
        self.good += sum(finite)
        self.recent = []
        return not all(finite)


def has_finite_weights(module: nn.Module) -> bool:
    """Whether no weight is infinite or NaN."""
    return all(bool(weight.isfinite().all()) for weight in module.parameters())


def error_in_training(trainer: Trainer, module: nn.Module, step: Step, x: Tensor | None = None) -> DivergedError:
    """The error of a step whose loss is not finite.

    x: its images, where the weights are still those with which the step was computed
    """
    place = f"in epoch {trainer.current_epoch + 1}, step {step.number + 1} of {trainer.num_training_batches}"
    terms = {"loss": step.loss, "recon": step.recon, "kl": step.kl}
    if x is not None and not bool(x.isfinite().all()):
        return error(trainer, place, "the training images are not finite numbers", ["the images of the data set"])
    if x is not None and not has_finite_weights(module):
        cause = "the loss of the step before was finite but not its gradients, which made the weights infinite or NaN"
        return error(trainer, place, cause, remedies(trainer, terms))
    return error(trainer, place, f"the training loss is {terms_at_fault(terms)}", remedies(trainer, terms))


def error_in_validation(
    trainer: Trainer, module: nn.Module, epoch: int, terms: Mapping[str, Any], first: Step | None
) -> DivergedError:
    """The error of a validation loss, or weights, that are not finite after `epoch`.

    terms: those of each validation image; first: the first training step of the epoch whose loss was not finite
    """
    tensors = {name: torch.as_tensor(terms[name]) for name in ("loss", "recon", "kl")}
    if first is not None:
        return error_in_training(trainer, module, first)
    cause = f"the validation loss, val/loss, is {terms_at_fault(tensors)}"
    if epoch == 0:
        remedy = ["the range of the images", "the networks' first weights", *precision(trainer)]
        return error(trainer, "before its first step", cause, remedy)
    if bool(tensors["loss"].isfinite().all()):
        cause = "weights that the validation does not use are infinite or NaN"
    elif not has_finite_weights(module):
        cause += ", since the gradients of the last step made the weights infinite or NaN"
    else:
        cause += ", and all training losses were finite"
    return error(trainer, f"in epoch {epoch}, at its validation", cause, remedies(trainer, tensors))


def terms_at_fault(terms: Mapping[str, Tensor]) -> str:
    """The value of the loss, and the terms that are not finite with the number of images concerned."""
    value = float(terms["loss"].double().mean())
    faults = []
    for name in ("recon", "kl"):
        bad = ~terms[name].isfinite()
        if count := int(bad.sum()):
            faults.append(f"{name} is {float(terms[name][bad][0])} for {count} of {len(bad)} images")
    means = ", ".join(f"{name} {float(terms[name].double().mean()):.4g}" for name in ("recon", "kl"))
    return f"{value}: {' and '.join(faults)}" if faults else f"{value}, though recon and kl are finite ({means})"


def remedies(trainer: Trainer, terms: Mapping[str, Tensor]) -> list[str]:
    """What may help."""
    warm_up = ["a warm-up of the KL, schedule=linear"] if not bool(terms["kl"].isfinite().all()) else []
    return ["a smaller optimizer.lr", "trainer.gradient_clip_val=1", *warm_up, *precision(trainer)]


def precision(trainer: Trainer) -> list[str]:
    """Full precision, where the training has less."""
    return [] if str(trainer.precision) in ("32-true", "64-true") else ["trainer.precision=32-true"]


def error(trainer: Trainer, place: str, cause: str, tried: list[str]) -> DivergedError:
    """The error, with the command that goes on from the last epoch with finite weights."""
    verb = "check" if tried[0].startswith("the ") else "try"
    text = f"training diverged {place}: {cause}; {verb} {' or '.join(tried)}"
    last = RunFolder(Path(trainer.default_root_dir)).checkpoint("last")
    if last.is_file():
        rate = f"optimizer.lr={trainer.optimizers[0].defaults['lr'] / 10:.2g}"
        checkpoint = format_option("ckpt_path", os.path.relpath(last))
        text += f". To go on from the last epoch before: python -m src.train {checkpoint} {rate}"
    return DivergedError(text)
