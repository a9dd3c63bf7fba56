"""Calibration of probabilities: of q(z|x) by simulation, of the decoder's pixels by counting."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from src.models.vae import VAE
from src.support.noise import Noise

BINS = 20  # bins of the ranks' histogram, and of the predicted probabilities
DRAWS = 5 * BINS - 1  # codes from q for each image, so that the DRAWS + 1 ranks fill the bins evenly
CHUNK = 100  # codes from the prior that are simulated at once


@torch.no_grad()
def ranks(vae: VAE, labels: Tensor, noise: Noise) -> np.ndarray:
    """Ranks of simulation-based calibration (Talts et al., 2018), (N, D) from 0 to DRAWS.

    For z ~ p(z) and x ~ p(x|z), the rank in each dimension is the number of DRAWS codes from q(z|x) that are below z.
    Ranks are uniform if q(z|x) is the model's posterior; the lowest and highest are too frequent if q is too narrow.

    labels: (N,) of the simulated images, on the device of the VAE
    """
    parts, device = [], next(vae.parameters()).device
    with torch.random.fork_rng():
        torch.manual_seed(noise.at("simulated images").seed)
        z = vae.given(labels).sample_codes(len(labels))
        pairs = list(zip(z.split(CHUNK), labels.split(CHUNK), strict=True))
        for part, y in tqdm(pairs, desc="simulations", unit="batch", disable=None, leave=False, delay=1):
            model = vae.given(y)
            x = model.decode(part).sample()
            eps = torch.randn(DRAWS, *part.shape, device=device, dtype=part.dtype)
            codes, _ = model.encode(x).rsample_and_log_prob(eps)
            parts.append((codes < part).sum(0).cpu())
    return torch.cat(parts).numpy()


def p_values(ranks: np.ndarray) -> np.ndarray:
    """The p-values of the chi-square test that the ranks (N, D) of a dimension are uniform, (D,)."""
    from scipy.stats import chisquare

    return np.array([chisquare(np.bincount(column * BINS // (DRAWS + 1), minlength=BINS)).pvalue for column in ranks.T])


def coverage(ranks: np.ndarray, share: float = 0.9) -> np.ndarray:
    """The share of an image's dimensions whose true code is in the central `share` of q, (N,) from ranks (N, D)."""
    outside = round((1 - share) / 2 * (DRAWS + 1))
    return ((ranks >= outside) & (ranks <= DRAWS - outside)).mean(1)


class Reliability(NamedTuple):
    """For each bin of predicted probabilities: their mean, the frequency of white pixels, and the number of pixels."""

    predicted: np.ndarray
    observed: np.ndarray
    pixels: np.ndarray

    def error(self) -> float:
        """The expected calibration error: the mean over pixels of |observed - predicted| of their bin."""
        return float(np.average(np.abs(self.observed - self.predicted), weights=self.pixels))


def reliability(probability: np.ndarray, x: np.ndarray, bins: int = BINS) -> Reliability:
    """Predicted probabilities against binary pixels, of one shape, in bins of equal width without the empty ones."""
    probability, x = probability.ravel(), x.ravel()
    place = np.minimum((probability * bins).astype(int), bins - 1)
    pixels = np.bincount(place, minlength=bins)
    filled = pixels > 0
    sums = (np.bincount(place, weights=values, minlength=bins)[filled] for values in (probability, x))
    predicted, observed = (total / pixels[filled] for total in sums)
    return Reliability(predicted, observed, pixels[filled])
