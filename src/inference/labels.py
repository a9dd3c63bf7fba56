"""Sums over the labels of a conditional model: log p(x) = log sum_y p(y) p(x|y), and p(y|x). Nats per image.

The caller puts the VAE in evaluation mode. Any bound on log p(x|y) gives one on log p(x), and one on log p(x, y) =
log p(x|y) + log p(y), which is at most log p(x).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from src.data.batches import Batch
from src.models.vae import VAE


def log_frequencies(labels: np.ndarray, count: int) -> Tensor:
    """log p(y) of `count` labels, (count,) in float64, from labels (N,); minus infinity for those that do not occur."""
    return torch.from_numpy(np.bincount(labels, minlength=count) / len(labels)).log()


def with_each_label(function: Callable[[VAE, Batch], Tensor], vae: VAE, batch: Batch, log_py: Tensor) -> Tensor:
    """`function` (B,) of a batch whose images all have the label y, for each y, (labels, B) in float64.

    Labels that do not occur, of which log p(y) is minus infinity, have zeros.
    """
    rows = [torch.zeros(len(batch.x), dtype=torch.float64, device=batch.x.device)] * len(log_py)
    for label in log_py.isfinite().nonzero()[:, 0].tolist():
        rows[label] = function(vae, batch._replace(y=torch.full_like(batch.y, label))).double()
    return torch.stack(rows)


def log_marginal(log_px: Tensor, log_py: Tensor) -> Tensor:
    """log p(x) = log sum_y p(y) p(x|y), (B,), from log p(x|y) (labels, B) and log p(y) (labels,)."""
    return (log_px + log_py.to(log_px)[:, None]).logsumexp(0)


def label_posterior(log_px: Tensor, log_py: Tensor) -> Tensor:
    """p(y|x), (labels, B), by Bayes' rule from log p(x|y) (labels, B) and log p(y) (labels,)."""
    return (log_px + log_py.to(log_px)[:, None]).softmax(0)
