"""Figures of a training, drawn while it runs, and its animations at the end."""

import logging
import time
from pathlib import Path

from lightning.pytorch import Callback, Trainer

from src.run.guard import log_figures
from src.run.trace import Trace
from src.support.folders import RunFolder
from src.support.ranges import Share, check_arguments
from src.training.module import VAEModule

log = logging.getLogger(__name__)


@check_arguments
class Pictures(Callback):
    """Draws the recorder's trace into figures/, and sends the figures to W&B.

    During training, the latest figures are redrawn at intervals that keep drawing below `share` of the run time; after
    it, all figures and animations are drawn. A failure, or Ctrl-C at the end, costs figures and never the run.
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
        """Draw with a function of src.figures, named by `how`, and log the figures."""
        if not trainer.is_global_zero:
            return
        from src import figures  # here, because matplotlib and openTSNE take seconds to import

        run, start = RunFolder(Path(trainer.default_root_dir)), time.perf_counter()
        try:
            paths = getattr(figures, how)(Trace.load(run.trace), run.figures)
            publish(trainer, paths)
        except KeyboardInterrupt:
            if how == "draw_latest":
                raise
            log.warning("drawing interrupted; python -m src.figures %s draws the rest", trainer.default_root_dir)
        except Exception:
            log.exception("drawing failed, the training goes on; python -m src.figures %s", trainer.default_root_dir)
        self.spent += time.perf_counter() - start


def publish(trainer: Trainer, paths: list[Path]) -> None:
    """Send figures to those of the run's loggers that take figures."""
    log_figures(trainer.loggers, paths, float(trainer.callback_metrics.get("images_seen", 0)))
