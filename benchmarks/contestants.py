"""A peer in the benchmark of time to quality: trains, and writes its validation ELBO after each epoch.

python -m benchmarks.contestants pythae --folder FOLDER [--recipe conv]

A peer keeps its loop and its data path. By its own settings it keeps network, optimiser and batch too; with --recipe
these, and the learning rate's schedule, are those of `python -m src.train data=mnist model=RECIPE`. Its likelihood is
made ours in both: Bernoulli, of binary images that are drawn anew as each is loaded, with codes of 16 dimensions.
"""

import argparse
import csv
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import Compose, ToTensor

from benchmarks import peers
from benchmarks.configuration import composed
from src import build
from src.data import draw_binary
from src.errors import UserError

TRAINING = 50_000  # images; the others of the official training set are for validation
FOR_EVER = 1000  # epochs of a peer by its own settings, which is stopped from outside


class Record:
    """Writes images seen and the ELBO of the 10,000 validation images to metrics.csv, a row an epoch.

    encode: images (B, 1, 28, 28) -> (mu, logvar) of their codes, (B, D); decode: codes -> probabilities of the pixels
    """

    def __init__(self, cfg: DictConfig, folder: Path):
        source = build.make(cfg.data.source, "data")
        binary, _ = draw_binary(source.val.images, source.test.images)
        self.val, self.path, self.images = torch.from_numpy(binary).float() / 255, folder / "metrics.csv", 0
        self.path.write_text("images_seen,val/elbo\n")

    @torch.no_grad()
    def epoch(self, encode: Callable[[Tensor], tuple[Tensor, Tensor]], decode: Callable[[Tensor], Tensor]) -> None:
        """Ends an epoch: one draw of the code for each image."""
        self.images, total = self.images + TRAINING, 0.0
        for x in self.val.split(500):
            mu, logvar = encode(x)
            pixels = decode(mu + torch.randn_like(mu) * torch.exp(0.5 * logvar))
            recon = functional.binary_cross_entropy(pixels, x, reduction="sum")
            total += float(recon + 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum())
        with self.path.open("a") as file:
            csv.writer(file).writerow([self.images, -total / len(self.val)])


def pytorch_examples(cfg: DictConfig, recipe: bool, folder: Path) -> None:
    """The loop and the data path of pytorch/examples, which transforms an image at a time."""
    record = Record(cfg, folder)
    images = MNIST(cfg.data.root, train=True, transform=Compose([ToTensor(), torch.bernoulli]))
    if recipe:
        vae, batch, lr, epochs = peers.Networks(build.vae(cfg)), cfg.data.batch_size, cfg.optimizer.lr, cfg.data.epochs
    else:
        vae, batch, lr, epochs = peers.SmallVAE(cfg.latent_dim), 128, 1e-3, FOR_EVER
    batches = DataLoader(Subset(images, range(TRAINING)), batch, shuffle=True)
    optimizer = torch.optim.Adam(vae.parameters(), lr=lr)
    curve = build.make(cfg.lr_schedule, "lr_schedule") if recipe else lambda done: 1.0
    for epoch in range(epochs):
        for step, (x, _) in enumerate(batches):
            optimizer.param_groups[0]["lr"] = lr * curve((epoch + step / len(batches)) / epochs)
            optimizer.zero_grad()
            loss = peers.summed_loss(vae, x)
            loss.backward()
            optimizer.step()
            if step % 10 == 0:
                print(f"{step}/{len(batches)}: {loss.item() / len(x):.6f}")
        record.epoch(vae.encode, vae.decode)


def pythae(cfg: DictConfig, recipe: bool, folder: Path) -> None:
    """pythae's pipeline. Its schedulers step once an epoch: for the recipe's curve stands the fall of a cosine."""
    record = Record(cfg, folder)
    images = BinaryDraws(MNIST(cfg.data.root, train=True).data[:TRAINING, None] / 255)
    settings = {"per_device_train_batch_size": 64, "learning_rate": 1e-4, "num_epochs": FOR_EVER}
    if recipe:
        epochs = cfg.data.epochs
        settings |= {"per_device_train_batch_size": cfg.data.batch_size, "num_epochs": epochs}
        settings |= {"learning_rate": cfg.optimizer.lr, "scheduler_cls": "CosineAnnealingLR"}
        settings |= {"scheduler_params": {"T_max": epochs}}
    model = peers.pythae_vae(cfg, peers.Networks(build.vae(cfg)) if recipe else None)

    def measure(_: torch.nn.Module) -> None:
        def encode(x: Tensor) -> tuple[Tensor, Tensor]:
            found = model.encoder(x)
            return found.embedding, found.log_covariance

        record.epoch(encode, lambda z: model.decoder(z).reconstruction)

    peers.pythae_training(model, images, folder, settings, on_epoch=measure)


class BinaryDraws(Dataset):
    """Images (N, C, H, W) in [0, 1] in pythae's form, each pixel drawn anew when an image is taken."""

    def __init__(self, images: Tensor):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        from pythae.data.datasets import DatasetOutput

        return DatasetOutput(data=torch.bernoulli(self.images[index]))


PEERS = {"pytorch_examples": pytorch_examples, "pythae": pythae}


def main() -> None:
    """Trains the peer that the command line names, until its epochs are over or it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contestants", description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--folder", type=Path, required=True, help="for metrics.csv, and what the peer leaves")
    parser.add_argument("--recipe", choices=("mlp", "conv"), help="our network, optimiser and schedule")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    PEERS[args.peer](composed(f"model={args.recipe or 'mlp'}", "latent_dim=16"), args.recipe is not None, args.folder)


if __name__ == "__main__":
    try:
        main()
    except (UserError, peers.MissingError) as error:
        sys.exit(str(error))
