"""Labelled synthetic images, from a Gaussian of each class's codes; and what it takes to judge them."""

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
from src.support import noise
from src.training.checkpoints import Average

RIDGE, TINY = 1e-3, 1e-9  # added to the variances of codes without which they are singular: of their mean, and at least
SHIFT, ANGLE, SCALE = 0.07, math.radians(12), 0.1  # classic augmentation, at most: share of a side, radians, factor


def fitted(cfg: DictConfig, train: Split, steps: int, seed: int, device: torch.device) -> VAE:
    """The VAE of a run's configuration, trained on these images (uint8) alone, in about so many steps: as the run was,
    with its objective, optimizer and schedules, but for smaller batches where there are fewer images."""
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
    """For each class the Gaussian of its codes, one drawn from q(z|x) for each of its images (uint8), with their
    covariance shrunk towards a multiple of I as far as their number asks for (Ledoit & Wolf, 2004).

    pixels: how images are prepared for the VAE, as for ImageData. Each class must have two images or more
    """
    from sklearn.covariance import LedoitWolf

    device = next(vae.parameters()).device
    images = torch.from_numpy(prepare(train.images, pixels, SEEDS["train"])).to(device)
    codes = []
    for batch in EvaluationBatches(images, torch.from_numpy(train.labels).to(device)):
        drawn = noise.normal(seed, batch.index, (1, vae.latent_dim)).transpose(0, 1).to(batch.x)
        codes.append(vae.encode(batch.x).rsample_and_log_prob(drawn)[0][0].cpu())
    codes = torch.cat(codes).double().numpy()
    found = {}
    for label in np.unique(train.labels).tolist():
        fit = LedoitWolf().fit(codes[train.labels == label])
        covariance = torch.from_numpy(fit.covariance_)
        if torch.linalg.cholesky_ex(covariance).info:  # of two codes, which say nothing of how far to shrink
            covariance = covariance + (RIDGE * covariance.diagonal().mean() + TINY) * torch.eye(len(covariance))
        found[label] = MultivariateNormal(torch.from_numpy(fit.location_), covariance)
    return found


@torch.no_grad()
def synthesized(vae: VAE, densities: dict[int, MultivariateNormal], per_class: int, seed: int) -> Split:
    """`per_class` images (uint8) of each class, one class after the other: the means of p(x|z) at codes drawn from the
    class's density. The first of them do not depend on how many there are."""
    parameter = next(vae.parameters())
    images = []
    for label, density in densities.items():
        drawn = noise.normal(noise.seed_of(seed, "synthetic", label), torch.arange(per_class), (vae.latent_dim,))
        z = (density.loc + drawn.double() @ density.scale_tril.T).to(parameter)
        images += [as_bytes(vae.decode(chunk).mean) for chunk in z.split(EVALUATION_BATCH)]
    return Split(np.concatenate(images), np.repeat(list(densities), per_class).astype(np.int64))


def classic(x: Tensor) -> Tensor:
    """Each image (B, C, H, W) turned by up to 12 degrees, scaled by up to 10 % and shifted by up to 7 % of its sides,
    uniformly; drawn from torch's generator. No flips: they make other digits."""
    u = 2 * torch.rand(5, len(x), device=x.device) - 1
    angle, across, down = ANGLE * u[0], 1 + SCALE * u[1], 1 + SCALE * u[2]
    ratio = x.shape[-2] / x.shape[-1]  # a grid's unit is half a side, and a turn keeps lengths in pixels
    first = torch.stack([angle.cos() * across, -angle.sin() * down * ratio, 2 * SHIFT * u[3]], 1)
    second = torch.stack([angle.sin() * across / ratio, angle.cos() * down, 2 * SHIFT * u[4]], 1)
    grid = functional.affine_grid(torch.stack([first, second], 1), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def distances(images: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each image (S, C, H, W) uint8 the nearest of `among`, its index and its Euclidean distance, with greys in
    [0, 1]."""
    index = nearest(images, among)
    apart = images.astype(np.float32) - among[index]
    return index, np.linalg.norm(apart.reshape(len(apart), -1), axis=1) / 255
