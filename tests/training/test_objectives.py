"""Objectives against each other and against a model whose log p(x) is known, in float64."""

import math

import pytest
import torch
from torch import Tensor

from src.models import priors
from src.models.divergences import mmd
from src.models.draws import Draws
from src.models.images import BinaryImage
from src.models.likelihoods import Bernoulli
from src.models.posteriors import Full, Gaussian
from src.training.objectives import ELBO, IWAE, MMD, BetaTC, Capacity, FreeBits, decompose
from tests.helpers.models import binary_vae, linear_gaussian, small

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize(
    "objective",
    [
        IWAE(samples=1),
        IWAE(samples=1, estimator="stl"),
        IWAE(samples=1, estimator="dreg"),
        BetaTC(beta=1.0),
        FreeBits(floor=0.0, kl="sample"),
        FreeBits(floor=0.0, per="total", kl="sample"),
        MMD(penalty=0.0, kl="sample"),
    ],
    ids=lambda o: "-".join([type(o).__name__, *(str(v) for v in vars(o).values())][:3]),
)
@pytest.mark.parametrize("model", ["binary", "linear"])
def test_it_is_the_one_sample_elbo_where_it_must_be(objective, model):
    if model == "binary":
        vae, x, noise = binary_vae()
    else:
        vae, px = linear_gaussian(error=0.3)
        x, noise = px.sample((12,)).view(-1, 1, 1, 6), torch.randn(1, 12, 3)
    elbo = ELBO(kl="sample")(vae, x, noise)
    terms = objective(vae, x, torch.cat([noise, noise])[: objective.samples])
    for name in ("loss", "recon", "kl"):
        torch.testing.assert_close(getattr(terms, name), getattr(elbo, name), atol=1e-10, rtol=0)


def test_capacity_of_none_at_weight_one_is_the_elbo():
    vae, x, noise = binary_vae()
    torch.testing.assert_close(Capacity(0, gamma=1)(vae, x, noise).loss, ELBO()(vae, x, noise).loss, atol=1e-12, rtol=0)


def test_capacity_grows_with_its_schedule_and_charges_both_sides():
    vae, x, noise = binary_vae()
    for weight in (0.0, 0.5, 1.0):
        terms = Capacity(4, gamma=7)(vae, x, noise, weight)
        charged = 7 * (terms.kl - 4 * weight).abs()
        torch.testing.assert_close(terms.loss, terms.recon + charged, atol=1e-12, rtol=0)


def test_the_capacity_of_a_batch_is_that_of_its_mean_and_of_an_image_its_own():
    vae, x, noise = binary_vae()
    kl = ELBO()(vae, x, noise).kl
    capacity = kl.mean().item()  # some above, some below
    image, batch = (Capacity(capacity, gamma=7, per=per)(vae, x, noise) for per in ("image", "batch"))
    torch.testing.assert_close(image.loss - image.recon, 7 * (kl - capacity).abs(), atol=1e-10, rtol=0)
    torch.testing.assert_close(batch.loss, batch.recon, atol=1e-10, rtol=0)
    for c, charged in ((0, 7 * capacity), (capacity + 1, 7.0)):
        batch = Capacity(c, gamma=7, per="batch")(vae, x, noise)
        torch.testing.assert_close(batch.loss - batch.recon, torch.full((12,), charged), atol=1e-9, rtol=0)
        torch.testing.assert_close(batch.kl, kl)


def test_the_total_correlation_of_a_batch_reads_too_high():
    """Of 16 independent dimensions: what the docstring of BetaTC says."""
    found = {}
    for size in (128, 500):
        z = []
        for _ in range(20):
            q = Gaussian(16)(
                torch.cat([math.sqrt(0.91) * torch.randn(size, 16), torch.full((size, 16), math.log(0.09))], 1)
            )
            drawn = q.rsample_and_log_prob(torch.randn(1, size, 16))
            p, px = priors.Standard(16)(None), BinaryImage(torch.zeros(1, 1, 1))
            z.append(decompose(Draws(q, p, px, *drawn, drawn[1]))[1].mean())
        found[size] = torch.stack(z).mean().item()
    assert found == pytest.approx({128: 14.1, 500: 13.0}, abs=0.2)


def test_a_penalty_of_500_is_one_of_500_sevenths_of_the_sum_of_kernels():
    vae, x, _ = binary_vae()
    noise = torch.randn(2, 12, 3)
    a, b = vae.draw(x, noise[:1]).z[0], noise[1]

    def kernels(u: Tensor, v: Tensor) -> Tensor:
        squares = (u[:, None] - v).square().sum(-1)
        return sum(6 * s / (6 * s + squares) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    within = sum(k.sum() - k.diagonal().sum() for k in (kernels(a, a), kernels(b, b))) / (12 * 11)
    added = (500 / 7 * (within - 2 * kernels(a, b).mean())).expand(12)
    terms = MMD(beta=0.0)(vae, x, noise)
    torch.testing.assert_close(terms.loss - terms.recon, added, atol=1e-9, rtol=0)


def test_free_bits_charge_the_mean_kl_of_each_dimension_above_its_floor():
    vae, x, noise = binary_vae()
    q = vae.encode(x).detached()
    per_dim = 0.5 * (q.mean**2 + q.variance - q.variance.log() - 1).mean(0)
    floor = float(per_dim.median())
    terms = FreeBits(beta=3.0, floor=floor)(vae, x, noise, 0.5)
    charged = 1.5 * per_dim.clamp(min=floor).sum()
    torch.testing.assert_close((terms.loss - terms.recon).mean(), charged, atol=1e-12, rtol=0)
    terms = FreeBits(floor=float(per_dim.sum()) + 1, per="total")(vae, x, noise)
    torch.testing.assert_close((terms.loss - terms.recon).mean(), per_dim.sum() + 1, atol=1e-12, rtol=0)
    assert not torch.autograd.grad((terms.loss - terms.recon).mean(), vae.encoder[1].weight, allow_unused=True)[0].any()


@pytest.mark.parametrize("posterior", [Gaussian, Full])
def test_beta_tc_slopes_by_the_total_correlation_alone(posterior):
    vae = small(posterior(3), priors.Standard(3), Bernoulli())
    x, noise = (torch.rand(12, 1, 4, 4) < 0.5).double(), torch.randn(2, 12, 3)
    information, correlation, rest = decompose(vae.draw(x, noise))
    one, six = (BetaTC(beta, samples=2)(vae, x, noise, 0.5).loss for beta in (1.0, 6.0))
    torch.testing.assert_close(six - one, 0.5 * 5 * correlation, atol=1e-10, rtol=0)
    sampled = ELBO(samples=2, kl="sample")(vae, x, noise).kl
    torch.testing.assert_close(information + correlation + rest, sampled, atol=1e-10, rtol=0)


def test_beta_tc_of_a_whole_data_set_finds_its_total_correlation():
    """Two images with codes at opposite corners: q(z) has one bit of total correlation, and one of information."""
    vae, _, _ = binary_vae(latents=2)

    def encode(x: Tensor) -> torch.distributions.Distribution:
        corners = torch.where(x.mean((1, 2, 3))[:, None] > 0.5, 8.0, -8.0).expand(-1, 2)
        return Gaussian(2)(torch.cat([corners, torch.full_like(corners, -2.0)], 1))

    vae.encode = encode
    x = torch.tensor([0.0, 1.0]).repeat(8)[:, None, None, None].expand(-1, 1, 4, 4)
    information, correlation, _ = decompose(vae.draw(x, torch.randn(1, 16, 2)))
    torch.testing.assert_close(information.mean().item(), math.log(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(correlation.mean().item(), math.log(2), atol=1e-6, rtol=0)


def test_mmd_charges_codes_that_miss_the_prior():
    vae, x, _ = binary_vae()
    noise = torch.randn(2, 12, 3)
    plain, charged = MMD(penalty=0.0)(vae, x, noise), MMD(penalty=10.0)(vae, x, noise)
    added = (10 * mmd(vae.draw(x, noise[:1]).z[0], noise[1])).expand(12)
    torch.testing.assert_close(charged.loss - plain.loss, added, atol=1e-10, rtol=0)
    wae = MMD(beta=0.0, penalty=10.0)(vae, x, noise)
    torch.testing.assert_close(wae.loss, wae.recon + added, atol=1e-12, rtol=0)


@pytest.mark.parametrize("objective", [MMD(), BetaTC(6)])
def test_a_batch_of_one_image_has_no_penalty_and_is_refused(objective):
    vae, x, _ = binary_vae()
    with pytest.raises(ValueError, match="two images or more in a batch"):
        objective(vae, x[:1], torch.randn(objective.samples, 1, 3))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: IWAE(0),
        lambda: IWAE(estimator="best"),
        lambda: FreeBits(floor=-1),
        lambda: FreeBits(per="pixel"),
        lambda: Capacity(-1),
        lambda: Capacity(per="pixel"),
        lambda: MMD(penalty=-1),
        lambda: BetaTC(6, samples=0),
        lambda: ELBO(kl="exact"),
    ],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        wrong()
