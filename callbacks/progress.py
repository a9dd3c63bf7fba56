"""How a training is followed on the console: a line an epoch that stays, and one bar for the whole run."""

import logging
import math
import time
from typing import Any

from lightning.pytorch import Callback, Trainer
from tqdm import tqdm

from src.config.names import option_name
from src.support.console import duration, is_terminal
from src.support.ranges import Positive, check_arguments
from src.training.module import VAEModule

log = logging.getLogger(__name__)
LINES = 30  # of epochs, beside the first and the last, in a run of any length
BAR = "{percentage:3.0f}% |{bar:24}| {desc}{remaining} left"  # not to the edge, where the ^C of a Ctrl-C would break it
TERMS = {"loss": "val/loss", "ELBO": "val/elbo", "recon": "val/recon", "KL": "val/kl"}


@check_arguments
class Progress(Callback):
    """Prints a line after an epoch with what was measured on the validation images, and draws a bar of all steps of the
    run with the time that is left. A file or a pipe gets the lines alone, which then hold that time.

    refresh_rate: how often a second the bar is drawn at most
    """

    def __init__(self, refresh_rate: Positive) -> None:
        self.refresh_rate = refresh_rate
        self.bar: tqdm | None = None
        self.printed: float | None = None  # the epoch of the last line
        self.began, self.first = 0.0, 0  # when the training began, and after how many epochs

    def on_train_start(self, trainer: Trainer, module: VAEModule) -> None:
        self.began, self.first = time.perf_counter(), trainer.current_epoch
        if not (is_terminal() and trainer.is_global_zero):
            return
        steps = int(trainer.num_training_batches)
        self.bar = tqdm(
            total=steps * (trainer.max_epochs or 0),
            initial=steps * trainer.current_epoch,
            desc=description(trainer),
            bar_format=BAR,
            mininterval=1 / self.refresh_rate,
            smoothing=0,  # validation and drawing count with the steps that they follow
            dynamic_ncols=True,
            leave=False,
        )

    def on_train_epoch_start(self, trainer: Trainer, module: VAEModule) -> None:
        if self.bar is not None:
            self.bar.set_description_str(description(trainer))

    def on_train_batch_end(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.update()

    def on_validation_end(self, trainer: Trainer, module: VAEModule) -> None:
        epoch, last = int(module.numbers["epoch"]), (trainer.max_epochs or 0)
        if epoch in (0, 1, last) or epoch % stride(last) == 0:
            self.print_line(trainer, module)

    def on_train_end(self, trainer: Trainer, module: VAEModule) -> None:
        if module.numbers and module.numbers["epoch"] != self.printed:  # the training has ended early
            self.print_line(trainer, module)
        self.close()
        log.info("trained in %s; drawing and testing follow", duration(time.perf_counter() - self.began))

    def on_exception(self, *_: Any) -> None:
        self.close()

    def teardown(self, trainer: Trainer, module: VAEModule, stage: str) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def print_line(self, trainer: Trainer, module: VAEModule) -> None:
        """Print the numbers of the epoch that has just been measured, the first time below the names of the columns."""
        cells = columns(module)
        if not is_terminal():
            cells[f"{at_most(trainer)}left"] = (14, self.remaining_time(int(module.numbers["epoch"]), trainer))
        if self.printed is None:
            for line in explanation(trainer, module):
                log.info("%s", line)
            log.info("%s", "".join(name.rjust(width) for name, (width, _) in cells.items()))
        self.printed = module.numbers["epoch"]
        log.info("%s", "".join(text.rjust(width) for width, text in cells.values()).rstrip())

    def remaining_time(self, epoch: int, trainer: Trainer) -> str:
        """How long the training still takes, by what its epochs have taken; empty before and after them."""
        done, left = epoch - self.first, (trainer.max_epochs or 0) - epoch
        if done <= 0 or left <= 0 or trainer.should_stop:
            return ""
        return duration((time.perf_counter() - self.began) / done * left)


def description(trainer: Trainer) -> str:
    """The text between the bar and the time that is left."""
    return f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}, {at_most(trainer)}"


def at_most(trainer: Trainer) -> str:
    """What precedes a time that is left: the training may end earlier."""
    return "at most " if trainer.early_stopping_callbacks else ""


def columns(module: VAEModule) -> dict[str, tuple[int, str]]:
    """The width and the text of each column of a line, by the column's name."""
    numbers = module.numbers
    cells = {"epoch": (6, f"{numbers['epoch']:.0f}")}
    cells |= {name: (10, number_text(float(numbers[key]))) for name, key in TERMS.items()}
    cells["active"] = (9, f"{numbers['val/active_units']:.0f}/{module.vae.latent_dim}")
    if varies(module):
        cells |= {name: (max(8, len(name) + 2), f"{numbers[name]:.3g}") for name in module.objective.scheduled}
    return cells | {"seconds": (9, f"{numbers['seconds']:.1f}" if "seconds" in numbers else "")}


def number_text(value: float) -> str:
    """A number of nats with two decimals, or fewer where it is too large for its column."""
    return f"{value:.{1 if abs(value) >= 1e5 else 2}f}" if abs(value) < 1e6 else f"{value:.2e}"


def explanation(trainer: Trainer, module: VAEModule) -> list[str]:
    """What the lines of the epochs hold."""
    every = stride(trainer.max_epochs or 0)
    final = "".join(f", {name}={value:g}" for name, value in module.objective.scheduled.items())
    lines = "each epoch" if every == 1 else f"every {every} epochs"
    given = "" if module.vae.condition is None else ", of p(x|y): given their labels"
    return [
        f"a line for {lines}: validation images, nats per image{given}",
        f"loss: objective={option_name(type(module.objective).__name__)}{final}; ELBO = -(recon + KL)",
    ]


def stride(epochs: int) -> int:
    """From one line to the next, the number of epochs: 1, 2, 5, 10, 20, ..., so that a run has LINES lines at most."""
    least = epochs / LINES
    if least <= 1:
        return 1
    unit = 10 ** math.floor(math.log10(least))
    return next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= least)


def varies(module: VAEModule) -> bool:
    """Whether something is scheduled that has not its final value from the start."""
    return bool(module.objective.scheduled) and module.schedule(0.0, 0) != module.schedule(math.inf, math.inf)
