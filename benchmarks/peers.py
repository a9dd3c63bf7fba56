"""Code of other projects: the network and loss of pytorch/examples, the VAE and pipeline of pythae.

This file imports no more than their users do, since their start is timed.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from src.support.errors import UserError


class MissingError(UserError):
    """A peer that is not installed, and how to install it."""


class SmallVAE(nn.Module):
    """The VAE of pytorch/examples: 784-400-20-400-784 with ReLU, whose outputs are probabilities from a sigmoid."""

    def __init__(self, latent_dim: int = 20) -> None:
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

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

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


def pythae_vae(shape: Sequence[int], latent_dim: int, networks: Networks | None = None) -> nn.Module:
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
        def __init__(self, networks: Networks) -> None:
            super().__init__()
            self.networks = networks

        def forward(self, x: Tensor) -> ModelOutput:
            mu, logvar = self.networks.encode(x)
            return ModelOutput(embedding=mu, log_covariance=logvar)

    class Decoder(BaseDecoder):
        def __init__(self, networks: Networks) -> None:
            super().__init__()
            self.networks = networks

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.networks.decode(z))

    options = VAEConfig(input_dim=tuple(shape), latent_dim=latent_dim, reconstruction_loss="bce")
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
    """Train pythae's model with its pipeline, with `settings` of its BaseTrainerConfig, on the CPU."""
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
