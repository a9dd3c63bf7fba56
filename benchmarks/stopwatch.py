"""Timing of training steps, in any training loop."""

import time
from typing import Any

import lightning
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

WARMUP = 30  # steps before the clock starts: allocations, oneDNN's choice of kernels, lazy imports


class Stopwatch:
    """A timer of the training steps of a side, which calls `lap` at the end of each.

    The clock starts after WARMUP steps, or anew at `start`; `seconds`, `cpu_seconds` and `images` are its measurements.
    The second step runs under torch's FLOP counter, so that a side's work is counted and not assumed: `mflop` is that
    of one image, in matrix products and convolutions, forward and backward.
    """

    def __init__(self, enough: float) -> None:
        self.enough, self.laps, self.mflop, self.started = enough, 0, 0.0, False
        self.counter = FlopCounterMode(display=False)

    def start(self) -> None:
        """Start the clock anew."""
        self.started, self.images, self.begun, self.cpu = True, 0, time.perf_counter(), time.process_time()

    def stop(self) -> bool:
        """Read the clock, and return whether `enough` seconds have passed."""
        self.seconds = time.perf_counter() - self.begun
        if self.seconds < self.enough:
            return False
        self.cpu_seconds = time.process_time() - self.cpu  # slow on a virtual machine, so not read at each step
        return True

    def lap(self, images: int) -> bool:
        """Record the end of a step of `images` images, and return whether it was the last one needed."""
        self.laps += 1
        if self.laps == 1:
            self.counter.__enter__()
        elif self.laps == 2:
            self.counter.__exit__(None, None, None)
            self.mflop = self.counter.get_total_flops() / images / 1e6
        if self.started:
            self.images += images
            return self.stop()
        if self.laps == WARMUP:
            self.start()
        return False


class StopsAfter(lightning.Callback):
    """A callback that records the end of each step, and ends the training after enough seconds."""

    def __init__(self, watch: Stopwatch) -> None:
        self.watch = watch

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: nn.Module, outputs: Any, batch: Any, _: int
    ) -> None:
        if self.watch.lap(len(batch[0])):
            trainer.should_stop = True


class WholeEpochs(lightning.Callback):
    """A callback that times whole epochs after the first, including validation and checkpoints."""

    def __init__(self, watch: Stopwatch) -> None:
        self.watch = watch

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: nn.Module) -> None:
        if trainer.current_epoch == 1:
            self.watch.start()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: nn.Module, outputs: Any, batch: Any, _: int
    ) -> None:
        self.watch.lap(len(batch[0]))

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: nn.Module) -> None:
        if trainer.current_epoch > 0:
            trainer.should_stop = self.watch.stop()  # the checkpoints are yet to be written, so the clock runs on

    def on_train_end(self, trainer: lightning.Trainer, module: nn.Module) -> None:
        self.watch.stop()


def matmul_gflops(size: int = 1024, tries: int = 8) -> float:
    """The fastest of several square float32 products, in GFLOP/s: what this process can get from its processor now."""
    a, b = torch.randn(2, size, size)
    best = float("inf")
    for _ in range(tries):
        begun = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best / 1e9
