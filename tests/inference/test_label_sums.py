"""Sums over labels: exact identities of log p(x), log p(x, y) and p(y|x), in float64."""

import numpy as np
import pytest
import torch

from src.data.batches import Batch
from src.inference.importance import log_mean_weight, log_weights
from src.inference.labels import label_posterior, log_frequencies, log_marginal, with_each_label
from src.support.noise import Noise
from src.tasks.evaluate.labels import joint_elbo
from tests.helpers.models import conditional

pytestmark = pytest.mark.usefixtures("float64")
TRAINED = np.array([0, 0, 0, 1, 3, 3])  # labels of the training images: the third does not occur


def test_frequencies_are_those_of_the_training_images():
    expected = torch.tensor([3 / 6, 1 / 6, 0, 2 / 6])
    torch.testing.assert_close(log_frequencies(TRAINED, 4).exp(), expected)


def test_a_bound_of_log_p_of_x_and_y_adds_log_p_of_y():
    """ELBO(x, y) = ELBO(x|y) + log p(y), exactly."""
    elbo, labels = np.array([-3.0, -5.0, -7.0]), np.array([1, 0, 3])
    expected = elbo + np.log([1 / 6, 3 / 6, 2 / 6])
    assert np.array_equal(joint_elbo(elbo, labels, log_frequencies(TRAINED, 4)), expected)


def test_each_label_is_what_a_batch_of_that_label_gives():
    torch.manual_seed(0)
    vae, log_py = conditional().requires_grad_(False), log_frequencies(TRAINED, 4)
    batch = Batch(torch.rand(5, 1, 4, 4).round(), torch.tensor([3, 2, 1, 0, 0]), torch.arange(5))

    def bound(vae, batch):
        return log_mean_weight(log_weights(vae, batch, 3, Noise(1)))

    log_px = with_each_label(bound, vae, batch, log_py)
    for label in (0, 1, 3):
        torch.testing.assert_close(log_px[label], bound(vae, batch._replace(y=torch.full((5,), label))))
    shares = label_posterior(log_px, log_py)
    torch.testing.assert_close(shares.sum(0), torch.ones(5))
    assert not shares[2].any()
    # p(y|x) p(x) = p(y) p(x|y)
    joint = (log_px + log_py[:, None])[[0, 1, 3]]
    torch.testing.assert_close((shares.log() + log_marginal(log_px, log_py))[[0, 1, 3]], joint)
    torch.testing.assert_close(log_marginal(log_px, log_py).exp(), joint.exp().sum(0))
