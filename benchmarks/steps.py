"""What Lightning, data module and distribution objects cost a training step, free of the machine's moods.

After each step of `lean` (benchmarks.sides) one of the bare loop is taken in the same process, so that whatever slows
the machine slows both; speeds of separate processes differ by a fifth from one to the next. MNIST, on the CPU.
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.configuration import MODELS, composed
from benchmarks.sides import bare_steps, lean
from src.errors import UserError
from src.train import quieten

WARMUP = 50  # steps that are not counted
BLOCK = 50  # steps whose median is one measurement


class Alternating:
    """Takes a step of `other` after each step it is told of, and keeps the seconds of both."""

    def __init__(self, other: Iterator, steps: int):
        self.other, self.steps, self.seconds, self.resumed = other, steps + WARMUP, [], None

    def lap(self, images: int) -> bool:
        """Ends a step; whether it was the last one needed."""
        ended = time.perf_counter()
        next(self.other)
        now = time.perf_counter()
        if self.resumed is not None:
            self.seconds.append((ended - self.resumed, now - ended))
        self.resumed = time.perf_counter()
        return len(self.seconds) >= self.steps

    def blocks(self) -> np.ndarray:
        """Medians of blocks of steps, (blocks, 2), in seconds."""
        counted = np.array(self.seconds[WARMUP:])
        whole = len(counted) // BLOCK * BLOCK
        return np.median(counted[:whole].reshape(-1, BLOCK, 2), 1)


def compared(model: str, batch: int, steps: int) -> np.ndarray:
    """Seconds of a step of `lean` and of the bare loop, (blocks, 2)."""
    cfg = composed(*MODELS[model], f"data.batch_size={batch}", "trainer.max_epochs=1000")
    watch = Alternating(bare_steps(cfg), steps)
    with TemporaryDirectory() as folder:
        lean(cfg, Path(folder), watch)
    return watch.blocks()


def main() -> None:
    """Prints milliseconds a step and the ratio of the speeds, median and quartiles over the blocks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS), help="default: both")
    parser.add_argument("--batch", type=int, default=128, help="images a step; default: %(default)s")
    parser.add_argument("--steps", type=int, default=500, help="of each; default: %(default)s")
    args = parser.parse_args()
    if args.steps < BLOCK or args.batch < 1:
        parser.error(f"--steps must be at least {BLOCK}, --batch at least 1")
    torch.set_num_threads(1)
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)  # of Lightning, and slow: see build.trainer
    quieten()
    print(f"one thread, batch {args.batch}, {args.steps} steps of each, alternating")
    for model in args.model:
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
            blocks = compared(model, args.batch, args.steps)
        ours, bare = 1000 * np.median(blocks, 0)
        low, middle, high = np.percentile(blocks[:, 1] / blocks[:, 0], (25, 50, 75))
        print(f"{model}: {ours:.2f} ms, bare {bare:.2f} ms: {middle:.2f} [{low:.2f}-{high:.2f}] of its speed")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
