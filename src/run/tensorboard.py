"""TensorBoard: event files in the run's folder, so that `tensorboard --logdir outputs` shows all runs."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from src.run.status import State
from src.run.stores import About, StoreLogger

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger(__name__)
METRICS = ("best/val/elbo", "best/val/recon", "best/val/kl", "best/val/active_units", "best/test/elbo")


def tensorboard_logger(about: About) -> StoreLogger:
    """A logger that writes to tensorboard/ in the run's folder; what a resumed run repeats there is marked as void."""
    store = open_store(about)
    log.info("TensorBoard: in %s", os.path.relpath(about.folder.tensorboard))
    return StoreLogger(store, about)


def open_store(about: About) -> "EventFiles":
    """The event files of a run, with its options for the page HParams."""
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    folder = about.folder.tensorboard
    is_new = not folder.is_dir()
    writer = SummaryWriter(str(folder), purge_step=int(about.last["images_seen"]) if about.last else None)
    if is_new:  # TensorBoard takes the first of several
        experiment, start, _ = hparams(about.options, dict.fromkeys(METRICS))
        writer.file_writer.add_summary(experiment)
        writer.file_writer.add_summary(start)
    return EventFiles(writer)


class EventFiles:
    """A run's event files."""

    def __init__(self, writer: "SummaryWriter") -> None:
        self.client = writer

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Add numbers, in single precision: TensorBoard's pages do not show others."""
        for name, value in numbers.items():
            self.client.add_scalar(name, value, step)

    def log_figures(self, figures: Mapping[str, Path], step: int) -> None:
        """Add figures as they are, since the page of images shows animated GIFs too."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        for name, path in figures.items():
            with Image.open(path) as image:
                width, height = image.size
            encoded = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
            self.client.file_writer.add_summary(Summary(value=[Summary.Value(tag=name, image=encoded)]), step)

    def flush(self) -> None:
        """Write what has been added."""
        self.client.flush()

    def end(self, state: State, step: int) -> None:
        """Write the state on the page Text, and of a finished run on the page HParams, which keeps its first one."""
        from torch.utils.tensorboard.summary import hparams

        self.client.add_text("state", state.value, step)
        if state == State.FINISHED:
            self.client.file_writer.add_summary(hparams({}, {})[2])
        self.close()

    def close(self) -> None:
        """Close the files, and end the thread that writes them."""
        self.client.close()
