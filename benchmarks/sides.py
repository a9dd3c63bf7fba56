"""One side of the throughput benchmark, timed in a process of its own; prints one line of JSON.

python -m benchmarks.sides bare --model mlp --batch 128 --seconds 6 --threads 1

All sides train on MNIST, on the CPU. The network of `conv` is that of the present conf/, that of `mlp`
pytorch/examples'; ours and the bare loop have the optimiser of conf/, the others that of their users. A side trains
until its stopwatch has seen enough, and returns the network it trained.
"""

import argparse
import contextlib
import json
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

from benchmarks import command, peers
from benchmarks.configuration import MODELS, composed
from benchmarks.stopwatch import StopsAfter, Stopwatch, WholeEpochs, matmul_gflops
from src import build
from src.config.classes import make
from src.models.vae import VAE
from src.run.loggers import build_loggers
from src.startup import quieten
from src.training.trainer import NOT_LIGHTNINGS, make_trainer

RSS = 1 if sys.platform == "darwin" else 1024  # bytes in a unit of ru_maxrss


def default(cfg: DictConfig, folder: Path, watch: Stopwatch) -> nn.Module:
    """This project as `python -m src.train` runs it, without the figures; timed over whole epochs after the first."""
    module = build.module(cfg, [])
    trainer = make_trainer(cfg, folder, build_loggers(cfg, folder, None))
    trainer.callbacks.insert(0, WholeEpochs(watch))  # first, so that the work of others between epochs is timed
    trainer.fit(module, build.data(cfg, module.vae))
    return module.vae


def lean(cfg: DictConfig, folder: Path, watch: Stopwatch) -> nn.Module:
    """This project's module and data in Lightning's Trainer, without callbacks or loggers: training steps alone."""
    module = build.module(cfg, [])
    options = OmegaConf.masked_copy(cfg.trainer, [name for name in cfg.trainer if name not in NOT_LIGHTNINGS])
    trainer = make(
        options,
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


def bare_steps(cfg: DictConfig) -> Iterator[VAE]:
    """The same networks, optimiser and binarisation in a loop with nothing around it; the network after each step."""
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
            yield vae


def bare(cfg: DictConfig, folder: Path, watch: Stopwatch) -> nn.Module:
    """The reference: `bare_steps` and nothing else."""
    return next(vae for vae in bare_steps(cfg) if watch.lap(cfg.data.batch_size))


class EnoughError(Exception):
    """Raised to leave a training loop that has no other end."""


def loader(cfg: DictConfig) -> DataLoader:
    """Shuffled MNIST as torchvision serves it: one PIL image at a time, turned into a tensor, then collated."""
    return DataLoader(MNIST(cfg.data.root, train=True, transform=ToTensor()), cfg.data.batch_size, shuffle=True)


def pytorch_examples(cfg: DictConfig, folder: Path, watch: Stopwatch) -> nn.Module:
    """The loop of pytorch/examples with its own network.

    Losses are summed over the batch, read at each step, and printed at each tenth.
    """
    vae, batches = peers.SmallVAE().train(), loader(cfg)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
    while True:
        total = 0.0
        for step, (x, _) in enumerate(batches):
            optimizer.zero_grad()
            loss = peers.summed_loss(vae, x)
            loss.backward()
            total += loss.item()
            optimizer.step()
            if step % 10 == 0:
                print(f"{step}/{len(batches)}: {loss.item() / len(x):.6f}")
            if watch.lap(len(x)):
                return vae


class Ordinary(lightning.LightningModule):
    """A VAE as it is commonly written for Lightning: everything is logged at each step."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.encoder, self.decoder = vae.encoder, vae.decoder

    def training_step(self, batch: list[Tensor], step: int) -> Tensor:
        x, _ = batch
        mu, logvar = self.encoder(x).chunk(2, -1)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        recon = functional.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum") / len(x)
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / len(x)
        loss = recon + kl
        self.log("loss", loss)
        self.log("recon", recon)
        self.log("kl", kl)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def lightning_dataloader(cfg: DictConfig, folder: Path, watch: Stopwatch) -> nn.Module:
    """Lightning with our networks as most people use it: its defaults, a DataLoader, a log in CSV."""
    module = Ordinary(build.vae(cfg))
    trainer = lightning.Trainer(
        max_epochs=1000,
        accelerator="cpu",
        default_root_dir=folder,
        logger=CSVLogger(folder),
        callbacks=[StopsAfter(watch)],
    )
    trainer.fit(module, loader(cfg))
    return module


def pythae(cfg: DictConfig, folder: Path, watch: Stopwatch) -> nn.Module:
    """pythae's training pipeline with our networks: its VAE, its trainer, its data set of floats in memory.

    Raises MissingError where it is not installed.
    """
    batch = cfg.data.batch_size
    images = MNIST(cfg.data.root, train=True).data[:, None] / 255
    images = images[: len(images) // batch * batch]  # whole batches only: its callback does not see their sizes

    def step(model: nn.Module) -> None:
        if watch.lap(batch):
            raise EnoughError

    settings = {"per_device_train_batch_size": batch, "learning_rate": 1e-3, "num_epochs": 1000}
    ours = build.vae(cfg)
    model = peers.pythae_vae(cfg.data.shape, cfg.latent_dim, peers.Networks(ours.encoder, ours.decoder))
    try:
        peers.pythae_training(model, images, folder, settings, on_step=step)
    except EnoughError:
        return model
    raise AssertionError("pythae ended before it was stopped")


SIDES = {
    "default": default,
    "lean": lean,
    "bare": bare,
    "lightning_dataloader": lightning_dataloader,
    "pythae": pythae,
    "pytorch_examples": pytorch_examples,
}


def timed(args: argparse.Namespace) -> dict[str, str | float]:
    """Train one side and return what was measured, or why the side is missing here."""
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
    """Time the side that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sides", description=__doc__.splitlines()[0])
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--model", choices=MODELS, default="mlp")
    parser.add_argument("--batch", type=int, default=128, help="images a step")
    parser.add_argument("--seconds", type=float, default=6.0, help="to time at least, after the warm-up")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true", help="of lean")
    parser.add_argument("--epoch-steps", type=int, help="of default: cuts its epochs short, but not its validation")
    args = parser.parse_args()
    if args.precision != "32-true" and args.side != "lean":
        parser.error("--precision is for lean")
    if args.side == "pytorch_examples" and args.model != "mlp":
        parser.error("pytorch_examples is an MLP: --model mlp")
    torch.set_num_threads(args.threads)
    if args.side != "lightning_dataloader":
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)  # set by Lightning, and slow: see src/training/trainer.py
    quieten()
    with (
        Path(os.devnull).open("w") as nowhere,  # receives the progress bars, which are drawn as into any file
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        result = timed(args)
    print(json.dumps({"side": args.side, "model": args.model, **result}))


if __name__ == "__main__":
    command.run(main)
