"""The proposals of importance sampling, where the encoder is right and where it is not: against quadrature and closed
forms, in float64."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from src.data.batches import Batch
from src.inference import importance, proposals
from src.models.gaussians import DiagonalGaussian, FullGaussian
from src.models.likelihoods import Gaussian as GaussianLikelihood
from src.models.priors import Standard
from src.models.vae import VAE
from src.support.noise import Noise
from tests.helpers.batches import as_batch, select
from tests.helpers.models import POSTERIORS, PRIORS, linear_gaussian

pytestmark = pytest.mark.usefixtures("float64")


class Square(nn.Module):
    """z -> (z_1^2, z_2): codes with -z_1 give the same image, so that posteriors have two modes."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.stack([z[:, 0].square(), z[:, 1]], 1)


def two_modes(posterior: str = "gaussian", prior: str = "standard") -> VAE:
    """A VAE of two latent dimensions whose encoder says the same code of all images, three from the prior's mean."""

    def encoder(shape: tuple, out: int) -> nn.Module:
        layer = nn.Linear(16, out)
        layer.weight.data.zero_()
        layer.bias.data.copy_(torch.tensor([2.5, -2.0, -1.0, -1.0] + [0.0] * (out - 4)))
        return nn.Sequential(nn.Flatten(), layer)

    def decoder(latents: int, shape: tuple) -> nn.Module:
        layer = nn.Linear(2, 16)
        layer.weight.data.copy_(torch.randn(16, 2) * torch.tensor([0.5, 1.0]))
        return nn.Sequential(Square(), layer, nn.Unflatten(1, shape))

    head, likelihood = POSTERIORS[posterior](2), GaussianLikelihood(0.4)
    return VAE((1, 4, 4), 2, encoder, decoder, head, PRIORS[prior](2), likelihood).requires_grad_(False)


def quadrature(vae: VAE, x: torch.Tensor, points: int) -> torch.Tensor:
    """log p(x), (B,), over a grid of the latent plane."""
    line = torch.linspace(-6, 6, points)
    z = torch.cartesian_prod(line, line)
    pixels = vae.decode(z[:, None]).factors()
    joint = torch.stack([pixels.log_prob(image).flatten(2).sum(-1)[:, 0] for image in x], 1)
    joint = joint + vae.prior().log_prob(z)[:, None]
    return joint.logsumexp(0) + 2 * math.log(12 / (points - 1))


@pytest.mark.parametrize(
    ("posterior", "prior"),
    [*(("gaussian", prior) for prior in PRIORS), ("full", "standard"), ("full", "vamp"), ("flow", "coupling")],
)
def test_nll_of_posteriors_that_the_encoder_misses_against_quadrature(posterior, prior):
    vae = two_modes(posterior, prior)
    x = vae.decode(torch.randn(16, 2)).sample()
    fine, coarse = (361, 301) if prior == "vamp" else (241, 201)  # some components of a VampPrior are narrow
    exact = quadrature(vae, x, fine)
    torch.testing.assert_close(quadrature(vae, x, coarse), exact, atol=1e-3, rtol=0)
    batch, noise = as_batch(x), Noise(0)
    alone = importance.refine(vae, batch, noise, importance.encoder_parameters(vae, batch, noise))
    missed = importance.nll(vae, batch, 1000, noise, alone)[0] + exact
    mixture = proposals.propose(vae, batch, noise).mixture
    estimate, effective = importance.nll(vae, batch, 1000, noise, mixture)
    error = estimate + exact
    assert missed.mean() > 0.3  # a mode of two is log 2
    assert abs(error.mean()) < 0.1
    assert (error[effective > 50].abs() < 0.5).all()  # where weights look even, they are


def linear(latents: int, pixels: int) -> tuple[VAE, MultivariateNormal]:
    """Probabilistic PCA, its loadings not orthogonal, whose encoder knows the codes' means and too narrow scales."""
    w, sigma = 0.6 * torch.randn(pixels, latents), 0.5
    covariance = torch.linalg.inv(torch.eye(latents) + w.T @ w / sigma**2)

    def encoder(shape: tuple, out: int) -> nn.Module:
        layer = nn.Linear(pixels, out)
        layer.weight.data.zero_()
        layer.weight.data[:latents] = covariance @ w.T / sigma**2
        layer.bias.data.zero_()
        layer.bias.data[latents:] = (0.7 * covariance.diagonal()).log()
        return nn.Sequential(nn.Flatten(), layer)

    def decoder(inputs: int, shape: tuple) -> nn.Module:
        layer = nn.Linear(latents, pixels, bias=False)
        layer.weight.data.copy_(w)
        return nn.Sequential(layer, nn.Unflatten(1, shape))

    likelihood = GaussianLikelihood(sigma)
    vae = VAE((1, 1, pixels), latents, encoder, decoder, POSTERIORS["gaussian"](latents), Standard(latents), likelihood)
    return vae, MultivariateNormal(torch.zeros(pixels), w @ w.T + sigma**2 * torch.eye(pixels))


def test_nll_in_sixteen_dimensions():
    vae, px = linear(16, 30)
    x = px.sample((40,))
    batch = as_batch(x)
    mixture = proposals.propose(vae, batch, Noise(0)).mixture
    error = importance.nll(vae, batch, 1000, Noise(0), mixture)[0] + px.log_prob(x)
    assert abs(error.mean()) < 0.05
    assert error.std() < 0.2


@pytest.mark.parametrize("samples", [7, 250, 1000])
def test_balanced_weights_are_those_of_the_samples_proportions(samples):
    vae, px = linear_gaussian(error=0.1)
    mixture = proposals.propose(vae, as_batch(px.sample((3,))), Noise(0), steps=5).mixture
    z, log_q = mixture.rsample_and_log_prob(torch.randn(samples, 3, 3))
    chosen = [proposals.ORDER[k % 10] for k in range(samples)]
    expected = sum(
        chosen.count(i) / samples * q.log_prob(z).exp() for i, q in enumerate(mixture.components) if i in chosen
    )
    torch.testing.assert_close(log_q.exp(), expected)


def test_the_mean_weight_is_unbiased_however_few_samples():
    """For a density inside the mixture, so that weights are bounded: E[mean of w] = 1."""
    inner = DiagonalGaussian(torch.zeros(1, 2), torch.full((1, 2), 0.5))
    parts = [FullGaussian(torch.full((1, 2), i / 4), torch.eye(2)[None]) for i in range(4)]
    mixture = proposals.BalancedMixture([*parts, DiagonalGaussian(torch.zeros(1, 2), torch.ones(1, 2))])
    means = []
    for _ in range(1000):
        z, log_q = mixture.rsample_and_log_prob(torch.randn(4, 1, 2))
        means.append((inner.log_prob(z) - log_q).exp().mean())
    means = torch.stack(means)
    assert abs(means.mean() - 1) < 4 * means.std() / math.sqrt(1000)


def test_an_image_has_its_proposal_in_whatever_company():
    vae = two_modes()
    batch = as_batch(vae.decode(torch.randn(6, 2)).sample(), [0, 1, 205, 3, 4, 7])

    def estimate(batch: Batch) -> torch.Tensor:
        mixture = proposals.propose(vae, batch, Noise(0), steps=5).mixture
        return importance.nll(vae, batch, 300, Noise(0), mixture)[0]

    parts = [estimate(select(batch, rows)) for rows in torch.arange(6).split(4)]
    torch.testing.assert_close(torch.cat(parts), estimate(batch))


def test_proposing_leaves_torchs_generator_alone():
    vae = two_modes()
    x, state = torch.rand(2, 1, 4, 4), torch.get_rng_state()
    proposals.propose(vae, as_batch(x), Noise(0), steps=1)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_nll_of_unusual_images_is_that_of_the_model():
    """Far from the training images the encoder is wrong, and its posterior alone several nats off."""
    vae, px = linear_gaussian(error=0.3)
    x = px.mean + 2 * (px.sample((20,)) - px.mean)
    batch, log_p = as_batch(x), px.log_prob(x)
    mixture = proposals.propose(vae, batch, Noise(0), steps=30).mixture
    assert (importance.nll(vae, batch, 100, Noise(0))[0] + log_p).mean() > 2
    assert abs((importance.nll(vae, batch, 100, Noise(0), mixture)[0] + log_p).mean()) < 0.5
