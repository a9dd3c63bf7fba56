"""Draws while a training runs, and its animations at the end."""

import logging
import time
from pathlib import Path

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import WandbLogger

from src.run.trace import Trace
from src.run.tracking import media
from src.support.ranges import Share, check_arguments
from src.training.module import VAEModule

log = logging.getLogger(__name__)


@check_arguments
class Pictures(Callback):
    """Draws the recorder's trace into figures/, and hands the pictures to W&B.

    While training the latest pictures are refreshed as often as keeps drawing below `share` of the time; at the end all
    are drawn, the animations too. A failure, or Ctrl-C at the end, costs the pictures and never the run.
    """

    def __init__(self, share: Share):
        self.share = share

    def on_fit_start(self, trainer: Trainer, module: VAEModule) -> None:
        self.start, self.spent = time.perf_counter(), 0.0

    def on_train_epoch_end(self, trainer: Trainer, module: VAEModule) -> None:
        if self.spent < self.share * (time.perf_counter() - self.start) and not trainer.should_stop:
            self.draw(trainer, "draw_latest")

    def on_train_end(self, trainer: Trainer, module: VAEModule) -> None:
        self.draw(trainer, "draw_final")

    def draw(self, trainer: Trainer, how: str) -> None:
        """Draws with a function of src.figures, and logs what it drew."""
        if not trainer.is_global_zero:
            return
        from src import figures  # matplotlib and openTSNE: not before there is something to draw

        folder, begun = Path(trainer.default_root_dir) / "figures", time.perf_counter()
        try:
            paths = getattr(figures, how)(Trace.load(folder / "trace.npz"), folder)
            publish(trainer, paths)
        except KeyboardInterrupt:
            if how == "draw_latest":
                raise
            log.warning("drawing interrupted; python -m src.figures %s draws the rest", trainer.default_root_dir)
        except Exception:
            log.exception("drawing failed, the training goes on; python -m src.figures %s", trainer.default_root_dir)
        self.spent += time.perf_counter() - begun


def publish(trainer: Trainer, paths: list[Path]) -> None:
    """Logs pictures to the run's W&B, if it has one."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            pictures = {f"figures/{name}": value for name, value in media(paths).items()}
            logger.experiment.log(pictures | {"images_seen": trainer.callback_metrics.get("images_seen", 0)})
