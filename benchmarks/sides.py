"""One side of the throughput benchmark, timed in a process of its own; prints one line of JSON.

python -m benchmarks.sides bare --model mlp --batch 128 --seconds 6 --threads 1

The optimiser is that of conf/ as it stands, and so is the network of `conv`; that of `mlp` is pytorch/examples'. All
sides train on MNIST, on the CPU.
"""

import argparse
import contextlib
import json
import os
import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import peers
from benchmarks.configuration import MODELS, composed
from benchmarks.stopwatch import StopsAfter, Stopwatch, WholeEpochs, matmul_gflops
from src import build
from src.errors import UserError
from src.train import quieten
from src.vae import VAE

RSS = 1 if sys.platform == "darwin" else 1024  # bytes in a unit of ru_maxrss


def default(cfg: DictConfig, folder: Path, watch: Stopwatch) -> nn.Module:
    """This project as `python -m src.train` runs it, without the pictures; whole epochs after the first."""
    module = build.module(cfg, [])
    trainer = build.trainer(cfg, folder, build.loggers(cfg, folder, None))
    trainer.callbacks.insert(0, WholeEpochs(watch))  # first, so that the others' work at an epoch's ends is timed too
    trainer.fit(module, build.data(cfg, module.vae))
    return module.vae


def lean(cfg: DictConfig, folder: Path, watch: Stopwatch) -> nn.Module:
    """This project's module and data in Lightning's Trainer, with nobody watching: training steps alone."""
    module = build.module(cfg, [])
    trainer = build.make(
        cfg.trainer,
        "trainer",
        default_root_dir=str(folder),
        callbacks=[StopsAfter(watch)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, build.data(cfg, module.vae))
    return module.vae


def bare_loss(vae: VAE, x: Tensor, noise: Tensor) -> Tensor:
    """The negative ELBO of binary images x (B, C, H, W) at noise (B, D), mean over images in nats, from formulas."""
    mu, logvar = vae.encoder(x).chunk(2, -1)
    scale = torch.exp(0.5 * logvar)
    logits = vae.decoder(torch.addcmul(mu, scale, noise))
    recon = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kl = 0.5 * (mu.square() + scale.square() - 1 - logvar).sum()
    return (recon + kl) / len(x)


def bare(cfg: DictConfig, folder: Path, watch: Stopwatch) -> nn.Module:
    """The yardstick: the same networks, optimiser and binarisation in a loop with nothing around it."""
    module, batch = build.module(cfg, []), cfg.data.batch_size
    vae, optimizer = module.vae.train(), module.configure_optimizers()
    images = torch.from_numpy(build.data(cfg, vae).source.train.images)
    threshold = torch.empty((batch, *images.shape[1:]), dtype=torch.uint8)
    while True:
        for rows in torch.randperm(len(images))[: len(images) // batch * batch].split(batch):
            x = (threshold.random_(0, 255) < images.index_select(0, rows)).float()
            optimizer.zero_grad(set_to_none=True)
            bare_loss(vae, x, torch.randn(batch, vae.latent_dim)).backward()
            optimizer.step()
            if watch.lap(batch):
                return vae


SIDES = {
    "default": default,
    "lean": lean,
    "bare": bare,
    "lightning_dataloader": peers.lightning_dataloader,
    "pythae": peers.pythae,
    "pytorch_examples": peers.pytorch_examples,
}


def timed(args: argparse.Namespace) -> dict[str, str | float]:
    """Trains one side and returns what was measured, or why the side is missing here."""
    options = [*MODELS[args.model], f"data.batch_size={args.batch}"]
    options += ["trainer.max_epochs=1000", f"trainer.precision={args.precision}"]
    options += [f"+trainer.limit_train_batches={args.epoch_steps}"] if args.epoch_steps else []
    cfg, watch = composed(*options), Stopwatch(args.seconds)
    before = matmul_gflops()
    try:
        with TemporaryDirectory() as folder:
            network = SIDES[args.side](cfg, Path(folder), watch)
    except peers.MissingError as error:
        return {"missing": str(error)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS
    after = matmul_gflops()
    return {
        "images_per_second": watch.images / watch.seconds,
        "images_per_cpu_second": watch.images / watch.cpu_seconds,
        "images": watch.images,
        "seconds": watch.seconds,
        "cpu_seconds": watch.cpu_seconds,
        "peak_mb": peak / 1e6,
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "mflop_per_image": watch.mflop,
        "matmul_gflops": max(before, after),
        "matmul_gflops_before_after": [before, after],
    }


def main() -> None:
    """Times the side that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sides", description=__doc__.splitlines()[0])
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--model", choices=MODELS, default="mlp")
    parser.add_argument("--batch", type=int, default=128, help="images a step")
    parser.add_argument("--seconds", type=float, default=6.0, help="to time at least, after the warm-up")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true", help="of lean")
    parser.add_argument("--epoch-steps", type=int, help="of default: cuts its epochs short, but not its validation")
    args = parser.parse_args()
    if args.side == "pytorch_examples" and args.model != "mlp":
        parser.error("pytorch_examples is an MLP: --model mlp")
    torch.set_num_threads(args.threads)
    quieten()
    with (
        Path(os.devnull).open("w") as nowhere,  # progress bars are drawn, as into any file, but not into our line
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        result = timed(args)
    print(json.dumps({"side": args.side, "model": args.model, **result}))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
