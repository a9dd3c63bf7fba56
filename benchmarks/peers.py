"""Other people's ways to train the same VAE, each with its own data path, as its users run it.

A side trains until its stopwatch has seen enough, and returns the network it trained.
"""

from collections.abc import Callable
from pathlib import Path

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

from benchmarks.stopwatch import StopsAfter, Stopwatch
from src import build
from src.vae import VAE


class MissingError(Exception):
    """A peer that is not installed, and how to install it."""


class EnoughError(Exception):
    """Leaves a training loop that knows no other end."""


def loader(cfg: DictConfig) -> DataLoader:
    """Shuffled MNIST as torchvision serves it: one PIL image at a time, turned into a tensor, then collated."""
    return DataLoader(MNIST(cfg.data.root, train=True, transform=ToTensor()), cfg.data.batch_size, shuffle=True)


class SmallVAE(nn.Module):
    """The VAE of pytorch/examples: 784-400-20-400-784 with ReLU, probabilities out of a sigmoid."""

    def __init__(self, latent_dim: int = 20):
        super().__init__()
        self.hidden = nn.Linear(784, 400)
        self.mu, self.logvar = nn.Linear(400, latent_dim), nn.Linear(400, latent_dim)
        self.decoder = nn.Sequential(nn.Linear(latent_dim, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = functional.relu(self.hidden(x.flatten(1)))
        return self.mu(hidden), self.logvar(hidden)

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z).unflatten(1, (1, 28, 28))


class Networks(nn.Module):
    """Our networks in the place of a peer's: images -> (mu, logvar), codes -> probabilities."""

    def __init__(self, vae: VAE):
        super().__init__()
        self.encoder, self.decoder = vae.encoder, vae.decoder

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.encoder(x).chunk(2, -1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.decoder(z))


def summed_loss(vae: SmallVAE | Networks, x: Tensor) -> Tensor:
    """The loss of pytorch/examples: the negative ELBO of images x (B, 1, 28, 28), summed over the batch, in nats."""
    mu, logvar = vae.encode(x)
    scale = torch.exp(0.5 * logvar)
    pixels = vae.decode(mu + torch.randn_like(scale) * scale)
    recon = functional.binary_cross_entropy(pixels, x, reduction="sum")
    return recon - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def pytorch_examples(cfg: DictConfig, folder: Path, watch: Stopwatch) -> nn.Module:
    """The loop of pytorch/examples: its own network, losses summed over the batch, read at each step, printed at
    each tenth."""
    vae, batches = SmallVAE().train(), loader(cfg)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
    while True:
        total = 0.0
        for step, (x, _) in enumerate(batches):
            optimizer.zero_grad()
            loss = summed_loss(vae, x)
            loss.backward()
            total += loss.item()
            optimizer.step()
            if step % 10 == 0:
                print(f"{step}/{len(batches)}: {loss.item() / len(x):.6f}")
            if watch.lap(len(x)):
                return vae


class Ordinary(lightning.LightningModule):
    """A VAE as it is commonly written for Lightning: everything is logged at each step."""

    def __init__(self, vae: VAE):
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
    model = pythae_vae(cfg, Networks(build.vae(cfg)))
    try:
        pythae_training(model, images, folder, settings, on_step=step)
    except EnoughError:
        return model
    raise AssertionError("pythae ended before it was stopped")


def pythae_vae(cfg: DictConfig, networks: Networks | None) -> nn.Module:
    """pythae's VAE with a Bernoulli likelihood, with the networks given or else its own.

    Raises MissingError where it is not installed.
    """
    try:
        from pythae.models import VAE as PythaeVAE  # noqa: N811
        from pythae.models import VAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
    except ImportError as error:
        raise MissingError("not installed: pip install -e '.[bench]'") from error

    class Encoder(BaseEncoder):
        def __init__(self, networks: Networks):
            super().__init__()
            self.networks = networks

        def forward(self, x: Tensor) -> ModelOutput:
            mu, logvar = self.networks.encode(x)
            return ModelOutput(embedding=mu, log_covariance=logvar)

    class Decoder(BaseDecoder):
        def __init__(self, networks: Networks):
            super().__init__()
            self.networks = networks

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.networks.decode(z))

    options = VAEConfig(input_dim=tuple(cfg.data.shape), latent_dim=cfg.latent_dim, reconstruction_loss="bce")
    if networks is None:
        return PythaeVAE(options)
    return PythaeVAE(options, Encoder(networks), Decoder(networks))


def pythae_training(
    model: nn.Module,
    images: Tensor | Dataset,
    folder: Path,
    settings: dict,
    on_step: Callable[[nn.Module], None] = lambda model: None,
    on_epoch: Callable[[nn.Module], None] = lambda model: None,
) -> None:
    """Trains pythae's model with its pipeline, with `settings` of its BaseTrainerConfig, on the CPU."""
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class Watch(TrainingCallback):
        def on_train_step_end(self, training_config: BaseTrainerConfig, **_: object) -> None:
            on_step(model)

        def on_epoch_end(self, training_config: BaseTrainerConfig, **_: object) -> None:
            on_epoch(model)

    training = BaseTrainerConfig(output_dir=str(folder), no_cuda=True, **settings)
    TrainingPipeline(model, training)(images, callbacks=[Watch()])
