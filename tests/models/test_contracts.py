"""What distributions promise, and what a VAE makes of those that a user's own parts return."""

import copy
import inspect

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Gamma,
    Independent,
    Laplace,
    MultivariateNormal,
    Normal,
    StudentT,
    Uniform,
    constraints,
)

from src.models import likelihoods, posteriors, priors
from src.models.adapters import code_distribution, image_distribution
from src.models.distributions import CodeDistribution, ImageDistribution
from src.models.divergences import kl, kl_per_dim
from src.models.gaussians import DiagonalGaussian, FullGaussian
from src.training.objectives import MMD
from tests.helpers.models import FACTORISED, POSTERIORS, PRIORS, linear_gaussian, small

pytestmark = pytest.mark.usefixtures("float64")


class Own(nn.Module):
    """A prior of one's own that returns a distribution of torch's."""

    def __init__(self, distribution: Distribution):
        super().__init__()
        self.distribution = distribution

    def forward(self, encode: object) -> Distribution:
        return self.distribution


@pytest.mark.parametrize("name", POSTERIORS)
def test_every_posterior_meets_the_contract(name):
    q = posterior(name)
    noise = torch.randn(7, 5, 3)
    z, log_q = q.rsample_and_log_prob(noise)
    assert z.shape == (7, 5, 3) and log_q.shape == (7, 5) and q.mean.shape == (5, 3)
    torch.testing.assert_close(q.log_prob(z), log_q)
    loc, log_scale, below = q.moments(noise)
    assert loc.shape == log_scale.shape == (5, 3) and below.shape == (5, 3, 3)
    assert all(tensor.shape[:2] == (5, 3) for tensor in q.tensors().values())
    if q.evaluates_any_code:
        assert q.log_prob(z[:, None, :]).shape == (7, 1, 5)
    assert (q.detached() is None) == (q.gaussian_covariance is None) == (q.marginals() is None)


@pytest.mark.parametrize("name", PRIORS)
def test_every_prior_meets_the_contract(name):
    vae = small(posteriors.Gaussian(3), PRIORS[name](3), likelihoods.Bernoulli())
    p = vae.prior()
    z = p.sample((6,))
    assert z.shape == (6, 3) and p.log_prob(z).shape == (6,)
    if p.has_rsample:
        again, log_p = p.rsample_and_log_prob(torch.randn(6, 3))
        torch.testing.assert_close(p.log_prob(again), log_p, atol=1e-6, rtol=1e-6)
    else:
        with pytest.raises(TypeError, match="noise"):
            p.rsample_and_log_prob(torch.randn(6, 3))
    assert vae.prior_is_fixed == vae.prior_is_standard == p.is_isotropic == (name == "standard")


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (Normal(torch.zeros(3), torch.ones(3)), True),
        (Normal(torch.zeros(3), torch.full((3,), 1.1)), False),
        (StudentT(torch.full((3,), 5.0)), False),
        (Uniform(-torch.ones(3), torch.ones(3)), False),
    ],
)
def test_a_prior_of_ones_own_is_standard_only_where_it_is_so_in_all_but_name(distribution, expected):
    vae = small(posteriors.Gaussian(3), Own(Independent(distribution, 1)), likelihoods.Bernoulli())
    state = torch.get_rng_state()
    assert vae.prior_is_fixed
    assert vae.prior_is_standard == expected
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", FACTORISED)
def test_every_likelihood_of_independent_pixels_factorises(name):
    head = FACTORISED[name]().double().eval()
    px, x = image_distribution(head(torch.randn(2, 5, head.channels, 4, 4))), torch.ones(5, 1, 4, 4)
    torch.testing.assert_close(px.factors().log_prob(x.expand(2, 5, 1, 4, 4)).sum((-3, -2, -1)), px.log_prob(x))


@pytest.mark.parametrize("sigma", ["learned", "per_pixel", "optimal", 0.1])
def test_a_density_does_not_write(sigma):
    head, x = likelihoods.Gaussian(sigma).double().train(), torch.rand(5, 1, 4, 4)
    before = {name: each.clone() for name, each in head.state_dict().items()}
    px = head(torch.randn(5, head.channels, 4, 4))
    px.log_prob(x)
    assert all(torch.equal(each, before[name]) for name, each in head.state_dict().items())
    assert image_distribution(px).fits_batch == (sigma == "optimal")


def test_quantiles_of_a_gaussian_are_those_of_each_dimension():
    p, levels = DiagonalGaussian(torch.tensor([0.0, 3.0]), torch.tensor([1.0, 2.0])), torch.tensor([0.1, 0.5, 0.9])
    expected = torch.stack([Normal(0.0, 1.0).icdf(levels), Normal(3.0, 2.0).icdf(levels)], 1)
    torch.testing.assert_close(p.quantiles(levels), expected)


@pytest.mark.parametrize(
    ("p", "isotropic"),
    [
        (DiagonalGaussian(torch.zeros(3), torch.ones(3)), True),
        (DiagonalGaussian(torch.zeros(3), torch.full((3,), 2.0)), True),
        (DiagonalGaussian(torch.zeros(3), torch.tensor([1.0, 1.0, 2.0])), False),
        (DiagonalGaussian(torch.ones(3), torch.ones(3)), False),
        (FullGaussian(torch.zeros(3), torch.eye(3)), False),
    ],
)
def test_an_isotropic_prior_is_centred_and_the_same_in_all_directions(p, isotropic):
    assert p.is_isotropic == isotropic


def test_moments_of_a_full_gaussian_are_its_own_and_of_a_flow_those_of_its_samples():
    q = posterior("full")
    loc, log_scale, below = q.moments(torch.randn(4, 5, 3))
    scale_tril = log_scale.exp()[..., None] * (below.tril(-1) + torch.eye(3))
    torch.testing.assert_close(scale_tril, q.scale_tril)
    flow = posterior("flow")
    noise = torch.randn(4000, 5, 3)
    z, _ = flow.rsample_and_log_prob(noise)
    loc, log_scale, below = flow.moments(noise)
    torch.testing.assert_close(loc, z.mean(0))
    torch.testing.assert_close(log_scale.exp(), z.std(0))
    assert not below.any()


def posterior(name: str) -> CodeDistribution:
    head = POSTERIORS[name](3)
    return head(torch.randn(5, head.in_features))


def test_a_distribution_of_torchs_serves_as_a_prior():
    prior = Own(Independent(Normal(torch.full((3,), 0.5), torch.full((3,), 2.0)), 1))
    vae = small(posteriors.Gaussian(3), prior, likelihoods.Bernoulli())
    q, p = vae.encode(torch.rand(5, 1, 4, 4)), vae.prior()
    expected = DiagonalGaussian(torch.full((3,), 0.5), torch.full((3,), 2.0))
    torch.testing.assert_close(kl(q, p), kl(q, expected))
    torch.testing.assert_close(kl_per_dim(q, p).sum(1), kl(q, p))
    assert vae.prior_is_fixed and not p.has_rsample and p.sample((4,)).shape == (4, 3)
    assert p.name == "Independent"


def test_a_distribution_of_torchs_without_a_closed_form_or_factors():
    q = posterior("gaussian")
    heavy = code_distribution(Independent(StudentT(torch.full((3,), 5.0)), 1))
    full = code_distribution(MultivariateNormal(torch.zeros(3), torch.eye(3)))
    assert kl(q, heavy) is None
    assert full.factors() is None
    with pytest.raises(TypeError, match="DiagonalGaussian and MultivariateNormal"):
        kl_per_dim(q, full)


def test_a_closed_form_that_a_user_registers_counts():
    class Shifted(Distribution):
        arg_constraints = {}

        def log_prob(self, value: Tensor) -> Tensor:
            return value.sum(-1)

    @torch.distributions.register_kl(DiagonalGaussian, Shifted)
    def _(q: DiagonalGaussian, p: Shifted) -> Tensor:
        return q.mean.sum(-1)

    q = posterior("gaussian")
    torch.testing.assert_close(kl(q, code_distribution(Shifted(event_shape=(3,), validate_args=False))), q.mean.sum(-1))


class Noisy(Independent):
    """A distribution of a user's own that carries noise to codes, and no CodeDistribution."""

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        z = self.mean + self.stddev * noise
        return z, self.log_prob(z)


def test_a_method_of_ones_own_that_carries_noise_is_used():
    noisy, plain = (cls(Normal(torch.zeros(3), torch.full((3,), 2.0)), 1) for cls in (Noisy, Independent))
    assert code_distribution(noisy).has_rsample and not code_distribution(plain).has_rsample
    vae = small(posteriors.Gaussian(3), Own(noisy), likelihoods.Bernoulli())
    z, log_p = vae.prior().rsample_and_log_prob(torch.ones(5, 3))
    torch.testing.assert_close(z, torch.full((5, 3), 2.0))
    torch.testing.assert_close(log_p, plain.log_prob(z))
    MMD()(vae, (torch.rand(5, 1, 4, 4) < 0.5).double(), torch.randn(2, 5, 3))


@pytest.mark.parametrize(
    "distribution",
    [Independent(Gamma(torch.full((5, 3), 2.0), 1.0), 1), MultivariateNormal(torch.zeros(5, 3), torch.eye(3))],
)
def test_what_torch_says_of_a_distribution_can_still_be_asked(distribution):
    """An objective of a user's own may need more than the contract, its entropy say."""
    q = code_distribution(distribution)
    for name in ("mean", "mode", "variance", "stddev"):
        torch.testing.assert_close(getattr(q, name), getattr(distribution, name))
    torch.testing.assert_close(q.entropy(), distribution.entropy())
    assert q.rsample((2,)).shape == (2, 5, 3)
    assert q.support is distribution.support or isinstance(q.support, type(distribution.support))
    assert q.expand((2, 5)).batch_shape == (2, 5)
    image = image_distribution(Independent(Normal(torch.zeros(2, 1, 4, 4), 1.0), 3))
    assert image.base_dist.scale.unique() == 1 and image.entropy().shape == (2,)
    assert copy.deepcopy(image).mean.shape == (2, 1, 4, 4)


def test_what_is_no_distribution_is_refused():
    for wrap in (code_distribution, image_distribution):
        with pytest.raises(TypeError, match="it gives an object of <class 'tuple'>, and must give a distribution"):
            wrap((torch.zeros(3), torch.ones(3)))


def test_a_likelihood_of_ones_own_may_return_torchs_distribution():
    class Laplacian(nn.Module):
        channels, support = 1, constraints.real

        def forward(self, raw: Tensor) -> Distribution:
            return Independent(Laplace(raw, 0.1, validate_args=False), 3, validate_args=False)

    vae = small(posteriors.Gaussian(3), priors.Standard(3), Laplacian())
    px, x = vae.decode(torch.randn(2, 5, 3)), torch.rand(5, 1, 4, 4)
    torch.testing.assert_close(px.log_prob(x), Laplace(px.mean, 0.1).log_prob(x).sum((-3, -2, -1)))
    assert not px.fits_batch and px.factors() is not None


def test_draws_hold_the_densities_of_their_samples():
    vae, _ = linear_gaussian()
    x, noise = torch.rand(5, 1, 1, 6), torch.randn(4, 5, 3)
    draws = vae.draw(x, noise)
    torch.testing.assert_close(draws.log_q, vae.encode(x).log_prob(draws.z))
    torch.testing.assert_close(draws.log_pz, Independent(Normal(torch.zeros(3), 1.0), 1).log_prob(draws.z))
    torch.testing.assert_close(draws.log_px, vae.decode(draws.z).log_prob(x))
    torch.testing.assert_close(vae.log_joint(x, draws.z), draws.log_px + draws.log_pz)
    torch.testing.assert_close(draws.log_ratio(), draws.log_q - draws.log_pz)
    other = vae.draw(x, noise, DiagonalGaussian(torch.zeros(5, 3), torch.ones(5, 3)))
    assert torch.equal(other.z, noise)


def test_the_log_joint_integrates_to_log_p_of_x():
    """By importance weights from the exact posterior, all of which are p(x)."""
    vae, px = linear_gaussian()
    x = px.sample((5,)).view(5, 1, 1, 6)
    z, log_q = vae.encode(x).rsample_and_log_prob(torch.randn(3, 5, 3))
    torch.testing.assert_close(vae.log_joint(x, z) - log_q, px.log_prob(x.flatten(1)).expand(3, 5))


def test_a_model_without_labels_is_its_own_view():
    vae, _ = linear_gaussian()
    assert vae.given(torch.zeros(5, dtype=torch.long)) is vae


def test_the_contracts_are_abstract_and_their_classes_final():
    for contract in (CodeDistribution, ImageDistribution):
        assert inspect.isabstract(contract)
        assert all(not each.__subclasses__() for each in contract.__subclasses__())


def test_a_vae_says_what_images_and_codes_it_takes():
    vae = small(posteriors.Gaussian(3), priors.Standard(3), likelihoods.Bernoulli())
    x, z = torch.zeros(5, 1, 4, 4), torch.zeros(5, 3)
    for images, words in (
        (x[0], r"float64 \(1, 4, 4\)"),
        (x[0, 0], r"float64 \(4, 4\)"),
        (x[..., :2], r"float64 \(5, 1, 4, 2\)"),
        (x.byte(), r"uint8 \(5, 1, 4, 4\)"),
    ):
        with pytest.raises(ValueError, match=rf"images must be floats \(N, 1, 4, 4\), got torch.{words}"):
            vae.encode(images)
    for codes, words in ((z[0], r"float64 \(3\)"), (z[:, :2], r"float64 \(5, 2\)"), (z.long(), r"int64 \(5, 3\)")):
        with pytest.raises(ValueError, match=rf"codes must be floats \(N, 3\), got torch.{words}"):
            vae.decode(codes)
