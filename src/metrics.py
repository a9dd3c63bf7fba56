"""Numbers that describe a VAE."""

import math

import numpy as np
import torch

ACTIVE = 0.01  # variance of the posterior mean over images, above which a dimension counts (Burda et al., 2016)


def active_units(means: np.ndarray) -> int:
    """How many latent dimensions vary with the image: Var_x(E_q[z_d | x]) > 0.01, from posterior means (N, D)."""
    return int((means.var(0, dtype=np.float64) > ACTIVE).sum())


def nearest(images: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each image (S, C, H, W) the index of its nearest in squared pixel distance, found in blocks of `among`."""
    a = torch.from_numpy(images).flatten(1).float()
    distances = [
        (b.square().sum(1) - 2 * a @ b.T) for b in (c.flatten(1).float() for c in torch.from_numpy(among).split(5000))
    ]
    return torch.cat(distances, 1).argmin(1).numpy()


def bits_per_dim(nats: float, pixels: int, density: bool) -> float:
    """Bits a pixel of 256 grey levels costs, from the nats of an image of so many pixels.

    A density speaks of (k + u) / 256, and bounds the probability of the level k by itself / 256 (Theis et al., 2016).
    """
    return nats / pixels / math.log(2) + 8 * density
