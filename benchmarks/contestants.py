"""A peer in the benchmark of time to quality: trains, and writes its validation ELBO after each epoch.

python -m benchmarks.contestants pythae --folder FOLDER --val FILE [--recipe model=conv ...]

A peer keeps its loop and its data path. By its own settings it keeps network, optimiser and batch too; with --recipe
these are those of `python -m src.train data=mnist RECIPE`, without its start at the mean image. Its likelihood is
made ours in both: Bernoulli, of binary images that are drawn anew as each is loaded, with codes of 16 dimensions.
"""

import argparse
import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import Compose, ToTensor

from benchmarks import command, peers

ROOT = os.environ.get("DATA_ROOT", "data")
SHAPE, LATENT_DIM = (1, 28, 28), 16
TRAINING = 50_000  # training images; the rest of the official training set is for validation
FOR_EVER = 1000  # epochs of a peer by its own settings, which is stopped from outside


class Record:
    """A writer of metrics.csv: images seen and the ELBO of the binary validation images (N, 1, 28, 28) by epoch."""

    def __init__(self, folder: Path, val: np.ndarray) -> None:
        self.val, self.path, self.images = torch.from_numpy(val).float(), folder / "metrics.csv", 0
        self.path.write_text("images_seen,val/elbo\n")

    @torch.no_grad()
    def epoch(self, encode: Callable[[Tensor], tuple[Tensor, Tensor]], decode: Callable[[Tensor], Tensor]) -> None:
        """Record the end of an epoch, with one draw of the code for each image.

        encode: images -> (mu, logvar) of their codes, (B, D); decode: codes -> probabilities of the pixels
        """
        self.images, total = self.images + TRAINING, 0.0
        for x in self.val.split(500):
            mu, logvar = encode(x)
            pixels = decode(mu + torch.randn_like(mu) * torch.exp(0.5 * logvar))
            recon = functional.binary_cross_entropy(pixels, x, reduction="sum")
            total += float(recon + 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum())
        with self.path.open("a") as file:
            csv.writer(file).writerow([self.images, -total / len(self.val)])


class Recipe(NamedTuple):
    """What this project trains full MNIST with by default."""

    networks: peers.Networks
    optimizer: Callable[..., torch.optim.Optimizer]
    lr: float
    lr_schedule: Callable[[float], float]
    batch: int
    epochs: int


def recipe(options: list[str]) -> Recipe:
    """The recipe of `python -m src.train data=mnist`, with more options."""
    from benchmarks.configuration import composed  # imports all of this project, which a peer does not need
    from src import build
    from src.config.classes import make

    cfg = composed(*options, f"latent_dim={LATENT_DIM}")
    vae = build.vae(cfg)
    optimizer = make(cfg.optimizer, "optimizer")
    curve = make(cfg.lr_schedule, "lr_schedule")
    networks = peers.Networks(vae.encoder, vae.decoder)
    return Recipe(networks, optimizer, cfg.optimizer.lr, curve, cfg.data.batch_size, cfg.data.epochs)


def pytorch_examples(ours: Recipe | None, record: Record, folder: Path, seed: int) -> None:
    """Train with the loop and the data path of pytorch/examples, which transforms one image at a time."""
    if ours is None:
        vae = peers.SmallVAE(LATENT_DIM)
        optimizer, batch, epochs = torch.optim.Adam(vae.parameters(), lr=1e-3), 128, FOR_EVER
    else:
        vae, batch, epochs = ours.networks, ours.batch, ours.epochs
        optimizer = ours.optimizer(vae.parameters())
    images = MNIST(ROOT, train=True, transform=Compose([ToTensor(), torch.bernoulli]))
    batches = DataLoader(Subset(images, range(TRAINING)), batch, shuffle=True)
    for epoch in range(epochs):
        for step, (x, _) in enumerate(batches):
            if ours is not None:
                optimizer.param_groups[0]["lr"] = ours.lr * ours.lr_schedule((epoch + step / len(batches)) / epochs)
            optimizer.zero_grad()
            loss = peers.summed_loss(vae, x) / (1 if ours is None else len(x))
            loss.backward()
            optimizer.step()
            if step % 10 == 0:
                print(f"{step}/{len(batches)}: {loss.item():.6f}")
        record.epoch(vae.encode, vae.decode)


def pythae(ours: Recipe | None, record: Record, folder: Path, seed: int) -> None:
    """Train with pythae's pipeline, whose schedulers step once an epoch: with the recipe, down a cosine."""
    images = BinaryDraws(MNIST(ROOT, train=True).data[:TRAINING, None] / 255)
    settings = {"per_device_train_batch_size": 64, "learning_rate": 1e-4, "num_epochs": FOR_EVER, "seed": seed}
    if ours is not None:
        settings |= {"per_device_train_batch_size": ours.batch, "num_epochs": ours.epochs, "learning_rate": ours.lr}
        settings |= {"scheduler_cls": "CosineAnnealingLR", "scheduler_params": {"T_max": ours.epochs}}
        settings |= {"optimizer_params": {"fused": True}}
    model = peers.pythae_vae(SHAPE, LATENT_DIM, None if ours is None else ours.networks)

    def measure(_: nn.Module) -> None:
        def encode(x: Tensor) -> tuple[Tensor, Tensor]:
            found = model.encoder(x)
            return found.embedding, found.log_covariance

        record.epoch(encode, lambda z: model.decoder(z).reconstruction)

    peers.pythae_training(model, images, folder, settings, on_epoch=measure)


class BinaryDraws(Dataset):
    """Images (N, C, H, W) in [0, 1] in pythae's form, each pixel drawn anew when an image is taken."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        from pythae.data.datasets import DatasetOutput

        return DatasetOutput(data=torch.bernoulli(self.images[index]))


PEERS = {"pytorch_examples": pytorch_examples, "pythae": pythae}


def main() -> None:
    """Train the peer that the command line names, until its epochs are over or it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contestants", description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--folder", type=Path, required=True, help="for metrics.csv, and what the peer leaves")
    parser.add_argument("--val", type=Path, required=True, help="npy file of binary validation images, 0 and 1")
    words = "of our recipe: the peer gets its network, batch, optimiser and schedule"
    parser.add_argument("--recipe", nargs="+", metavar="OPTION", help=words)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    ours = recipe(args.recipe) if args.recipe else None
    PEERS[args.peer](ours, Record(args.folder, np.load(args.val)), args.folder, args.seed)


if __name__ == "__main__":
    command.run(main)
