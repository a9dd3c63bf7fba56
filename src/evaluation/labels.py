"""Labels of images by a conditional run: Bayes' rule, and how far what the run makes is of the label that was asked."""

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from src.build import Run
from src.data.batches import Batch
from src.data.sources import Split
from src.inference.importance import log_mean_weight, log_weights
from src.inference.labels import log_frequencies, with_each_label
from src.models.vae import VAE
from src.support.noise import Noise

SAMPLES = 8  # codes of an image for each label, from which p(x|y) is estimated


def log_prior(run: Run) -> Tensor:
    """log p(y) of the classes of a run's data set, (labels,), by their frequencies among the training images."""
    source = run.data.source
    return log_frequencies(source.train.labels, len(source.classes)).to(run.device)


@torch.no_grad()
def log_likelihoods(run: Run, images: Split, samples: int = SAMPLES) -> Tensor:
    """Lower bounds of log p(x|y) of prepared images for each label y, (labels, N), the same noise for each label.

    With one sample it is the ELBO; with more, the importance-weighted bound (Burda et al., 2016).
    """
    noise, log_py = Noise(run.seed).at("labels"), log_prior(run)

    def bound(vae: VAE, batch: Batch) -> Tensor:
        return log_mean_weight(log_weights(vae, batch, samples, noise))

    batches = tqdm(run.batches(images), "labels", unit="batch", disable=None, leave=False, delay=1)
    return torch.cat([with_each_label(bound, run.vae, batch, log_py) for batch in batches], 1)


def infer_labels(run: Run, images: np.ndarray) -> np.ndarray:
    """The likeliest label of each of the prepared images (N, C, H, W) of a conditional run, (N,); zeros of another.

    Images that are not of the run's data set have no label that the model could be given.
    """
    zeros = np.zeros(len(images), np.int64)
    if run.vae.condition is None:
        return zeros
    log_px = log_likelihoods(run, Split(images, zeros))
    return (log_px + log_prior(run)[:, None]).argmax(0).cpu().numpy()
