"""Posteriors, priors and likelihoods beyond the plain ones, and the MMD, against truth in float64."""

import math

import pytest
import torch
from torch.distributions import MixtureSameFamily, MultivariateNormal, kl_divergence

from src.inference.metrics import bits_per_dim
from src.models import posteriors, priors
from src.models.divergences import mmd
from src.models.gaussians import DiagonalGaussian, FullGaussian
from src.models.images import DiscretizedLogistic, GreyLevels
from src.models.likelihoods import FLOOR, Gaussian, Logistic256
from tests.helpers.models import POSTERIORS, PRIORS

pytestmark = pytest.mark.usefixtures("float64")


def q_of(name: str, batch: int = 5, dim: int = 3) -> torch.distributions.Distribution:
    """A posterior with random parameters; the flow's far from the identity it starts at."""
    head = POSTERIORS[name](dim).double()
    for weight in head.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return head(torch.randn(batch, head.in_features))


@pytest.mark.parametrize("name", POSTERIORS)
def test_a_sample_has_the_density_it_says(name):
    q = q_of(name)
    z, log_q = q.rsample_and_log_prob(torch.randn(7, 5, 3))
    assert z.shape == (7, 5, 3)
    torch.testing.assert_close(log_q, q.log_prob(z), atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", POSTERIORS)
def test_the_density_is_that_of_the_samples_jacobian(name):
    """log q(z) = log N(noise) - log |det dz/dnoise|, by autograd."""
    q = q_of(name, batch=1)
    noise = torch.randn(1, 1, 3)
    _, log_q = q.rsample_and_log_prob(noise)
    jacobian = torch.autograd.functional.jacobian(lambda n: q.rsample_and_log_prob(n)[0], noise).view(3, 3)
    base = -0.5 * noise.square().sum() - 1.5 * math.log(2 * math.pi)
    torch.testing.assert_close(log_q.item(), (base - jacobian.det().abs().log()).item(), atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", ["gaussian", "full"])
def test_marginals_are_those_of_the_samples(name):
    q = q_of(name, batch=1)
    z, _ = q.rsample_and_log_prob(torch.randn(200_000, 1, 3))
    torch.testing.assert_close(q.marginals().mean, z.mean(0), atol=0.03, rtol=0.01)
    torch.testing.assert_close(q.marginals().stddev, z.std(0), atol=0.01, rtol=0.01)


def test_kl_of_a_full_gaussian_is_torchs_and_its_monte_carlo_mean():
    q = q_of("full")
    p = DiagonalGaussian(torch.randn(3), torch.rand(3) + 0.5)
    ours = kl_divergence(q, p)
    torchs = kl_divergence(q, MultivariateNormal(p.mean, torch.diag(p.scale**2)))
    torch.testing.assert_close(ours, torchs, atol=1e-10, rtol=0)
    z, log_q = q.rsample_and_log_prob(torch.randn(400_000, 5, 3))
    sampled = log_q - p.log_prob(z)
    assert ((ours - sampled.mean(0)).abs() < 4 * sampled.std(0) / math.sqrt(len(sampled))).all()


def test_a_detached_posterior_is_the_same_without_a_gradient():
    for name in ("gaussian", "full"):
        raw = torch.randn(2, POSTERIORS[name](3).in_features, requires_grad=True)
        q, z = POSTERIORS[name](3)(raw), torch.randn(2, 3)
        torch.testing.assert_close(q.detached().log_prob(z), q.log_prob(z))
        assert not q.detached().log_prob(z).requires_grad


@pytest.mark.parametrize("latent_dim", [1, 2])
@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_integrates_to_one_and_has_the_samples_it_says(name, latent_dim):
    """On a grid to 14 either way, beyond which a prior with tails as heavy as Student's t of 3 has a thousandth."""
    prior = PRIORS[name](latent_dim).double()
    for weight in prior.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    encoder = torch.nn.Linear(16, 2 * latent_dim)
    with torch.no_grad():
        p = prior(lambda x: posteriors.Gaussian(latent_dim)(encoder(x.flatten(1))))
        axis = torch.linspace(-14, 14, 1401)
        grid = torch.cartesian_prod(*[axis] * latent_dim).view(-1, latent_dim)
        density, cell = p.log_prob(grid).exp(), (axis[1] - axis[0]) ** latent_dim
        assert (density.sum() * cell).item() == pytest.approx(1, abs=1e-3)
        z = p.sample((40_000,))
        mean = (density[:, None] * grid).sum(0) * cell
        assert ((z.mean(0) - mean).abs() < 5 * z.std(0) / math.sqrt(len(z))).all()


def test_vamp_is_the_mixture_of_the_encoders_posteriors():
    prior, encoder = priors.Vamp((1, 2, 2), 4).double(), torch.nn.Linear(4, 6)

    def encode(x):
        return posteriors.Gaussian(3)(encoder(x.flatten(1)))

    z, q = torch.randn(2, 9, 3), encode(prior.logits.sigmoid())
    expected = torch.stack([q.log_prob(each) for each in z.reshape(-1, 1, 3)]).view(2, 9, 4).logsumexp(-1) - math.log(4)
    torch.testing.assert_close(prior(encode).log_prob(z), expected, atol=1e-10, rtol=0)


def test_a_mixture_starts_with_the_moments_of_the_standard_prior():
    z = priors.Mixture(4, 1000).double()(None).sample((5000,))
    torch.testing.assert_close(z.mean(0), torch.zeros(4), atol=0.1, rtol=0)
    torch.testing.assert_close(z.var(0), torch.ones(4), atol=0.1, rtol=0)


@pytest.mark.parametrize("flow", ["posterior", "prior"])
def test_a_flow_starts_near_its_base(flow):
    noise = torch.randn(4, 5, 3)
    if flow == "prior":
        p = priors.Flow(3).double()(None)
        assert (p.rsample_and_log_prob(noise)[0] - noise).abs().max() < 0.2
    else:
        q = posteriors.Flow(3).double()(torch.randn(5, 22))
        assert (q.rsample_and_log_prob(noise)[0] - q.base.rsample_and_log_prob(noise)[0]).abs().max() < 0.2


@pytest.mark.parametrize("loc", [-3.0, 0.0, 0.1234, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("scale", [1e-4, 0.003, 0.1, 2.0, 50.0])
def test_logistic256_sums_to_one_has_its_mean_and_is_exact(loc, scale):
    levels = torch.arange(256) / 255
    px = DiscretizedLogistic(torch.tensor(loc), torch.tensor(scale))
    p = px.log_prob(levels).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-12)
    assert abs((p * levels).sum() - px.mean) < 0.5 / 255
    k = torch.arange(1, 255)
    cdf = (torch.sigmoid(((edge / 255) - loc) / scale) for edge in (k + 0.5, k - 0.5))
    torch.testing.assert_close(p[1:255], next(cdf) - next(cdf), atol=1e-12, rtol=0)


def test_logistic256_draws_levels_with_its_probabilities():
    px = DiscretizedLogistic(torch.tensor(0.3), torch.tensor(0.02))
    drawn = px.sample((200_000,))
    assert GreyLevels().check(drawn).all()
    counts = torch.bincount((drawn * 255).round().long(), minlength=256) / len(drawn)
    p = px.log_prob(torch.arange(256) / 255).exp()
    assert ((counts - p).abs() < 5 * (p * (1 - p) / len(drawn)).sqrt() + 1e-6).all()


def test_logistic256_has_a_gradient_where_its_probability_is_nil():
    raw = torch.zeros(1, 2, 1, 2)
    raw[:, 0], raw[:, 1] = 40.0, -6.0
    raw.requires_grad_()
    px = Logistic256()(raw)
    px.log_prob(torch.tensor([0.0, 128 / 255]).view(1, 1, 1, 2)).sum().backward()
    assert raw.grad.isfinite().all()
    assert (raw.grad[:, 0] < 0).all()  # towards the pixels


def test_grey_levels_tell_levels_from_others():
    x = torch.tensor([0.0, 1 / 255, 128 / 255, 1.0, 0.5, -1 / 255, 256 / 255], dtype=torch.float32)
    assert GreyLevels().check(x).tolist() == [True] * 4 + [False] * 3


def test_per_pixel_sigma_is_the_decoders_and_has_a_floor():
    head, raw = Gaussian("per_pixel"), torch.randn(3, 2, 4, 4)
    px = head(raw)
    assert px.event_shape == (1, 4, 4)
    torch.testing.assert_close(px.stddev, FLOOR + 0.3 * raw[:, 1:].exp())
    assert head(torch.full((1, 2, 1, 1), -100.0)).stddev.item() == pytest.approx(FLOOR)


@pytest.mark.parametrize("wrong", [0.0, -1, FLOOR / 2, "best"])
def test_a_sigma_below_half_a_level_is_refused(wrong):
    with pytest.raises(ValueError, match="sigma must be"):
        Gaussian(wrong)


def test_mmd_is_near_zero_for_equal_distributions_and_away_for_others():
    repeats = torch.stack([mmd(torch.randn(200, 4), torch.randn(200, 4)) for _ in range(50)])
    assert repeats.mean().abs() < 4 * repeats.std() / math.sqrt(50)  # unbiased
    for other in (torch.randn(200, 4) + 0.7, 0.5 * torch.randn(200, 4), torch.randn(200, 1).expand(-1, 4)):
        assert mmd(torch.randn(200, 4), other) > 10 * repeats.std()


def test_mmd_is_its_definition():
    a, b = torch.randn(5, 2), torch.randn(5, 2)

    def k(u, v):
        return sum(4 * s / (4 * s + (u - v).square().sum()) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10)) / 7

    pairs = [(i, j) for i in range(5) for j in range(5)]
    within = sum(k(a[i], a[j]) + k(b[i], b[j]) for i, j in pairs if i != j) / 20
    across = sum(k(a[i], b[j]) for i, j in pairs) / 25
    torch.testing.assert_close(mmd(a, b), within - 2 * across, atol=1e-12, rtol=0)


def test_bits_per_dim():
    assert bits_per_dim(784 * math.log(256), 784, density=False) == pytest.approx(8)
    assert bits_per_dim(0.0, 784, density=True) == pytest.approx(8)  # the uniform density


@pytest.mark.parametrize("full", [False, True])
def test_a_mixture_is_sampled_as_torch_does(full):
    scale = torch.rand(3, 2) + 0.2
    factor = torch.diag_embed(scale) + torch.tensor([[0.0, 0.0], [0.5, 0.0]])
    parts = FullGaussian(torch.randn(3, 2), factor) if full else DiagonalGaussian(torch.randn(3, 2), scale)
    p = priors.mixture(torch.tensor([0.5, -1.0, 1.0]), parts)
    z = p.sample((200, 500))
    assert z.shape == (200, 500, 2)
    assert p.sample().shape == (2,)
    z, reference = z.flatten(0, 1), MixtureSameFamily.sample(p, (100_000,))
    torch.testing.assert_close(z.mean(0), reference.mean(0), atol=0.03, rtol=0)
    torch.testing.assert_close(z.T.cov(), reference.T.cov(), atol=0.04, rtol=0)
    torch.testing.assert_close(p.log_prob(z).mean(), p.log_prob(reference).mean(), atol=0.02, rtol=0)
