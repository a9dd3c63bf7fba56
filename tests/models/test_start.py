"""The start of a decoder at the mean of the training images."""

import logging

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Laplace, constraints

from src import build
from src.data.module import ImageData
from src.data.pixels import Pixels, smoothed_mean
from src.data.sources import Images, Split
from src.inference.metrics import mean_image_cost
from src.models.images import FLOOR
from src.models.likelihoods import Bernoulli
from src.models.posteriors import Gaussian
from src.models.priors import Standard
from src.models.vae import VAE
from src.training.objectives import ELBO
from tests.helpers.models import FACTORISED, LIKELIHOODS

pytestmark = pytest.mark.usefixtures("float64")


class Zeros(nn.Module):
    """A decoder whose output is zero."""

    def __init__(self, features, shape):
        super().__init__()
        self.shape = shape

    def forward(self, z):
        return z.new_zeros(len(z), *self.shape)


class OwnLikelihood(nn.Module):
    """A likelihood that does not know its raw numbers for a mean."""

    channels = 1
    support = constraints.real

    def forward(self, raw):
        return Independent(Laplace(raw, 0.1), 3)


def with_zeros(likelihood, start="data", channels=1):
    def encoder(shape, out_features):
        return nn.Sequential(nn.Flatten(), nn.Linear(16 * channels, out_features))

    return VAE((channels, 4, 4), 2, encoder, Zeros, Gaussian(2), Standard(2), likelihood, start)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", FACTORISED)
def test_a_decoder_whose_output_is_zero_starts_at_the_mean(name, channels):
    vae = with_zeros(FACTORISED[name](), channels=channels).eval()
    mean = torch.linspace(2.1 * FLOOR, 1 - 2.1 * FLOOR, 16 * channels).view(channels, 4, 4)
    vae.start_at(mean)
    decoded = vae.decode(torch.randn(3, 2)).mean
    torch.testing.assert_close(decoded, mean.expand(3, -1, -1, -1), atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_pixels_that_are_always_black_or_white_start_at_finite_numbers_with_a_gradient(name):
    vae = with_zeros(LIKELIHOODS[name]()).eval()
    vae.start_at(torch.tensor([0.5, 50_000.5]).repeat(8).view(1, 4, 4) / 50_001)
    assert vae.offset.isfinite().all()
    raw = vae.offset.clone()[None].requires_grad_()
    px = vae.likelihood(raw)
    px.log_prob(torch.full((1, 1, 4, 4), 0.5)).sum().backward()
    assert (raw.grad[:, :1].abs() > 0).all()
    assert px.mean.min() < 0.01 and px.mean.max() > 0.99


def test_an_untrained_model_costs_what_the_mean_image_does():
    images = np.random.default_rng(0).integers(0, 256, (200, 1, 4, 4)).astype(np.uint8)
    images[..., 0, 0] = 0
    binary = (images > 127).astype(np.uint8) * 255
    x = torch.from_numpy(binary / 255)
    costs = {}
    for start in ("data", "zero"):
        vae = with_zeros(Bernoulli(), start)
        if start == "data":
            vae.start_at(torch.from_numpy(smoothed_mean(images)))
        costs[start] = ELBO()(vae, x, torch.randn(1, 200, 2)).recon.mean().item()
    assert costs["data"] == pytest.approx(mean_image_cost(images, binary), abs=1e-9)
    assert costs["zero"] == pytest.approx(16 * np.log(2), abs=1e-9)


def test_a_vae_without_an_offset_has_the_weights_of_earlier_versions():
    assert "offset" not in with_zeros(Bernoulli(), "zero").state_dict()
    with pytest.raises(TypeError, match="start=data"):
        with_zeros(Bernoulli(), "zero").start_at(torch.full((1, 4, 4), 0.5))


def test_a_likelihood_without_raw_of_mean_starts_at_zero_and_says_so(caplog):
    vae, train = with_zeros(OwnLikelihood()), Split(np.zeros((2, 1, 4, 4), np.uint8), np.zeros(2, np.int64))
    images = Images("own", "here", ("0",), train, train, train)
    with caplog.at_level(logging.INFO, "src.build"):
        build.start_at_mean(vae, ImageData(images, Pixels.LEVELS, 2, 0))
    assert "OwnLikelihood has no raw_of_mean" in caplog.text
    assert not vae.offset.any()
