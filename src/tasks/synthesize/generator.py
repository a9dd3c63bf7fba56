"""Labelled synthetic images from a Gaussian of the codes of each class, and what is needed to judge them."""

import math

import numpy as np
import torch
from lightning.pytorch import Trainer
from omegaconf import DictConfig
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn import functional

from src import build
from src.data.batches import EVALUATION_BATCH, EvaluationBatches
from src.data.module import ImageData
from src.data.pixels import SEEDS, as_bytes, prepare, required_pixels
from src.data.sources import Images, Split
from src.inference.metrics import nearest
from src.models.vae import VAE
from src.support.noise import Noise
from src.training.checkpoints import Average

RIDGE, TINY = 1e-3, 1e-9  # added to the variances of a singular covariance: a share of their mean, and a constant
SHIFT, ANGLE, SCALE = 0.07, math.radians(12), 0.1  # the largest augmentation: share of a side, radians, share


def train_vae(cfg: DictConfig, train: Split, steps: int, seed: int, device: torch.device) -> VAE:
    """Train the VAE of a run's configuration on these images (uint8) alone, in about `steps` steps.

    It is trained as the run was, with its objective, optimizer and schedules, except that batches are smaller where
    there are fewer images.
    """
    cfg = cfg.copy()
    cfg.seed = seed
    module = build.module(cfg, [])
    nothing = Split(train.images[:0], train.labels[:0])
    images = Images("part", "", (), train, nothing, nothing)
    size = min(cfg.data.batch_size, len(train.images))
    options = cfg.trainer
    trainer = Trainer(
        max_epochs=max(1, round(steps / (len(train.images) // size))),
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision=options.precision if device.type == "cuda" else "32-true",
        gradient_clip_val=options.gradient_clip_val,
        callbacks=[] if options.ema is None else [Average(options.ema)],
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    pixels = required_pixels(module.vae.likelihood, cfg.data.binarize)
    trainer.fit(module, ImageData(images, pixels, size, seed))
    return module.vae.to(device).eval()


@torch.no_grad()
def class_densities(vae: VAE, train: Split, pixels: str, seed: int) -> dict[int, MultivariateNormal]:
    """The Gaussian of the codes of each class, by label, from one draw of q(z|x) for each image (uint8) of the class.

    The covariance is shrunk towards a multiple of I, more for fewer codes (Ledoit & Wolf, 2004). Each class must have
    two images or more.

    pixels: how images are prepared for the VAE, as for ImageData
    """
    from sklearn.covariance import LedoitWolf

    device = next(vae.parameters()).device
    images = torch.from_numpy(prepare(train.images, pixels, SEEDS["train"])).to(device)
    parts = []
    for batch in EvaluationBatches(images, torch.from_numpy(train.labels).to(device)):
        eps = Noise(seed).normal(batch.index, 1, vae.latent_dim, like=batch.x)
        parts.append(vae.given(batch.y).encode(batch.x).rsample_and_log_prob(eps)[0][0].cpu())
    codes = torch.cat(parts).double().numpy()
    densities = {}
    for label in np.unique(train.labels).tolist():
        fit = LedoitWolf().fit(codes[train.labels == label])
        covariance = torch.from_numpy(fit.covariance_)
        if torch.linalg.cholesky_ex(covariance).info:  # from two codes, which do not determine the shrinkage
            covariance = covariance + (RIDGE * covariance.diagonal().mean() + TINY) * torch.eye(len(covariance))
        densities[label] = MultivariateNormal(torch.from_numpy(fit.location_), covariance)
    return densities


@torch.no_grad()
def generate(vae: VAE, densities: dict[int, MultivariateNormal], per_class: int, seed: int) -> Split:
    """Make `per_class` images (uint8) of each class, one class after the other, at codes drawn from the density of the
    class: the means of p(x|z), or draws where they have no closed form. The first ones do not depend on `per_class`."""
    parameter = next(vae.parameters())
    # whole batches, so that the draws of an image do not depend on how many are made
    count = -(-per_class // EVALUATION_BATCH) * EVALUATION_BATCH if vae.averages_draws else per_class
    images = []
    with torch.random.fork_rng(devices=[parameter.device] if parameter.is_cuda else []):
        for label, density in densities.items():
            torch.manual_seed(Noise(seed).at("synthetic", label).seed)
            eps = Noise(seed).at("synthetic", label).normal(torch.arange(count), vae.latent_dim, like=density.loc)
            z = (density.loc + eps @ density.scale_tril.T).to(parameter)
            chunks = [as_bytes(vae.decode(chunk).typical()) for chunk in z.split(EVALUATION_BATCH)]
            images.append(np.concatenate(chunks)[:per_class])
    return Split(np.concatenate(images), np.repeat(list(densities), per_class).astype(np.int64))


def make_images(vae: VAE, train: Split, pixels: str, per_class: int, seed: int) -> Split:
    """Make `per_class` images of each class of these training images: by `generate` from the densities of the codes of
    the classes, or by a conditional model itself, from its prior."""
    if vae.condition is None:
        return generate(vae, class_densities(vae, train, pixels, seed), per_class, seed)
    return generate_from_prior(vae, np.unique(train.labels), per_class, seed)


@torch.no_grad()
def generate_from_prior(vae: VAE, labels: np.ndarray, per_class: int, seed: int) -> Split:
    """What `generate` makes, by a conditional model: the means of p(x|z, y), or draws, at codes from its prior."""
    device, images = next(vae.parameters()).device, []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for label in labels.tolist():
            torch.manual_seed(Noise(seed).at("synthetic", label).seed)
            given = vae.given(torch.full((EVALUATION_BATCH,), label, device=device))
            chunks = [as_bytes(given.sample(EVALUATION_BATCH)) for _ in range(-(-per_class // EVALUATION_BATCH))]
            images.append(np.concatenate(chunks)[:per_class])
    return Split(np.concatenate(images), np.repeat(labels, per_class).astype(np.int64))


def augment(x: Tensor, shift: float = SHIFT, angle: float = ANGLE, scale: float = SCALE) -> Tensor:
    """Turn, scale and shift each image (B, C, H, W) at random; drawn from torch's generator.

    An image is turned by up to `angle` in radians, scaled by up to 1 +- `scale`, and shifted by up to the share `shift`
    of its sides, uniformly. It is not flipped, since flips make other digits.
    """
    u = 2 * torch.rand(5, len(x), device=x.device) - 1
    turn, across, down = angle * u[0], 1 + scale * u[1], 1 + scale * u[2]
    ratio = x.shape[-2] / x.shape[-1]  # a grid's unit is half a side, and a turn keeps lengths in pixels
    first = torch.stack([turn.cos() * across, -turn.sin() * down * ratio, 2 * shift * u[3]], 1)
    second = torch.stack([turn.sin() * across / ratio, turn.cos() * down, 2 * shift * u[4]], 1)
    grid = functional.affine_grid(torch.stack([first, second], 1), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def distances(images: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each image (S, C, H, W) uint8 the index of the nearest of `among`, and its Euclidean distance, with
    intensities in [0, 1]."""
    index = nearest(images, among)
    difference = images.astype(np.float32) - among[index]
    return index, np.linalg.norm(difference.reshape(len(difference), -1), axis=1) / 255
