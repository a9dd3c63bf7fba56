"""A callback and a profiler by which benchmarks.wall times a run, named on the command line of src.train."""

import json
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.profilers import SimpleProfiler


class FirstStep(Callback):
    """A callback that writes the time of the end of the first training step to `path`, in seconds since 1970."""

    def __init__(self, path: str) -> None:
        self.path, self.done = Path(path), False

    def on_train_batch_end(self, *_: Any) -> None:
        if not self.done:
            self.path.write_text(str(time.time()))
            self.done = True


class Durations(SimpleProfiler):
    """Lightning's profiler, whose report is JSON: by the name of an action the seconds that each of its calls took."""

    def summary(self) -> str:
        return json.dumps(self.recorded_durations)
