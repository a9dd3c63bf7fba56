"""What each choice is worth at equal seconds of training: validation ELBO and NLL of full MNIST, beside the base.

All variants train for the same time, in as many epochs as take it: a first run of each measures an epoch. Each is the
base, `python -m src.train data=mnist model=conv`, with other options. Where the ELBO of the first seed is within half a
nat of the base's, more seeds follow. Test images are not measured, and what has been trained is not trained again.
"""

import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from benchmarks import command
from benchmarks.quality import ENV
from src.run import record, status
from src.support.errors import UserError
from src.support.folders import ResultsFolder, RunFolder

BASE = ("data=mnist", "model=conv", "test=false", "callbacks=none", "logger=csv", "trainer.accelerator=cpu")
IMAGES, SAMPLES = 500, 100  # validation images of the NLL, and its K
NEAR = 0.5  # nats
VARIANTS = {
    "base": "",
    "start at zero": "model.start=zero",
    "SiLU": "model.encoder.activation=silu",
    "one convolution a size": "model.encoder.depth=1",
    "three convolutions a size": "model.encoder.depth=3",
    "residual blocks": "model=resnet",
    "twice the channels": "model.encoder.channels=[32,64]",
    "hidden layer of 512": "model.encoder.hidden=512",
    "batches of 64, learning rate 3e-3": "data.batch_size=64 optimizer.lr=3e-3",
    "batches of 256, learning rate 6e-3": "data.batch_size=256 optimizer.lr=6e-3",
    "8 latents": "latent_dim=8",
    "32 latents": "latent_dim=32",
    "moving average of the weights, 0.99": "trainer.ema=0.99",
    "warm-up, 3 epochs": "schedule=linear schedule.length=3",
    "free bits": "objective=free_bits",
    "sticking the landing, K = 1": "objective=iwae objective.estimator=stl objective.samples=1",
    "IWAE, K = 5": "objective=iwae objective.samples=5",
    "DReG, K = 5": "objective=iwae objective.estimator=dreg objective.samples=5",
    "full covariance": "posterior=full",
    "flow posterior": "posterior=flow",
    "mixture prior": "prior=mixture",
    "VampPrior": "prior=vamp",
    "flow prior": "prior=flow",
}


class Result(NamedTuple):
    """What a run reached: epochs, seconds of training, validation ELBO and NLL, nats per image."""

    epochs: int
    seconds: float
    elbo: float
    nll: float


def train(variant: str, epochs: int, seed: int, out: Path) -> Result:
    """Train a variant, unless its run is there, and measure it; of a single epoch only the seconds are needed.

    Raises UserError with the last line of a command that fails.
    """
    options = [*BASE, *VARIANTS[variant].split(), f"trainer.max_epochs={epochs}", f"seed={seed}"]
    name = "_".join([*re.findall(r"\w+", variant), str(epochs), str(seed)])
    run = RunFolder(out / name)
    written = run.path / "options.json"
    if written.is_file() and json.loads(written.read_text())["options"] != options:
        raise UserError(f"{run.path} has other options than {variant!r} has now: give another --out")
    if status.read(run.path).get("state") != status.State.FINISHED:
        shutil.rmtree(run.path, ignore_errors=True)  # of a training that was stopped, or has diverged
        do("src.train", *options, f"hydra.run.dir='{run.path}'")
        record.write_json(written, {"options": options})
    evaluation = ResultsFolder(run.tasks / "evaluate" / "nll")
    if epochs > 1 and not evaluation.metrics.is_file():
        task = ("task=evaluate", "task.split=val", f"task.samples={SAMPLES}", f"task.nll_images={IMAGES}")
        do("src.apply", f"run='{run.path}'", *task, "task.tight_images=0", "task.sample_quality=false", "name=nll")
    trained = json.loads(run.metrics.read_text())
    nll = json.loads(evaluation.metrics.read_text())[f"nll_{SAMPLES}_all"] if epochs > 1 else math.nan
    return Result(epochs, trained["training_seconds"], trained["val/elbo"], nll)


def do(module: str, *options: str) -> None:
    """Call a command of this project silently. Raises UserError with its last line if it fails."""
    ended = subprocess.run([sys.executable, "-m", module, *options], capture_output=True, text=True, env=ENV)
    if ended.returncode:
        lines = (ended.stderr.strip() or ended.stdout.strip()).splitlines() or ["no word"]
        raise UserError(f"{' '.join(options)} ended with exit code {ended.returncode}: {lines[-1]}")


def measure(names: list[str], seconds: float, seeds: int, jobs: int, out: Path) -> dict[str, list[Result]]:
    """The results of each variant: of seed 0, and of the others where that is within NEAR of the base's ELBO."""
    with ThreadPoolExecutor(jobs) as pool:

        def all_of(tasks: list[tuple[str, int, int]], what: str) -> list[Result]:
            runs = pool.map(lambda task: train(*task, out), tasks)
            return list(tqdm(runs, what, len(tasks), unit="run"))

        try:
            first = all_of([(name, 1, 0) for name in names], "an epoch of each")
            epochs = {name: max(2, round(seconds / run.seconds)) for name, run in zip(names, first, strict=True)}
            runs = all_of([(name, epochs[name], 0) for name in names], "the first seed")
            results = {name: [run] for name, run in zip(names, runs, strict=True)}
            near = [name for name in names if abs(results[name][0].elbo - results["base"][0].elbo) < NEAR]
            more = [(name, epochs[name], seed) for seed in range(1, seeds) for name in near]
            for (name, *_), run in zip(more, all_of(more, "more seeds"), strict=True):
                results[name].append(run)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def table(results: dict[str, list[Result]]) -> str:
    """A Markdown table: means over the seeds with standard deviations, and the differences to the base."""
    lines = ["| variant | epochs | seconds | ELBO | NLL | ELBO, to the base | NLL, to the base | seeds |"]
    lines.append("|" + " --- |" * 8)
    base = results["base"]
    for name, runs in results.items():
        cells = [name, str(runs[0].epochs), f"{statistics.mean(run.seconds for run in runs):.0f}"]
        cells += [spread([getattr(run, key) for run in runs]) for key in ("elbo", "nll")]
        pairs = list(zip(runs, base, strict=False))
        cells += [
            spread([getattr(run, key) - getattr(other, key) for run, other in pairs], "+") if name != "base" else ""
            for key in ("elbo", "nll")
        ]
        lines.append(f"| {' | '.join([*cells, str(len(runs))])} |")
    return "\n".join(lines)


def spread(values: list[float], sign: str = "") -> str:
    """The mean of some numbers and, of several, their standard deviation."""
    mean = f"{statistics.mean(values):{sign}.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def main() -> None:
    """Train the variants of the command line, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME", help="beside the base")
    add("--seconds", type=float, default=90, help="of training, of each run; default: %(default)s")
    add("--seeds", type=int, default=3, help="default: %(default)s")
    add("--jobs", type=int, default=os.cpu_count(), help="processes at a time; default: %(default)s, the cores")
    add("--out", type=Path, default=Path("outputs/benchmarks/ablation"), help="folder; default: %(default)s")
    args = parser.parse_args()
    if args.jobs < 1:
        parser.error("--jobs must be at least 1")
    names = list(dict.fromkeys(["base", *args.variants]))
    results = measure(names, args.seconds, args.seeds, args.jobs, args.out)
    record.write_json(args.out / "results.json", {"runs": results, "seconds": args.seconds, **record.provenance()})
    print(table(results))
    print(f"Full MNIST, validation: {SAMPLES} samples for the NLL of {IMAGES} images, by the ELBO of 10,000. Nats.")
    print(f"Several seeds where the first is within {NEAR} nats of the base's: means ± standard deviations.")


if __name__ == "__main__":
    command.run(main, "the same command goes on")
