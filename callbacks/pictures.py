"""Figures of a training, drawn while it runs, and its animations at the end."""

import logging
import time
from pathlib import Path

from lightning.pytorch import Callback, Trainer

from src.run.guard import log_figures
from src.run.trace import Trace
from src.support.errors import UserError, one_line
from src.support.folders import RunFolder
from src.support.ranges import Share, check_arguments
from src.support.signals import StopSignal, forgive
from src.training.module import VAEModule

log = logging.getLogger(__name__)


@check_arguments
class Pictures(Callback):
    """Draws the recorder's trace into figures/, and sends the figures to W&B.

    During training, the latest figures are redrawn at intervals that keep drawing below `share` of the run time; after
    it, all figures and animations are drawn. A failure, or Ctrl-C at the end, costs figures and never the run.
    """

    def __init__(self, share: Share) -> None:
        self.share = share

    def on_fit_start(self, trainer: Trainer, module: VAEModule) -> None:
        self.start, self.spent = time.perf_counter(), 0.0

    def on_train_epoch_end(self, trainer: Trainer, module: VAEModule) -> None:
        is_due = self.spent < self.share * (time.perf_counter() - self.start) and not trainer.should_stop
        if is_due and trainer.is_global_zero:
            self.draw(trainer, is_last=False)

    def on_fit_end(self, trainer: Trainer, module: VAEModule) -> None:
        # Lightning calls `on_train_end` only if there was something left to train
        if trainer.is_global_zero:
            self.draw(trainer, is_last=True)

    def draw(self, trainer: Trainer, is_last: bool) -> None:
        """Draw the figures, the last time with the animations, and log them."""
        from src import figures  # here, because matplotlib and openTSNE take seconds to import

        run, start = RunFolder(Path(trainer.default_root_dir)), time.perf_counter()
        try:
            trace = Trace.load(run.trace)
            paths = figures.draw_all(trace, run) if is_last else figures.draw_latest(trace, run.figures)
            publish(trainer, paths, int(trace.epochs["images_seen"][-1]))
        except (KeyboardInterrupt, StopSignal) as stop:
            if not is_last or not forgive(stop):
                raise
            log.warning("drawing interrupted; python -m src.figures %s draws the rest", trainer.default_root_dir)
        except (UserError, OSError) as error:
            again = f"python -m src.figures {trainer.default_root_dir}"
            log.warning("drawing failed, the training goes on: %s; %s draws the figures", one_line(error), again)
        except Exception:
            log.exception("drawing failed, the training goes on; python -m src.figures %s", trainer.default_root_dir)
        self.spent += time.perf_counter() - start


def publish(trainer: Trainer, paths: list[Path], images_seen: int) -> None:
    """Send figures to those of the run's loggers that take figures, at the place of the epoch that they show."""
    log_figures(trainer.loggers, paths, images_seen)
