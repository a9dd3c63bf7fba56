"""The parts of -ELBO, on VAEs whose p(x), posterior and aggregate posterior are known, in float64."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, MultivariateNormal, kl_divergence

from src.data.batches import Batch
from src.inference.decomposition import (
    best_code_cost,
    bounds,
    clip_parts,
    fit_mixture,
    noise_floor,
    posterior_codes,
    prior_gain,
)
from src.models.likelihoods import Bernoulli as BernoulliLikelihood
from src.models.posteriors import Gaussian
from src.models.priors import Standard
from src.support.noise import Noise
from tests.helpers.batches import as_batch
from tests.helpers.models import SIGMA, linear_gaussian, small

pytestmark = pytest.mark.usefixtures("float64")


def gaps(images=20, steps=150, samples=500, **options):
    """Bounds of images drawn from p(x), and log p(x), of a linear-Gaussian VAE; its true posteriors."""
    vae, px = linear_gaussian(**options)
    x = px.sample((images,))
    found = bounds(vae, as_batch(x), Noise(0), samples, steps)
    w, b = vae.decoder[0].weight.detach(), vae.decoder[0].bias.detach()
    precision = torch.eye(3) + w.T @ w / SIGMA**2
    posterior = MultivariateNormal((x - b) @ w / SIGMA**2 @ precision.inverse(), precision_matrix=precision)
    return vae, x, found, px.log_prob(x), posterior


def test_an_exact_encoder_has_no_gap():
    _, _, found, log_p, _ = gaps(samples=2000)
    torch.testing.assert_close(found.nll, -log_p, atol=0.02, rtol=0)
    assert (found.refined - found.nll).mean().item() == pytest.approx(0, abs=0.1)
    assert (found.encoder - found.refined).mean().item() == pytest.approx(0, abs=0.05)  # found by noisy steps
    assert found.effective.median() > 0.75 * 2000  # a fifth of the samples are those of the prior


def test_a_wrong_encoder_loses_its_kl_to_amortisation_alone():
    vae, x, found, log_p, posterior = gaps(images=200, samples=1000, error=0.3)
    q = vae.encode(x.view(-1, 1, 1, 6))
    lost = kl_divergence(MultivariateNormal(q.mean, torch.diag_embed(q.variance)), posterior)
    missed = (found.encoder - found.refined - lost).detach()
    assert lost.mean() > 1
    assert abs(missed.mean()) < 4 * missed.std() / len(x) ** 0.5  # of DRAWS codes an image
    assert missed.std() < 0.3 * lost.mean()
    assert (found.refined - found.nll).mean().item() == pytest.approx(0, abs=0.1)
    torch.testing.assert_close(found.nll, -log_p, atol=0.05, rtol=0)


def test_a_family_without_correlations_loses_what_the_correlations_say():
    """min over diagonal q of KL(q, N(m, P^-1)) = (sum_d log P_dd - log det P) / 2."""
    _, _, found, log_p, posterior = gaps(steps=400, correlated=True)
    precision = posterior.precision_matrix
    lost = 0.5 * (precision.diagonal(dim1=-2, dim2=-1).log().sum(-1) - torch.logdet(precision)).mean().item()
    assert lost > 0.3
    torch.testing.assert_close(found.nll, -log_p, atol=0.05, rtol=0)
    assert (found.refined - found.nll).mean().item() == pytest.approx(lost, abs=0.1)
    assert (found.encoder - found.refined).mean().item() == pytest.approx(0, abs=0.05)  # found by noisy steps


def test_a_full_posterior_is_refined_within_its_family():
    _, _, found, _, _ = gaps(steps=400, correlated=True, posterior="full")
    assert (found.refined - found.nll).mean().item() == pytest.approx(0, abs=0.1)
    assert (found.encoder - found.refined).mean().item() == pytest.approx(0, abs=0.05)


def test_a_flow_is_not_refined_but_bounded():
    _, _, found, log_p, _ = gaps(images=5, posterior="flow")
    assert found.refined is None
    torch.testing.assert_close(found.nll, -log_p, atol=0.05, rtol=0)


def test_the_best_code_is_the_least_squares_solution():
    vae, px = linear_gaussian(error=0.3)
    x = px.sample((10,))
    w, b = vae.decoder[0].weight.detach(), vae.decoder[0].bias.detach()
    residual = (x - b) - (x - b) @ w @ (w.T @ w).inverse() @ w.T
    expected = residual.square().sum(1) / (2 * SIGMA**2) + 6 * math.log(SIGMA * math.sqrt(2 * math.pi))
    batch = as_batch(x)
    torch.testing.assert_close(best_code_cost(vae, batch, batch.x, 500), expected, atol=1e-3, rtol=0)
    assert all(weight.grad is None for weight in vae.parameters())


def test_a_code_for_the_intensities_serves_all_draws():
    vae = small(Gaussian(3), Standard(3), BernoulliLikelihood())
    intensity = torch.rand(2, 1, 4, 4)
    floor = noise_floor(intensity)
    torch.testing.assert_close(floor, Bernoulli(intensity).entropy().flatten(1).sum(1))
    best = best_code_cost(vae, as_batch(intensity), intensity)
    assert (best > floor).all()
    z = torch.randn(20_000, 3)
    assert (best - 1e-3 < -vae.decode(z[:, None].expand(-1, 2, -1)).log_prob(intensity).amax(0)).all()
    draws = Bernoulli(intensity).sample((50_000,))
    cost = -vae.decode(z[:1].expand(100_000, 3)).log_prob(draws.flatten(0, 1)).view(-1, 2).mean(0)
    torch.testing.assert_close(cost, -vae.decode(z[:1].expand(2, 3)).log_prob(intensity), atol=0.05, rtol=0)


def test_noise_floor_of_black_and_white_is_nothing():
    assert noise_floor(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)).item() == 0


def test_a_prior_that_misses_the_codes_loses_their_kl():
    """Images twice as far from the mean have codes from N(0, C), C = S + 4 V, V = I - S the variance of the means."""
    vae, px = linear_gaussian()
    spread = vae.encode(px.mean.view(1, 1, 1, 6)).variance[0].detach()

    def batch(images: int, scale: float) -> Batch:
        x = px.mean + scale * (px.sample((images,)) - px.mean)
        return as_batch(x)

    for scale in (1.0, 2.0):
        aggregate = MultivariateNormal(torch.zeros(3), torch.diag(spread + scale**2 * (1 - spread)))
        expected = kl_divergence(aggregate, MultivariateNormal(torch.zeros(3), torch.eye(3))).item()
        density = fit_mixture(posterior_codes(vae, batch(2_000, scale), Noise(1), 1)[0].numpy(), 0)
        gain = prior_gain(density, vae, batch(500, scale), Noise(2)).numpy()
        error = gain.std() / math.sqrt(len(gain))
        assert gain.mean() < expected + 4 * error
        assert gain.mean() > expected - 4 * error - 0.1


def test_few_codes_make_few_components():
    assert fit_mixture(np.random.default_rng(0).normal(size=(250, 2)), 0).n_components == 2


def test_parts_that_cannot_be_negative_are_not():
    found = clip_parts({name: np.array([-1.0, 0.5]) for name in ("prior", "family", "amortisation", "code")})
    assert not any(found[name].any() for name in ("prior", "family", "amortisation"))
    assert found["code"].tolist() == [-1.0, 0.5]
    assert clip_parts({"prior": np.array([-1.0, 2.0])})["prior"].tolist() == [-1.0, 2.0]


def test_a_bad_refinement_leaves_the_encoders_posterior_the_best_known():
    _, _, found, _, _ = gaps(images=50, steps=1)
    assert (found.refined <= found.encoder).all()
