"""Where the wall time of a run goes: how it starts, its parts, a training step, and the cost of the figures.

python -m benchmarks.wall [option=value ...]        options of `python -m src.train`; else the default run
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from benchmarks import command
from src.support.errors import UserError

STARTS = {
    "--help": ["--help"],
    "--cfg job": ["--cfg", "job"],
    "a mistyped option": ["foo=1"],
    "a choice that does not exist": ["model=transformer"],
    "a value out of range": ["latent_dim=0"],
}
# Parts of a training that do not overlap, by the names that Lightning's profiler gives them.
PARTS = {
    "training: a batch": ("[_TrainingEpochLoop].train_dataloader_next",),
    "training: a step": ("run_training_batch",),
    "evaluation each epoch": ("[_EvaluationLoop].val_next", "[Strategy]SingleDeviceStrategy.validation_step"),
    "evaluation: sums, loggers": ("[LightningModule]VAEModule.on_validation_epoch_end",),
    "recording the trace": ("[Callback]Recorder.",),
    "pictures": ("[Callback]Pictures.",),
    "checkpoints": ("[Callback]EveryEpoch",),
    "progress bar": ("[Callback]Progress.",),
    "test": ("[_EvaluationLoop].test_next", "[Strategy]SingleDeviceStrategy.test_step"),
}
STEPS = 300  # steps from which the parts of a training step are timed, at most
ROUNDS = 5  # repetitions of an epoch's evaluation


def trained(options: Sequence[str], profiled: bool = False) -> dict[str, float]:
    """Seconds of a run in a process of its own: `all`, `start to first step` and, when profiled, of its parts."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        watch = "+callbacks.first._target_=benchmarks.watch.FirstStep", f"+callbacks.first.path={folder}/first"
        profiler = (
            "+trainer.profiler._target_=benchmarks.watch.Durations",
            f"+trainer.profiler.dirpath={folder}",
            "+trainer.profiler.filename=parts",
        )
        words = [*watch, *(profiler if profiled else ()), *options, f"hydra.run.dir={folder}/run"]
        begun = time.time()
        done = subprocess.run(
            [sys.executable, "-m", "src.train", *words],
            capture_output=True,
            text=True,
            env=importable() | {"WANDB_MODE": "offline"},
            cwd=folder,
        )
        total = time.time() - begun
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no word"]
            raise UserError(f"{' '.join(options)}: {lines[-1]}")
        seconds = {"all": total, "start to first step": float((folder / "first").read_text()) - begun}
        return seconds | (parts(json.loads((folder / "test-parts.txt").read_text())) if profiled else {})


def parts(durations: dict[str, list[float]]) -> dict[str, float]:
    """Seconds of each of PARTS."""
    return {
        part: sum(sum(durations[name]) for name in durations if name.startswith(names)) for part, names in PARTS.items()
    }


def built(options: Sequence[str]) -> tuple[Any, Any, Any]:
    """The module, the data and an epoch of training batches of a run."""
    import hydra
    import torch

    from src import build
    from src.data.batches import TrainingBatches
    from src.train import CONF

    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        cfg = hydra.compose("train", list(options))
    module = build.module(cfg, [])
    data = build.data(cfg, module.vae)
    data.trainer = argparse.Namespace(current_epoch=0)
    return module, data, TrainingBatches(data, *(torch.from_numpy(array) for array in data.source.train), 0, 1)


def measured(options: Sequence[str]) -> dict[str, float]:
    """Seconds that an epoch takes to measure the validation images and the training images, the least of ROUNDS."""
    import torch

    from src.data.batches import EvaluationBatches

    module, data, _ = built(options)
    module.vae.eval()
    seconds = {}
    for name, split in (("validation images", data.val), ("training images", data.train_subset)):
        times, images = [], [torch.from_numpy(array) for array in split]
        for _ in range(ROUNDS):
            module.batches, begun = {"val": []}, time.perf_counter()
            with torch.no_grad():
                for batch in EvaluationBatches(*images):
                    module.evaluate("val", batch)
            times.append(time.perf_counter() - begun)
        seconds[f"{len(images[0]):,} {name}"] = min(times)
    return seconds


def step(options: Sequence[str]) -> dict[str, float]:
    """Milliseconds of each part of a training step without Lightning, medians over an epoch of at most STEPS steps."""
    import torch

    from src.models.draws import Draws

    module, _data, batches = built(options)
    vae, optimizer = module.vae, module.configure_optimizers()
    laps: dict[str, list[float]] = {}
    last = time.perf_counter()

    def lap(part: str) -> None:
        nonlocal last
        now = time.perf_counter()
        laps.setdefault(part, []).append(1000 * (now - last))
        last = now

    for x, _, _ in itertools.islice(batches, STEPS):
        lap("batch: order, binarisation")
        noise = torch.randn(1, len(x), vae.latent_dim)
        lap("noise")
        q = vae.encode(x)
        lap("encoder")
        z, log_q = q.rsample_and_log_prob(noise)
        lap("sample of q(z|x), its density")
        px = vae.decode(z)
        lap("decoder")
        log_px = px.log_prob(x)
        lap("log p(x|z)")
        draws = Draws(q, vae.prior(), px, z, log_q, log_px)
        loss = (draws.recon() + draws.kl("closed")).mean()
        lap("KL, mean")
        loss.backward()
        lap("backward")
        optimizer.step()
        optimizer.zero_grad()
        lap("optimiser")
    return {part: statistics.median(times) for part, times in laps.items()}


def start(words: Sequence[str]) -> float:
    """Seconds that the command takes with these arguments."""
    with TemporaryDirectory() as folder:
        begun = time.time()
        subprocess.run([sys.executable, "-m", "src.train", *words], capture_output=True, cwd=folder, env=importable())
        return time.time() - begun


def importable() -> dict[str, str]:
    """The environment in which this project, and its data, are found from any folder."""
    here = {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    return os.environ | here | {"DATA_ROOT": str(Path(os.environ.get("DATA_ROOT", "data")).absolute())}


def show(title: str, rows: dict[str, float], unit: str, total: float | None = None) -> None:
    """Print a table, the largest first, with shares of `total`."""
    print(f"\n{title}")
    for name, value in sorted(rows.items(), key=lambda row: -row[1]):
        print(f"  {name:34}{value:9.2f} {unit}" + (f"{value / total:8.1%}" if total else ""))


def main() -> None:
    """Measure what the command line asks for, and print it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.wall", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="of starts; default: %(default)s")
    parser.add_argument("--pairs", type=int, default=1, help="of runs with and without pictures; default: %(default)s")
    args, options = parser.parse_known_args()
    both = {"with": [], "without": ["~callbacks.pictures"]}
    pairs = [both if i % 2 else dict(reversed(both.items())) for i in range(args.pairs)]
    with tqdm(total=args.rounds * len(STARTS) + 1 + 2 * len(pairs), unit="process") as bar:

        def counted(work: Callable[..., Any], *arguments: Any) -> Any:
            result = work(*arguments)
            bar.update()
            return result

        starts = {name: [] for name in STARTS}
        for _ in range(args.rounds):
            for name, words in STARTS.items():
                starts[name].append(counted(start, words))
        profiled = counted(trained, options, True)
        walls = [{name: counted(trained, [*options, *pair[name]]) for name in pair} for pair in pairs]
    total, first = profiled.pop("all"), profiled.pop("start to first step")
    starts["the first training step done"] = [
        first,
        *(wall[name]["start to first step"] for wall in walls for name in wall),
    ]
    show(
        "Until it answers, or has done its first step: median",
        {k: statistics.median(v) for k, v in starts.items()},
        "s",
    )
    rest = total - sum(profiled.values())
    show(f"A run of {total:.0f} s, profiled", profiled | {"all else": rest}, "s", total)
    show("A training step without Lightning", laps := step(options), "ms", sum(laps.values()))
    epoch = len(built(options)[2]) * sum(laps.values()) / 1000
    show(f"What an epoch measures, as shares of the {epoch:.1f} s of its steps", measured(options), "s", epoch)
    if walls:
        print("\nWall time with pictures, without, and what they add")
    for wall in walls:
        drawn, undrawn = wall["with"]["all"], wall["without"]["all"]
        print(f"  {drawn:9.1f} s {undrawn:9.1f} s {drawn / undrawn - 1:8.1%}")


if __name__ == "__main__":
    command.run(main)
