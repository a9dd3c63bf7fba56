"""Seconds from the start of a process until its validation ELBO passes -105, -100, -97 and -93 nats: MNIST, 16 latents.

Each side is a command whose schedule is fixed in advance. It writes the validation ELBO of each epoch to a file, and
the time until that can be read includes imports, data, validation, checkpoints and figures, but not W&B. All sides
train on the same 50,000 images, binarised anew each time they are seen, and are measured on the same 10,000 of the
published draw; on the CPU, as many processes at a time as the machine has cores, with a thread each.
"""

import argparse
import csv
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks import command
from src.run import record
from src.support.files import atomic_path

TARGETS = (-105, -100, -97, -93)  # nats per image
LOOK = 0.05  # seconds between two looks at the file
ENV = os.environ | {"GOMP_SPINCOUNT": "2000", "OMP_NUM_THREADS": "1"}  # the same for all sides: see src/__init__.py
OURS = ("-m", "src.train", "data=mnist", "latent_dim=16", "logger=csv", "trainer.accelerator=cpu")
OURS += ("hydra.run.dir={folder}", "seed={seed}")
FIRST = ("model=conv", "model.encoder.depth=1", "model.encoder.activation=silu")  # the network of version 0.1.0
PEER = ("-m", "benchmarks.contestants", "--folder={folder}", "--seed={seed}", "--val={val}")
SIDES = {
    "this project, model=conv": (*OURS, "model=conv"),
    "this project, model=mlp": (*OURS, "model=mlp"),
    "this project, model=conv, 6 epochs, EMA": (*OURS, "model=conv", "trainer.max_epochs=6", "trainer.ema=0.97"),
    "this project, conv of version 0.1.0": (*OURS, *FIRST, "model.start=zero"),
    "pytorch/examples": (*PEER, "pytorch_examples"),
    "pytorch/examples, our mlp and schedule": (*PEER, "pytorch_examples", "--recipe", "model=mlp"),
    "pythae": (*PEER, "pythae"),
    "pythae, our conv, cosine": (*PEER, "pythae", "--recipe", "model=conv"),
    "pythae, conv of version 0.1.0, cosine": (*PEER, "pythae", "--recipe", *FIRST),
}


class Point(NamedTuple):
    """An epoch: seconds from the process's start until its ELBO was known, images seen, validation ELBO in nats."""

    seconds: float
    images: float
    elbo: float


def run(side: str, seed: int, limit: float, val: Path) -> list[Point]:
    """The epochs of a side's process, which is ended after `limit` seconds; the reason for a failure is printed."""
    points: list[Point] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        words = [word.format(folder=folder / "run", seed=seed, val=val) for word in SIDES[side]]
        (folder / "run").mkdir()
        with (folder / "output").open("w") as output:
            begun = time.perf_counter()
            process = subprocess.Popen([sys.executable, *words], stdout=output, stderr=subprocess.STDOUT, env=ENV)
            try:
                while (now := time.perf_counter() - begun) < limit:
                    ended = process.poll() is not None
                    points += [Point(now, *row) for row in rows(folder / "run" / "metrics.csv")[len(points) :]]
                    if ended:
                        break
                    time.sleep(LOOK)
            finally:
                process.kill()
                process.wait()
        if process.returncode > 0:
            lines = (folder / "output").read_text().strip().splitlines() or ["no word"]
            print(f"{side}, seed {seed}, failed: {lines[-1]}", file=sys.stderr)
    return points


def rows(path: Path) -> list[tuple[float, float]]:
    """Images seen and validation ELBO in each row of a metrics.csv, or none if the file is only half written."""
    try:
        with path.open(newline="") as file:
            table = [row for row in csv.DictReader(file) if row["val/elbo"]]
            return [(float(row["images_seen"]), float(row["val/elbo"])) for row in table]
    except (OSError, KeyError, TypeError, ValueError):
        return []


def passed(runs: list[list[Point]], target: float) -> Point | None:
    """The first epoch in which the mean ELBO of all runs passes `target`, in means over the runs; else None."""
    for epoch in zip(*runs, strict=False):
        mean = Point(*np.mean(epoch, 0).tolist())
        if mean.elbo > target:
            return mean
    return None


def table(runs: dict[str, list[list[Point]]], flops: dict[str, float], limit: float) -> str:
    """A table of the seconds until each side passes each target, and beneath them images seen and TFLOP."""
    lines = [f"{'seconds until the validation ELBO passes':42}" + "".join(f"{target:>14}" for target in TARGETS)]
    for side, of_side in runs.items():
        if not any(of_side):  # its package is not installed
            continue
        points = [passed(of_side, target) for target in TARGETS]
        best = np.mean([max((point.elbo for point in points), default=np.nan) for points in of_side])
        cells = (f"{point.seconds:.0f}" if point else "not reached" for point in points)
        lines.append(f"{side:42}" + "".join(f"{c:>14}" for c in cells) + f"   {len(of_side)} seed(s), best {best:.2f}")
        cells = (f"{point.images / 1e3:,.0f}k" if point else "" for point in points)
        lines.append(f"{'  images seen':42}" + "".join(f"{cell:>14}" for cell in cells))
        cells = (f"{point.images * flops[side] / 1e12:.2f}" if point else "" for point in points)
        lines.append(f"{'  TFLOP, forward and backward':42}" + "".join(f"{cell:>14}" for cell in cells))
    lines.append(f"Means over seeds. `not reached` in {limit:.0f} s, or by the end of its schedule.")
    return "\n".join(lines)


def sooner(runs: dict[str, list[list[Point]]], limit: float) -> str:
    """The factors by which our best side passes each target sooner than the best peer by its own settings."""

    def best(target: float, *sides: str) -> float:
        found = [passed(runs[side], target) for side in sides if side in runs]
        return min((point.seconds for point in found if point), default=limit)

    ours, theirs = ("this project, model=conv", "this project, model=mlp"), ("pytorch/examples", "pythae")
    if not (runs.keys() & set(ours) and runs.keys() & set(theirs)):
        return ""
    ratios = [f"{target}: {best(target, *theirs) / best(target, *ours):.1f}" for target in TARGETS]
    return f"times sooner than the best peer by its own settings, a miss counted as {limit:.0f} s: " + ", ".join(ratios)


def validation() -> np.ndarray:
    """The 10,000 validation images (N, 1, 28, 28), 0 or 1, of the published draw."""
    from benchmarks.configuration import composed
    from src.config.classes import make
    from src.data.pixels import binarize_as_published

    source = make(composed().data.source, "data")
    return binarize_as_published(source.val.images, source.test.images)[0] // 255


def operations(side: str) -> float:
    """Floating-point operations of a training step an image, in matrix products and convolutions, counted by torch."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks import peers
    from benchmarks.configuration import composed
    from src import build

    cfg = composed(*(word for word in SIDES[side] if word.startswith("model")), "latent_dim=16")
    x = torch.rand(8, 1, 28, 28)
    if side == "pytorch/examples":
        vae = peers.SmallVAE(16)
    elif side == "pythae":
        vae = peers.pythae_vae(cfg.data.shape, 16)
    else:
        ours = build.vae(cfg)
        vae = peers.Networks(ours.encoder, ours.decoder)
    with FlopCounterMode(display=False) as counter:
        loss = vae({"data": x}).loss if side == "pythae" else peers.summed_loss(vae, x)
        loss.backward()
    return counter.get_total_flops() / len(x)


def draw(path: Path, runs: dict[str, list[list[Point]]]) -> None:
    """Draw the validation ELBO against seconds: a line for each run, a colour for each side."""
    from matplotlib.figure import Figure  # takes seconds to import

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for i, (side, of_side) in enumerate(runs.items()):
        for j, points in enumerate(filter(None, of_side)):
            seconds, _, elbo = zip(*points, strict=True)
            style = {
                "color": f"C{i}",
                "ls": "-" if side.startswith("this") else "--",
                "marker": ".",
                "ms": 4,
                "lw": 1.2,
            }
            axes.plot(seconds, elbo, label=None if j else side, alpha=0.8, **style)
    for target in TARGETS:
        axes.axhline(target, color="0.8", lw=0.8, zorder=0)
    axes.set(xscale="log", ylim=(-130, -90), xlabel="seconds from the start of the process")
    axes.set_ylabel("validation ELBO, nats per image")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=150, format="png")


def main() -> None:
    """Run the sides that the command line asks for, their seeds interleaved."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seeds", type=int, default=5, help="of our sides; default: %(default)s")
    add("--peer-seeds", type=int, default=1, help="of each peer; default: %(default)s")
    add("--jobs", type=int, default=os.cpu_count(), help="processes at a time; default: %(default)s, the cores")
    add("--limit", type=float, default=600, help="seconds of a run; default: %(default)s")
    add("--sides", nargs="+", choices=SIDES, default=list(SIDES), metavar="SIDE", help=f"of {'; '.join(SIDES)}")
    add("--out", type=Path, default=Path("outputs/benchmarks/quality"), help="folder; default: %(default)s")
    args = parser.parse_args()
    count = {side: args.seeds if side.startswith("this") else args.peer_seeds for side in args.sides}
    flops = {side: operations(side) for side in args.sides}
    runs: dict[str, list[list[Point]]] = {side: [] for side in args.sides}
    args.out.mkdir(parents=True, exist_ok=True)
    tasks = [(side, seed) for seed in range(max(count.values())) for side in args.sides if seed < count[side]]
    with TemporaryDirectory() as folder, ThreadPoolExecutor(args.jobs) as pool:
        val = Path(folder) / "val.npy"
        np.save(val, validation())
        measured = [pool.submit(run, side, seed, args.limit, val) for side, seed in tasks]
        try:
            for (side, _), future in zip(tqdm(tasks, unit="run"), measured, strict=True):
                runs[side].append(future.result())
                settings = {"limit": args.limit, "jobs": args.jobs, "operations_per_image": flops}
                record.write_json(args.out / "results.json", {"runs": runs, **settings, **record.provenance()})
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    print(f"{table(runs, flops, args.limit)}\n{sooner(runs, args.limit)}")
    draw(args.out / "quality.png", runs)
    print(f"{args.out}/results.json, quality.png")


if __name__ == "__main__":
    command.run(main, "what was measured until then is in results.json")
