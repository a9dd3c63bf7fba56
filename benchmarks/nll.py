"""How long an estimate of log p(x) takes, beside pythae's `get_nll` with the same networks.

Blocks of 100 images take turns, so that whatever slows the machine slows both; MNIST's test images, on the CPU. The
run must have a diagonal Gaussian posterior, a standard normal prior and a Bernoulli likelihood, as pythae's VAE has.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks import command, peers
from src.build import Run, open_run
from src.data.sources import Split
from src.inference import importance
from src.models import likelihoods, posteriors, priors
from src.support import noise
from src.support.errors import UserError


def sides(run: Run, samples: int, bf16: bool) -> dict[str, Callable[[Tensor, Tensor], float]]:
    """Each estimates the mean of -log p(x) of images x (B, C, H, W) with their indices (B,), from K samples each."""
    theirs = peers.pythae_vae(
        run.config.data.shape, run.vae.latent_dim, peers.Networks(run.vae.encoder, run.vae.decoder)
    )

    def ours(x: Tensor, index: Tensor, low: bool = False) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            return float(importance.nll(run.vae, x, index, samples, run.seed)[0].mean())

    def pythae(x: Tensor, index: Tensor) -> float:
        with torch.no_grad():
            return -float(np.mean(theirs.eval().get_nll(x, n_samples=samples, batch_size=min(100, samples))))

    return {"ours": ours, "pythae": pythae} | ({"ours, bf16": lambda x, i: ours(x, i, low=True)} if bf16 else {})


def main() -> None:
    """Prints the estimates, their times, and the ratio to pythae's, median and quartiles over blocks."""
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
    parts = (run.vae.posterior, run.vae.prior_head, run.vae.likelihood)
    plain = (posteriors.Gaussian, priors.Standard, likelihoods.Bernoulli)
    if not all(isinstance(part, kind) for part, kind in zip(parts, plain, strict=True)):
        raise UserError(f"{args.run}: pythae's VAE has posterior=gaussian prior=standard likelihood=bernoulli")
    both = sides(run, args.samples, args.bf16)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in both}
    images = Split(*(array[: args.images] for array in run.data.test))
    for batch in tqdm(run.batches(images, noise.BLOCK), unit="block", disable=None, leave=False):
        for name, side in both.items():
            begun = time.perf_counter()
            found[name].append((side(batch.x, batch.index), time.perf_counter() - begun))
    print(f"{run.config.title}: nll_{args.samples} of {len(images.images):,} test images, one thread")
    seconds = {name: np.array([second for _, second in blocks]) for name, blocks in found.items()}
    for name, blocks in found.items():
        low, middle, high = np.percentile(seconds["pythae"] / seconds[name], (25, 50, 75))
        value = np.mean([value for value, _ in blocks])
        speed = f"{middle:.2f} [{low:.2f}-{high:.2f}] of pythae's speed"
        print(f"  {name}: {value:.3f} nats in {seconds[name].sum():.1f} s, {speed}")


if __name__ == "__main__":
    command.run(main)
