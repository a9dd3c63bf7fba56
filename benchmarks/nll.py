"""The time of an estimate of log p(x), compared with pythae's `get_nll` for the same networks.

Both take turns on blocks of 100 test images of MNIST, on the CPU, so that a slower machine slows both. The run must
have a diagonal Gaussian posterior, a standard normal prior and a Bernoulli likelihood, as pythae's VAE has.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks import command, peers
from src.build import Run, open_run
from src.config.names import option_name
from src.data.batches import Batch
from src.inference import importance
from src.support.errors import UserError
from src.support.noise import BLOCK, Noise


def sides(run: Run, samples: int, bf16: bool) -> dict[str, Callable[[Batch], float]]:
    """The estimators by name, each of which returns the mean of -log p(x) of a batch, from K samples of each image."""
    theirs = peers.pythae_vae(
        run.config.data.shape, run.vae.latent_dim, peers.Networks(run.vae.encoder, run.vae.decoder)
    )

    def ours(batch: Batch, low: bool = False) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            return float(importance.nll(run.vae, batch, samples, Noise(run.seed))[0].mean())

    def pythae(batch: Batch) -> float:
        with torch.no_grad():
            return -float(np.mean(theirs.eval().get_nll(batch.x, n_samples=samples, batch_size=min(100, samples))))

    return {"ours": ours, "pythae": pythae} | ({"ours, bf16": lambda batch: ours(batch, low=True)} if bf16 else {})


def main() -> None:
    """Print the estimates, their times, and the ratio to pythae's: median and quartiles over blocks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nll", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER")
    parser.add_argument("--images", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--samples", type=int, default=100, help="K, a multiple of 100; default: %(default)s")
    parser.add_argument("--bf16", action="store_true", help="ours in bfloat16 too")
    args = parser.parse_args()
    if args.images < 100 or args.samples < 100 or args.samples % 100:
        parser.error("--images must be at least 100, --samples a multiple of 100")
    torch.set_num_threads(1)
    run = open_run(args.run)
    parts = tuple(option_name(run.config[part]._target_) for part in ("posterior", "prior", "likelihood"))
    if parts != ("gaussian", "standard", "bernoulli"):
        raise UserError(f"{args.run}: pythae's VAE has posterior=gaussian prior=standard likelihood=bernoulli")
    estimators = sides(run, args.samples, args.bf16)
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in estimators}
    images = run.data.test.take(slice(args.images))
    for batch in tqdm(run.batches(images, BLOCK), unit="block", disable=None, leave=False):
        for name, estimator in estimators.items():
            begin = time.perf_counter()
            measured[name].append((estimator(batch), time.perf_counter() - begin))
    print(f"{run.config.title}: nll_{args.samples} of {len(images.images):,} test images, one thread")
    seconds = {name: np.array([second for _, second in blocks]) for name, blocks in measured.items()}
    for name, blocks in measured.items():
        low, middle, high = np.percentile(seconds["pythae"] / seconds[name], (25, 50, 75))
        value = np.mean([value for value, _ in blocks])
        speed = f"{middle:.2f} [{low:.2f}-{high:.2f}] of pythae's speed"
        print(f"  {name}: {value:.3f} nats in {seconds[name].sum():.1f} s, {speed}")


if __name__ == "__main__":
    command.run(main)
