"""Importance sampling against a model whose log p(x) is known, in float64."""

import math

import pytest
import torch

from src.data.batches import Batch
from src.inference import importance, metrics
from src.models import priors
from src.models.gaussians import DiagonalGaussian, FullGaussian
from src.models.likelihoods import Bernoulli
from src.models.posteriors import Flow, Gaussian
from src.models.vae import VAE
from src.support.noise import Noise
from tests.helpers.batches import as_batch, select
from tests.helpers.models import linear_gaussian, small

pytestmark = pytest.mark.usefixtures("float64")


def images(px, count: int) -> Batch:
    return as_batch(px.sample((count,)))


def log_prob(px, batch: Batch) -> torch.Tensor:
    return px.log_prob(batch.x.flatten(1))


@pytest.mark.parametrize("posterior", ["gaussian", "full", "flow"])
def test_nll_is_log_p_within_its_standard_error(posterior):
    vae, px = linear_gaussian(posterior=posterior, error=0.02)
    batch = images(px, 300)
    log_w = importance.log_weights(vae, batch, 2000, Noise(0))
    short = -importance.log_mean_weight(log_w) + log_prob(px, batch)
    assert abs(short.mean()) < 4 * short.std() / math.sqrt(300)
    assert short.std() < 0.2
    assert (-importance.convergence(log_w).mean(1).diff() > 0).all()  # the more samples, the tighter


def test_one_sample_is_the_elbo_in_mean():
    vae, px = linear_gaussian(error=0.2)
    batch = images(px, 5)
    log_w = importance.log_weights(vae, batch, 100_000, Noise(0))
    elbo = importance.elbo(vae, batch, vae.encode(batch.x), torch.randn(100_000, 5, 3))
    torch.testing.assert_close(log_w.mean(0), elbo, atol=0.15, rtol=0.01)
    torch.testing.assert_close(importance.convergence(log_w)[0], -log_w.mean(0))


def test_exact_posteriors_need_one_sample():
    vae, px = linear_gaussian()
    batch = images(px, 10)
    nll, effective = importance.nll(vae, batch, 7, Noise(3))
    torch.testing.assert_close(-nll, log_prob(px, batch), atol=1e-9, rtol=0)
    torch.testing.assert_close(effective, torch.full((10,), 7.0))


def test_effective_samples_of_one_that_carries_all_is_one():
    log_w = torch.tensor([[0.0], [-800.0], [-900.0]])
    torch.testing.assert_close(importance.effective_samples(log_w), torch.ones(1))
    torch.testing.assert_close(importance.log_mean_weight(log_w), torch.tensor([-math.log(3)]))


def test_neither_chunks_nor_order_nor_company_change_the_number():
    """As many codes are decoded at once as a batch leaves room for."""
    torch.set_default_dtype(torch.float32)
    vae, px = linear_gaussian(error=0.1)
    batch = images(px, 230)
    together = importance.nll(vae, batch, 1000, Noise(0))[0]
    parts = [importance.nll(vae, select(batch, rows), 1000, Noise(0))[0] for rows in batch.index.split(90)]
    torch.testing.assert_close(torch.cat(parts), together, atol=1e-4, rtol=0)
    order = torch.randperm(230)
    shuffled = importance.nll(vae, select(batch, order), 1000, Noise(0))[0]
    torch.testing.assert_close(shuffled, together[order], atol=1e-4, rtol=0)
    assert not torch.equal(importance.nll(vae, batch, 1000, Noise(1))[0], together)


def test_more_samples_begin_with_the_fewer():
    vae, px = linear_gaussian(error=0.1)
    batch = images(px, 4)
    many = importance.log_weights(vae, batch, 600, Noise(0))
    torch.testing.assert_close(importance.log_weights(vae, batch, 260, Noise(0)), many[:260])


def refine_diagonal(vae: VAE, batch: Batch, steps: int = importance.STEPS) -> DiagonalGaussian | FullGaussian:
    start = importance.encoder_parameters(vae, batch, Noise(0))
    return importance.refine(vae, batch, Noise(0), start[:2], steps)


def refine_full(vae: VAE, batch: Batch, steps: int) -> DiagonalGaussian | FullGaussian:
    return importance.refine(vae, batch, Noise(0), importance.encoder_parameters(vae, batch, Noise(0)), steps)


def test_refined_posterior_is_the_best_of_its_kind():
    vae, px = linear_gaussian(error=0.3)
    batch = images(px, 20)
    eps = torch.randn(2000, 20, 3)
    log_p = log_prob(px, batch)
    assert (importance.elbo(vae, batch, vae.encode(batch.x), eps).mean() - log_p.mean()) < -0.1
    refined = importance.elbo(vae, batch, refine_diagonal(vae, batch), eps)
    torch.testing.assert_close(refined, log_p, atol=0.15, rtol=0)  # five standard errors of these draws
    assert abs((refined - log_p).mean()) < 0.03


def test_full_covariance_reaches_what_a_diagonal_one_cannot():
    vae, px = linear_gaussian(correlated=True)
    _best, _ = linear_gaussian(correlated=True)
    batch = images(px, 20)
    eps, log_p = torch.randn(2000, 20, 3), log_prob(px, batch)
    diagonal = importance.elbo(vae, batch, refine_diagonal(vae, batch), eps).mean()
    full = importance.elbo(vae, batch, refine_full(vae, batch, 300), eps)
    known = importance.elbo(vae, batch, vae.encode(batch.x), eps).mean()  # the best diagonal posterior, by construction
    torch.testing.assert_close(diagonal, known, atol=0.05, rtol=0)
    torch.testing.assert_close(full, log_p, atol=0.1, rtol=0)
    assert full.mean() > known + 0.3


def test_refining_begins_with_the_encoders_covariance():
    """The exact posterior is the best there is: refining must not lose it on the way."""
    vae, px = linear_gaussian(posterior="full", correlated=True)
    batch = images(px, 10)
    refined = refine_full(vae, batch, importance.STEPS)
    exact = vae.encode(batch.x)
    unmoved = refine_full(vae, batch, 0)
    torch.testing.assert_close(unmoved.scale_tril, exact.scale_tril)
    torch.testing.assert_close(unmoved.loc, exact.loc)
    short = log_prob(px, batch) - importance.elbo(vae, batch, refined, torch.randn(4000, 10, 3))
    assert short.mean() < 0.05


def test_refining_leaves_the_vae_as_it_was():
    vae = small(Flow(3), priors.Flow(3), Bernoulli())
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    vae.encoder[1].weight.requires_grad_(False)
    with torch.no_grad():
        q = refine_diagonal(vae, as_batch(torch.rand(4, 1, 4, 4).round()), 3)
    assert q.loc.shape == q.scale.shape == (4, 3)
    assert not q.loc.requires_grad
    assert all(torch.equal(before[name], value) for name, value in vae.state_dict().items())
    trained = {name for name, weight in vae.named_parameters() if weight.requires_grad}
    assert trained == dict(vae.named_parameters()).keys() - {"encoder.1.weight"}
    assert all(weight.grad is None for weight in vae.parameters())


def test_mutual_information_and_aggregate_posterior_of_a_known_model():
    """With exact posteriors q(z) = p(z), and I(x; z) = 1/2 log det(I + W'W / sigma^2)."""
    vae, px = linear_gaussian(latents=1)
    q = vae.encode(images(px, 4000).x)
    z, log_q = q.rsample_and_log_prob(torch.randn(4000, 1))
    w = vae.decoder[0].weight.detach()
    known = 0.5 * math.log(1 + float(w.square().sum()) / 0.16)
    information = metrics.mutual_information(q, z, log_q)
    assert abs(float(information.detach().mean()) - known) < 0.05
    assert float(information.detach().max()) <= math.log(4000)
    aggregate = metrics.aggregate_log_prob(q, z) - vae.prior().log_prob(z)
    assert abs(float(aggregate.detach().mean())) < 0.05


def test_aggregate_posterior_sums_its_parts():
    q = small(Gaussian(3), priors.Standard(3), Bernoulli()).encode(torch.rand(5, 1, 4, 4))
    z = torch.randn(7, 3)
    parts = torch.stack([q.base_dist.log_prob(each).sum(-1) for each in z])
    torch.testing.assert_close(metrics.aggregate_log_prob(q, z), parts.logsumexp(1) - math.log(5))


def test_a_flow_has_no_aggregate_posterior():
    vae = small(Flow(3), priors.Standard(3), Bernoulli())
    with pytest.raises(TypeError, match="Gaussian posterior"):
        metrics.aggregate_log_prob(vae.encode(torch.rand(5, 1, 4, 4)), torch.randn(2, 3))


def test_noise_of_an_image_does_not_depend_on_how_many_are_asked_for():
    def noise(index: list[int]) -> torch.Tensor:
        return torch.cat(list(importance.sample_noise(Noise(0), as_batch(torch.zeros(len(index), 1), index), 300, 2)))

    one, both = noise([205]), noise([3, 205])
    assert one.shape == (300, 1, 2)
    torch.testing.assert_close(one[:, 0], both[:, 1])
    assert not torch.equal(one[:250], Noise(0).normal(torch.tensor([205]), 250, 2, like=one))
