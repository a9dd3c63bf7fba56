"""The progress bar."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm


class Progress(TQDMProgressBar):
    """One bar for each epoch, with the last validation ELBO. Validation has no bar: it is so short that one would only
    flicker."""

    def init_sanity_tqdm(self) -> Tqdm:
        return Tqdm(disable=True)

    init_validation_tqdm = init_test_tqdm = init_sanity_tqdm

    def get_metrics(self, trainer: Trainer, module: LightningModule) -> dict[str, int | str | float]:
        metrics = super().get_metrics(trainer, module)
        metrics.pop("v_num", None)
        return {name: f"{value:.1f}" if isinstance(value, float) else value for name, value in metrics.items()}

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description(f"Epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")
