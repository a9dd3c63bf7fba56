"""The cost of Lightning, data module and distribution objects per training step, whatever the machine's load.

After each step of `lean` (benchmarks.sides) one of ours without Lightning is taken in the same process and one of the
bare loop, so that whatever slows the machine slows all; speeds of separate processes differ by a fifth from one to the
next. MNIST, on the CPU.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from omegaconf import DictConfig

from benchmarks import command
from benchmarks.configuration import MODELS, composed
from benchmarks.sides import bare_steps, lean
from src import build
from src.data.batches import TrainingBatches
from src.startup import quieten

WARMUP = 50  # steps that are not counted
BLOCK = 50  # steps whose median is one measurement


class Alternating:
    """A stopwatch that takes a step of each of `others` after each lap, and records the seconds of all."""

    def __init__(self, others: Sequence[Iterator], steps: int) -> None:
        self.others, self.steps, self.seconds, self.resumed = others, steps + WARMUP, [], None

    def lap(self, images: int) -> bool:
        """Record the end of a step, and return whether it was the last one needed."""
        times = [self.resumed, time.perf_counter()]
        for other in self.others:
            next(other)
            times.append(time.perf_counter())
        if self.resumed is not None:
            self.seconds.append(np.diff(times))
        self.resumed = time.perf_counter()
        return len(self.seconds) >= self.steps

    def blocks(self) -> np.ndarray:
        """Medians of blocks of steps in seconds, (blocks, 1 + others)."""
        counted = np.array(self.seconds[WARMUP:])
        whole = len(counted) // BLOCK * BLOCK
        return np.median(counted[:whole].reshape(-1, BLOCK, counted.shape[1]), 1)


def plain_steps(cfg: DictConfig) -> Iterator[None]:
    """Our batches and objective in a loop without Lightning."""
    module = build.module(cfg, [])
    data, vae, optimizer = build.data(cfg, module.vae), module.vae.train(), module.configure_optimizers()
    data.trainer = argparse.Namespace(current_epoch=0)
    batches = TrainingBatches(data, *(torch.from_numpy(array) for array in data.source.train), 0, 1)
    while True:
        for batch in batches:
            optimizer.zero_grad(set_to_none=True)
            noise = torch.randn(module.objective.samples, len(batch.x), vae.latent_dim)
            module.objective(vae, batch.x, noise, 1.0).loss.mean().backward()
            optimizer.step()
            yield


def compared(model: str, batch: int, steps: int) -> np.ndarray:
    """Seconds of a step of `lean`, of the same without Lightning and of the bare loop, (blocks, 3)."""
    cfg = composed(*MODELS[model], f"data.batch_size={batch}", "trainer.max_epochs=1000")
    watch = Alternating([plain_steps(cfg), bare_steps(cfg)], steps)
    with TemporaryDirectory() as folder:
        lean(cfg, Path(folder), watch)
    return watch.blocks()


def main() -> None:
    """Print milliseconds a step and the ratio of the speeds, median and quartiles over the blocks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS), help="default: both")
    parser.add_argument("--batch", type=int, default=128, help="images a step; default: %(default)s")
    parser.add_argument("--steps", type=int, default=500, help="of each; default: %(default)s")
    args = parser.parse_args()
    if args.steps < BLOCK or args.batch < 1:
        parser.error(f"--steps must be at least {BLOCK}, --batch at least 1")
    torch.set_num_threads(1)
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)  # set by Lightning, and slow: see src/training/trainer.py
    quieten()
    print(f"one thread, batch {args.batch}, {args.steps} steps of each, alternating")
    for model in args.model:
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
            blocks = compared(model, args.batch, args.steps)
        ours, plain, bare = 1000 * np.median(blocks, 0)
        print(f"{model}: {ours:.2f} ms, without Lightning {plain:.2f} ms, bare {bare:.2f} ms")
        for name, column in (("ours", 0), ("without Lightning", 1)):
            low, middle, high = np.percentile(blocks[:, 2] / blocks[:, column], (25, 50, 75))
            print(f"  {name}: {middle:.2f} [{low:.2f}-{high:.2f}] of the bare loop's speed")


if __name__ == "__main__":
    command.run(main)
