"""The end of a training before its last epoch, because nothing improves any more."""

import logging
import math
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from src.support.errors import UserError
from src.training.module import VAEModule
from src.training.schedules import settling_epoch

log = logging.getLogger(__name__)


class Patience(EarlyStopping):
    """Ends a training whose validation loss has not been below its lowest value for `patience` epochs.

    Epochs count from the end of the schedule, since the loss may rise while beta or the capacity does, and the training
    does not end before `min_epochs`. Lightning's own knows nothing of schedules, and after a resume it has its old
    patience. The state is in every checkpoint, so that a resumed run ends where an undisturbed one does.
    """

    def __init__(self, patience: int, min_epochs: int | None) -> None:
        super().__init__("val/loss", patience=patience)
        self.min_epochs = min_epochs or 0
        self.lowest, self.lowest_epoch, self.epoch, self.start = math.inf, 0, 0, 0

    def state_dict(self) -> dict[str, Any]:
        return {"lowest": self.lowest, "lowest_epoch": self.lowest_epoch, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.lowest, self.lowest_epoch, self.epoch = (state_dict[k] for k in ("lowest", "lowest_epoch", "epoch"))
        self.judge()

    def on_train_start(self, trainer: Trainer, module: VAEModule) -> None:
        epochs = trainer.max_epochs or 0
        steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        self.start = settling_epoch(module.schedule, epochs, steps)
        if self.start >= epochs:
            raise UserError(
                f"trainer.patience={self.patience} would never end this run, whose schedule goes on until its last "
                f"epoch, {epochs}: give a shorter schedule.length, or trainer.patience=null"
            )
        if self.start:
            log.info("trainer.patience=%d counts from epoch %d, where the schedule ends", self.patience, self.start)

    def on_train_epoch_end(self, trainer: Trainer, module: VAEModule) -> None:
        epoch, loss = trainer.current_epoch + 1, float(module.numbers["val/loss"])
        if epoch < self.start:
            return
        self.epoch = epoch
        if loss < self.lowest:
            self.lowest, self.lowest_epoch = loss, epoch
        self.judge()
        # all processes have measured all images, but perhaps on different hardware
        is_over = self.stopping_reason == EarlyStoppingReason.PATIENCE_EXHAUSTED
        if trainer.strategy.reduce_boolean_decision(is_over, all=False):
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, module: VAEModule) -> None:
        if reason := early_end(trainer):
            log.info("%s", reason)

    def judge(self) -> None:
        """Set `stopping_reason`, and the message of it, by the epochs so far."""
        if self.epoch - self.lowest_epoch >= self.patience and self.epoch >= self.min_epochs:
            self.stopping_reason = EarlyStoppingReason.PATIENCE_EXHAUSTED
            self.stopping_reason_message = (
                f"stopped after epoch {self.epoch}: no lower validation loss since epoch {self.lowest_epoch} "
                f"({self.lowest:.2f})"
            )


def early_end(trainer: Trainer) -> str | None:
    """Why a training has ended before its last epoch, by Patience or by an EarlyStopping of the user's; None where
    neither has ended it."""
    progress: Any = trainer.fit_loop.epoch_progress.current
    if progress.processed == trainer.max_epochs:
        return None
    ended = [
        each for each in trainer.early_stopping_callbacks if each.stopping_reason != EarlyStoppingReason.NOT_STOPPED
    ]
    return (ended[0].stopping_reason_message or "stopped by its EarlyStopping") if ended else None
