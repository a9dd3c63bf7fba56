"""Ends a trial of a search that is worse than others."""

from lightning.pytorch import Callback, Trainer

from src.support.errors import UserError
from src.sweeps import study
from src.training.module import VAEModule


class Prune(Callback):
    """Reports `metric` to the trial of src.search that is being trained, and ends the trial if the pruner says so.

    The metric is reported after each epoch. A run that is no trial, or is resumed by hand, is not affected.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric

    def on_validation_end(self, trainer: Trainer, module: VAEModule) -> None:
        trial = study.current.get()
        if trial is None:
            return
        if self.metric not in module.numbers:
            measured = ", ".join(sorted(name for name in module.numbers if name.startswith("val/")))
            raise UserError(f"metric={self.metric} is not measured here: {measured}")
        if trainer.sanity_checking:
            return
        epoch, value = trainer.current_epoch + 1, module.numbers[self.metric]
        study.report(trial, epoch, value)
        if epoch < trainer.max_epochs and trial.should_prune():
            raise study.PrunedError(f"pruned after epoch {epoch}: {self.metric} {value:.2f}")
