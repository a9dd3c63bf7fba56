"""The mathematics against closed forms, integrals, Monte Carlo and a model whose log p(x) is known, in float64."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, StudentT, kl_divergence

from src.inference.metrics import active_units
from src.models.adapters import code_distribution
from src.models.divergences import kl, kl_per_dim
from src.models.draws import Draws
from src.models.gaussians import DiagonalGaussian
from src.models.images import BinaryImage, ContinuousBernoulli
from src.models.likelihoods import FLOOR
from src.models.likelihoods import Bernoulli as BernoulliLikelihood
from src.models.likelihoods import ContinuousBernoulli as ContinuousBernoulliLikelihood
from src.models.likelihoods import Gaussian as GaussianLikelihood
from src.models.posteriors import Gaussian
from src.models.priors import Standard
from src.models.vae import VAE
from src.training.objectives import ELBO
from tests.helpers.models import linear_gaussian

LIKELIHOODS = [BernoulliLikelihood, ContinuousBernoulliLikelihood, GaussianLikelihood]


pytestmark = pytest.mark.usefixtures("float64")


def test_elbo_with_the_exact_posterior_is_log_p_for_every_noise():
    """log p(x|z) + log p(z) - log p(z|x) = log p(x) at any z, so one sample gives it without error."""
    vae, px = linear_gaussian()
    x = px.sample((20,))
    terms = ELBO(kl="sample")(vae, x.view(-1, 1, 1, 6), torch.randn(1, 20, 3))
    torch.testing.assert_close(-terms.loss, px.log_prob(x), atol=1e-10, rtol=0)


def test_elbo_in_closed_form_has_the_same_mean():
    vae, px = linear_gaussian()
    x = px.sample((3,))
    terms = ELBO(samples=200_000)(vae, x.view(-1, 1, 1, 6), torch.randn(200_000, 3, 3))
    torch.testing.assert_close(-terms.loss, px.log_prob(x), atol=0.03, rtol=0)


def test_elbo_of_a_wrong_posterior_is_below_log_p_by_its_kl():
    vae, px = linear_gaussian(error=0.3)
    _true, _ = linear_gaussian()
    x = px.sample((4,)).view(-1, 1, 1, 6)
    terms = ELBO(samples=200_000)(vae, x, torch.randn(200_000, 4, 3))
    w, b = vae.decoder[0].weight, vae.decoder[0].bias
    precision = torch.eye(3) + w.T @ w / 0.16
    posterior = MultivariateNormal((x.flatten(1) - b) @ w / 0.16 @ precision.inverse(), precision.inverse())
    q = vae.encode(x)
    gap = kl_divergence(MultivariateNormal(q.mean, torch.diag_embed(q.variance)), posterior)
    torch.testing.assert_close(px.log_prob(x.flatten(1)) + terms.loss, gap, atol=0.15, rtol=0.02)
    assert (gap > 0.01).all()


def random_q(batch: int = 5, dim: int = 4) -> DiagonalGaussian:
    return DiagonalGaussian(torch.randn(batch, dim), torch.rand(batch, dim) + 0.3)


def test_kl_closed_form_is_its_monte_carlo_mean():
    q, p = random_q(), Standard(4)(None)
    z, log_q = q.rsample_and_log_prob(torch.randn(400_000, 5, 4))
    sampled = log_q - p.log_prob(z)
    error = sampled.std(0) / math.sqrt(len(sampled))
    assert ((kl(q, p) - sampled.mean(0)).abs() < 4 * error).all()


def test_kl_of_standard_prior_is_the_textbook_formula():
    q, p = random_q(), Standard(4)(None)
    textbook = 0.5 * (q.mean**2 + q.variance - q.variance.log() - 1).sum(1)
    torch.testing.assert_close(kl(q, p), textbook, atol=1e-12, rtol=0)


def test_kl_of_two_gaussians_is_torchs():
    q, p = random_q(), random_q()
    torch.testing.assert_close(kl_divergence(q, p), kl_divergence(q.base_dist, p.base_dist).sum(1), atol=1e-12, rtol=0)


def test_bernoulli_image_has_torchs_density_and_gradient():
    logits = (40 * torch.randn(3, 2, 1, 4, 5)).requires_grad_()
    x = (torch.rand(2, 1, 4, 5) < 0.5).double()
    ours, torchs = BinaryImage(logits).log_prob(x), Bernoulli(logits=logits).log_prob(x).sum((2, 3, 4))
    torch.testing.assert_close(ours, torchs, atol=1e-12, rtol=0)
    (ours_grad,), (torchs_grad,) = (torch.autograd.grad(total.sum(), logits) for total in (ours, torchs))
    torch.testing.assert_close(ours_grad, torchs_grad, atol=1e-12, rtol=0)


def test_kl_per_dim_sums_to_kl():
    q, p = random_q(), Standard(4)(None)
    torch.testing.assert_close(kl_per_dim(q, p).sum(1), kl_divergence(q, p), atol=1e-12, rtol=0)


def test_kl_per_dim_refuses_what_does_not_factorise():
    full = code_distribution(MultivariateNormal(torch.zeros(4), torch.eye(4)))
    with pytest.raises(TypeError, match="DiagonalGaussian and MultivariateNormal"):
        kl_per_dim(random_q(), full)


def test_kl_without_a_closed_form_is_sampled():
    q, p = random_q(), code_distribution(Independent(StudentT(torch.full((4,), 5.0)), 1))
    z, log_q = q.rsample_and_log_prob(torch.randn(3, 5, 4))
    px = BinaryImage(torch.zeros(3, 5, 1, 2, 2))
    draws = Draws(q, p, px, z, log_q, px.log_prob(torch.ones(5, 1, 2, 2)))
    assert kl(q, p) is None
    torch.testing.assert_close(draws.kl("closed"), (log_q - p.log_prob(z)).mean(0))


def test_sample_has_the_density_it_says():
    q = random_q()
    z, log_q = q.rsample_and_log_prob(torch.randn(7, 5, 4))
    torch.testing.assert_close(log_q, q.log_prob(z), atol=1e-12, rtol=0)


@pytest.mark.parametrize("logit", [-3.0, -0.2, 0.0, 1.0, 6.0])
def test_bernoulli_sums_to_one(logit):
    px = BernoulliLikelihood()(torch.full((1, 1, 1, 1), logit))
    total = sum(px.log_prob(torch.full((1, 1, 1, 1), v)).exp() for v in (0.0, 1.0))
    assert total.item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("logit", [-512.0, -300.0, -40.0, -17.0, -1.0, -0.2, -1e-3, 0.0, 1e-9, 0.19, 0.21, 5.0, 512.0])
def test_continuous_bernoulli_integrates_to_one(logit):
    """Gauss-Legendre over both ends, where all the mass of a sharp pixel lies."""
    px = ContinuousBernoulli(torch.tensor(logit))
    edges = torch.cat(
        [torch.tensor([0.0]), torch.logspace(-5, -0.31, 60), 1 - torch.logspace(-0.31, -5, 60), torch.ones(1)]
    )
    edges = edges.unique()
    nodes, weights = (torch.tensor(a) for a in np.polynomial.legendre.leggauss(12))
    half = (edges[1:] - edges[:-1]) / 2
    x = (edges[1:] + edges[:-1])[:, None] / 2 + half[:, None] * nodes
    density = px.log_prob(x).exp()
    assert (density * weights * half[:, None]).sum().item() == pytest.approx(1, abs=1e-9)


def test_continuous_bernoulli_agrees_with_torch_where_torch_is_exact():
    logits, x = torch.linspace(-8, 8, 81), torch.linspace(0, 1, 11)[:, None]
    theirs = torch.distributions.ContinuousBernoulli(logits=logits)
    torch.testing.assert_close(ContinuousBernoulli(logits).log_prob(x), theirs.log_prob(x), atol=2e-5, rtol=0)
    torch.testing.assert_close(ContinuousBernoulli(logits).mean, theirs.mean, atol=2e-5, rtol=0)


@pytest.mark.parametrize("logit", [-512.0, -5.0, -1e-4, 0.0, 0.15, 3.0, 200.0])
def test_continuous_bernoulli_samples_have_its_mean(logit):
    distribution = ContinuousBernoulli(torch.tensor(logit))
    x = distribution.sample((100_000,))
    assert ((x >= 0) & (x <= 1)).all()
    assert abs(x.mean() - distribution.mean) < 5 * x.std() / math.sqrt(len(x))


def test_continuous_bernoulli_gradient_is_finite_and_exact():
    logits = torch.tensor([-400.0, -0.3, -0.05, 0.0, 0.05, 0.3, 400.0], requires_grad=True)
    x = torch.full_like(logits, 0.4)
    ContinuousBernoulli(logits).log_prob(x).sum().backward()
    # d log p / d eta = x - E[x]
    torch.testing.assert_close(logits.grad, 0.4 - ContinuousBernoulli(logits).mean.detach(), atol=1e-9, rtol=0)


def test_continuous_bernoulli_keeps_its_floor_and_finds_back():
    raw = torch.tensor([-900.0, -600.0, 600.0, 900.0], requires_grad=True)
    px = ContinuousBernoulliLikelihood()(raw.view(4, 1, 1, 1))
    assert px.base_dist.logits.abs().max() <= 1 / FLOOR
    px.log_prob(torch.full((4, 1, 1, 1), 0.5)).sum().backward()
    assert (raw.grad * raw < 0).all()  # towards the grey that it missed


def test_gaussian_integrates_to_one_and_keeps_its_floor():
    likelihood = GaussianLikelihood(0.3)
    x = torch.linspace(-4, 5, 20_001)
    density = likelihood(torch.full((1, 1, 1), 0.4)).log_prob(x[:, None, None, None]).exp()
    assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=1e-9)
    learned = GaussianLikelihood("learned")
    nn.init.constant_(learned.log_sigma, -50.0)
    assert learned(torch.zeros(1, 1, 1)).stddev.min().item() == pytest.approx(FLOOR)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_doubling_the_pixels_doubles_the_reconstruction(likelihood):
    raw, x = torch.randn(3, 1, 4, 4), torch.randint(0, 2, (3, 1, 4, 4)).double()
    head = likelihood().double()
    once, twice = head(raw).log_prob(x), head(raw.repeat(1, 1, 2, 1)).log_prob(x.repeat(1, 1, 2, 1))
    assert once.shape == (3,)
    torch.testing.assert_close(twice, 2 * once, atol=1e-10, rtol=0)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_terms_of_an_image_do_not_depend_on_its_batch(likelihood):
    def encoder(shape, out):
        return nn.Sequential(nn.Flatten(), nn.Linear(16, out))

    def decoder(features, shape):
        return nn.Sequential(nn.Linear(features, 16), nn.Unflatten(1, shape))

    vae = VAE((1, 4, 4), 2, encoder, decoder, Gaussian(2), Standard(2), likelihood()).double()
    x, noise = torch.randint(0, 2, (128, 1, 4, 4)).double(), torch.randn(1, 128, 2)
    whole = ELBO(beta=4)(vae, x, noise, 0.5)
    for i in (0, 77):
        alone = ELBO(beta=4)(vae, x[i : i + 1], noise[:, i : i + 1], 0.5)
        for a, b in zip(alone[:3], whole[:3], strict=True):
            torch.testing.assert_close(a[0], b[i], atol=1e-12, rtol=0)
    torch.testing.assert_close(whole.loss, whole.recon + 4 * 0.5 * whole.kl)


def test_samples_average_over_their_noise():
    vae, px = linear_gaussian(error=0.3)
    x, noise = px.sample((4,)).view(-1, 1, 1, 6), torch.randn(3, 4, 3)
    together = ELBO(samples=3, kl="sample")(vae, x, noise)
    each = [ELBO(kl="sample")(vae, x, noise[k : k + 1]).loss for k in range(3)]
    torch.testing.assert_close(together.loss, torch.stack(each).mean(0), atol=1e-12, rtol=0)


def test_active_units():
    means = torch.stack([torch.randn(1000), 0.2 * torch.randn(1000), 0.05 * torch.randn(1000) + 7], 1)
    assert active_units(means.numpy()) == 2


def test_normal_likelihood_is_torch_normal():
    raw, x = torch.randn(2, 1, 3, 3), torch.rand(2, 1, 3, 3)
    expected = Normal(raw, 0.3).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(GaussianLikelihood(0.3)(raw).log_prob(x), expected, atol=1e-12, rtol=0)
