"""What a training step of each model costs: images a second, operations, memory, and which operators take its time.

Steps of all models are taken in turn in one process, without Lightning and with one thread, so that whatever slows the
machine slows all; operations and memory are those of a process for each model. MNIST, on the CPU.
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Iterator, Sequence

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from benchmarks import command
from benchmarks.configuration import composed
from benchmarks.sides import RSS
from benchmarks.steps import plain_steps
from src import build
from src.startup import quieten

HEAD = "likelihood=autoregressive"
USUAL = (
    "model=mlp",
    "model=conv",
    f"model=conv {HEAD} likelihood.field=2",
    f"model=conv {HEAD}",
    "model=ladder",
    "model=ladder model.decoder.levels=[2,3] prior=flow",
    f"model=ladder {HEAD} likelihood.field=2",
)
WARMUP, BLOCK = 5, 5  # steps that are not counted, and steps in a row of one model
OPERATORS = 8  # lines of a profile


def steps_of(options: str) -> Iterator[None]:
    """Training steps of the model that options of src.train describe."""
    return plain_steps(composed(*options.split(), "trainer.max_epochs=1000"))


def speeds(models: Sequence[str], rounds: int) -> list[list[float]]:
    """Seconds of a step of each model in each round, (models, rounds)."""
    steps, seconds = [steps_of(options) for options in models], [[] for _ in models]
    for each in steps:
        for _ in range(WARMUP):
            next(each)
    for _ in tqdm(range(rounds), "timing", unit="round", disable=None, leave=False):
        for each, laps in zip(steps, seconds, strict=True):
            start = time.perf_counter()
            for _ in range(BLOCK):
                next(each)
            laps.append((time.perf_counter() - start) / BLOCK)
    return seconds


def size(options: str) -> tuple[int, float, float]:
    """The parameters of a model, the MFLOP of a training step an image, and the peak of this process in MB."""
    torch.set_num_threads(1)
    cfg = composed(*options.split())
    count = sum(weight.numel() for weight in build.vae(cfg).parameters())
    steps = steps_of(options)
    for _ in range(WARMUP):
        next(steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS / 2**20
    with FlopCounterMode(display=False) as counter:
        next(steps)
    return count, counter.get_total_flops() / cfg.data.batch_size / 1e6, peak


def in_a_process(options: str) -> tuple[int, float, float]:
    """`size` in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(size, [options])


def operators(options: str) -> list[tuple[str, float]]:
    """The operators that take most of the time of a training step, with their share of it."""
    steps = steps_of(options)
    for _ in range(WARMUP):
        next(steps)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(BLOCK):
            next(steps)
    found = [(each.key, each.self_cpu_time_total) for each in profiled.key_averages()]
    total = sum(spent for _, spent in found)
    return [(name, spent / total) for name, spent in sorted(found, key=lambda pair: -pair[1])[:OPERATORS]]


def main() -> None:
    """Print the table of all models, or the profiles of their steps."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("models", nargs="*", default=USUAL, metavar="'model=... ...'", help=f"default: {len(USUAL)}")
    parser.add_argument("--rounds", type=int, default=20, help=f"of {BLOCK} steps of each; default: %(default)s")
    parser.add_argument("--profile", action="store_true", help="print which operators take the time of a step, instead")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    torch.set_num_threads(1)
    quieten()
    if args.profile:
        for options in args.models:
            print(f"{options}\n" + "\n".join(f"  {share:6.1%}  {name}" for name, share in operators(options)))
        return
    # first, since a new process begins with the peak of memory of the one that starts it
    sizes = [in_a_process(options) for options in tqdm(args.models, "sizes", disable=None, leave=False)]
    seconds = speeds(args.models, args.rounds)
    print("| options | parameters | MFLOP an image | images/s | speed of the first | peak MB |\n" + 6 * "|---" + "|")
    for options, laps, (count, mflop, peak) in zip(args.models, seconds, sizes, strict=True):
        speed = composed(*options.split()).data.batch_size / statistics.median(laps)
        ratio = statistics.median(first / own for first, own in zip(seconds[0], laps, strict=True))
        print(f"| `{options}` | {count:,} | {mflop:.1f} | {speed:,.0f} | {ratio:.2f} | {peak:,.0f} |")


if __name__ == "__main__":
    command.run(main)
