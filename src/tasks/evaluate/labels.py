"""Numbers of a conditional model: the accuracy of p(y|x), by Bayes' rule, and bounds on log p(x) beside log p(x|y)."""

import numpy as np
import torch
from torch import Tensor

from src.build import Run
from src.data.sources import Split
from src.evaluation.labels import SAMPLES, log_likelihoods, log_prior
from src.inference.labels import log_marginal
from src.support.statistics import Estimate, estimate


def joint_elbo(elbo: np.ndarray, labels: np.ndarray, log_py: Tensor) -> np.ndarray:
    """ELBO(x, y) = ELBO(x|y) + log p(y), (N,) nats, from ELBO(x|y) (N,) of images with labels (N,): a bound on
    log p(x, y), and so on log p(x), as that of a model without labels is."""
    return elbo + log_py.cpu().numpy()[labels]


def of_labels(run: Run, images: Split, elbo: np.ndarray) -> dict[str, Estimate]:
    """`elbo_joint` of `joint_elbo`; -log p(x) = -log sum_y p(y) p(x|y) from SAMPLES codes of each label; and how often
    the label of the largest p(y) p(x|y) is that of the image.

    elbo: ELBO(x|y) of each image, (N,)
    """
    log_py, labels = log_prior(run), torch.from_numpy(images.labels)
    joint = joint_elbo(elbo, images.labels, log_py)
    log_px = log_likelihoods(run, images)
    likeliest = (log_px + log_py[:, None]).argmax(0).cpu()
    return {
        **({"elbo_joint": estimate(joint)} if np.isfinite(joint).all() else {}),  # all labels occur in training
        f"nll_{SAMPLES}_any_label": estimate(-log_marginal(log_px, log_py).cpu().numpy()),
        "bayes_accuracy": estimate((likeliest == labels).double().numpy()),
    }
