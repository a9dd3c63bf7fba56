"""Simulation-based calibration on a VAE whose posterior is known, and reliability against torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from src.inference.calibration import DRAWS, coverage, p_values, ranks, reliability
from src.support.noise import Noise
from tests.helpers.models import linear_gaussian


@pytest.mark.usefixtures("float64")
def test_ranks_under_the_true_posterior_are_uniform():
    vae, _ = linear_gaussian()
    found = ranks(vae, torch.zeros(2000, dtype=torch.long), Noise(0))
    assert found.shape == (2000, 3)
    assert found.min() == 0 and found.max() == DRAWS
    assert (p_values(found) > 0.001).all()
    share = coverage(found)
    assert share.mean() == pytest.approx(0.9, abs=4 * share.std() / len(share) ** 0.5)


@pytest.mark.usefixtures("float64")
def test_ranks_under_a_wrong_posterior_are_not():
    vae, _ = linear_gaussian(error=0.5)
    found = ranks(vae, torch.zeros(2000, dtype=torch.long), Noise(0))
    assert (p_values(found) < 1e-6).all()
    assert coverage(found).mean() < 0.8


@pytest.mark.usefixtures("float64")
def test_a_posterior_that_is_too_wide_covers_too_much():
    vae, _ = linear_gaussian()
    with torch.no_grad():
        vae.encoder[1].bias[3:] += 2
    assert coverage(ranks(vae, torch.zeros(500, dtype=torch.long), Noise(0))).mean() > 0.98


@pytest.mark.usefixtures("float64")
def test_simulations_leave_the_random_numbers_alone_and_come_out_again():
    vae, _ = linear_gaussian()
    state = torch.get_rng_state()
    assert (
        ranks(vae, torch.zeros(100, dtype=torch.long), Noise(3))
        == ranks(vae, torch.zeros(100, dtype=torch.long), Noise(3))
    ).all()
    assert (
        ranks(vae, torch.zeros(100, dtype=torch.long), Noise(3))
        != ranks(vae, torch.zeros(100, dtype=torch.long), Noise(4))
    ).any()
    assert torch.equal(state, torch.get_rng_state())


def test_central_ranks_are_inside():
    central = np.arange(5, DRAWS - 4)
    assert coverage(central[:, None]).all()
    assert not coverage(np.array([[4], [DRAWS - 4]])).any()
    assert coverage(np.arange(DRAWS + 1)[:, None]).mean() == pytest.approx(0.9)


def test_reliability_is_torchmetrics():
    torch.manual_seed(0)
    p = torch.rand(4, 1, 28, 28) ** 3
    x = (torch.rand_like(p) < p**1.5).float()
    found = reliability(p.numpy(), x.numpy())
    assert found.pixels.sum() == p.numel()
    expected = binary_calibration_error(p.flatten(), x.flatten().int(), n_bins=20, norm="l1").item()
    assert found.error() == pytest.approx(expected, abs=1e-5)
    assert found.error() > 0.05


def test_reliability_leaves_empty_bins_out():
    found = reliability(np.array([0.02, 0.03, 1.0]), np.array([0, 1, 1]))
    assert found.pixels.tolist() == [2, 1]
    assert found.predicted == pytest.approx([0.025, 1.0])
    assert found.observed == pytest.approx([0.5, 1.0])
