"""The importance-weighted bound and the estimators of its gradient, in float64."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from src.training.objectives import ELBO, IWAE
from tests.helpers.models import POSTERIORS, SIGMA, binary_vae, linear_gaussian

pytestmark = pytest.mark.usefixtures("float64")


def test_iwae_is_never_below_the_elbo_of_the_same_samples():
    vae, x, _ = binary_vae()
    noise = torch.randn(20, 12, 3)
    terms = IWAE(20)(vae, x, noise)
    assert (-terms.loss >= -(terms.recon + terms.kl)).all()
    elbo = ELBO(samples=20, kl="sample")(vae, x, noise)
    torch.testing.assert_close(terms.recon, elbo.recon)
    torch.testing.assert_close(terms.kl, elbo.kl)


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_bounds_rise_to_log_p(posterior):
    """ELBO <= IWAE_5 <= IWAE_50 <= log p(x), each step by more than its standard error; K = 4000 is nearer still."""
    vae, px = linear_gaussian(error=0.02, posterior=posterior, correlated=True)
    x = px.sample((40,))
    draws = 4000
    with torch.no_grad():
        images, noise = x.view(-1, 1, 1, 6), torch.randn(draws, 40, 3)
        drawn = vae.draw(images, noise)
        log_w = drawn.log_px - drawn.log_ratio()
        bounds = {k: log_w.view(-1, k, 40).logsumexp(1) - math.log(k) for k in (1, 5, 50)}
        bounds = {k: bound.mean(1) for k, bound in bounds.items()}
        terms = IWAE(50)(vae, images, noise[:50])
    torch.testing.assert_close(-terms.loss, log_w[:50].logsumexp(0) - math.log(50), atol=1e-12, rtol=0)
    exact, errors = px.log_prob(x).mean(), {k: b.std() / math.sqrt(len(b)) for k, b in bounds.items()}
    elbo, iwae_5, iwae_50 = (bounds[k].mean() for k in (1, 5, 50))
    assert elbo + 3 * (errors[1] + errors[5]) < iwae_5
    assert iwae_5 + 3 * (errors[5] + errors[50]) < iwae_50
    assert iwae_50 < exact + 3 * errors[50]
    converged = (log_w.logsumexp(0) - math.log(draws)).mean()
    assert abs(exact - converged) < 0.6 * (exact - iwae_50)


def test_a_full_posterior_reaches_log_p_where_a_diagonal_one_cannot():
    torch.manual_seed(3)
    full, px = linear_gaussian(posterior="full", correlated=True)
    torch.manual_seed(3)
    diagonal, _ = linear_gaussian(posterior="gaussian", correlated=True)
    x = px.sample((10,))
    images, noise = x.view(-1, 1, 1, 6), torch.randn(1, 10, 3)
    torch.testing.assert_close(-ELBO(kl="sample")(full, images, noise).loss, px.log_prob(x), atol=1e-9, rtol=0)
    # the best diagonal Gaussian is short by its KL from the true posterior
    w = full.decoder[0].weight
    true = MultivariateNormal(full.encode(images).mean, precision_matrix=torch.eye(3) + w.T @ w / SIGMA**2)
    q = diagonal.encode(images)
    gap = kl_divergence(MultivariateNormal(q.mean, torch.diag_embed(q.variance)), true)
    assert gap.min() > 0.3
    found = ELBO(samples=100_000)(diagonal, images, torch.randn(100_000, 10, 3))
    torch.testing.assert_close(px.log_prob(x) + found.loss, gap, atol=0.03, rtol=0)


def gradients(estimator: str, k: int, repeats: int) -> tuple[Tensor, Tensor]:
    """Gradients of the K-sample bound of one image at a wrong posterior: of the encoder (repeats, P), the decoder."""
    torch.manual_seed(1)
    vae, px = linear_gaussian(error=0.03)
    x = px.sample((1,)).view(1, 1, 1, 6)
    noise = torch.randn(repeats, k, 1, 3)
    encoder, decoder = [], []
    for each in noise:
        loss = IWAE(k, estimator)(vae, x, each).loss.sum()
        found = torch.autograd.grad(loss, [vae.encoder[1].weight, vae.decoder[0].weight])
        encoder.append(found[0].flatten())
        decoder.append(found[1].flatten())
    return torch.stack(encoder), torch.stack(decoder)


def test_dreg_has_the_gradient_of_iwae_on_average_and_less_noise():
    (iwae, iwae_decoder), (dreg, dreg_decoder) = (gradients(e, 8, 2000) for e in ("iwae", "dreg"))
    torch.testing.assert_close(iwae_decoder, dreg_decoder, atol=1e-9, rtol=0)  # of the decoder it is the same
    error = ((iwae.var(0) + dreg.var(0)) / len(iwae)).sqrt()
    z = (iwae.mean(0) - dreg.mean(0)) / error
    assert z.abs().max() < 4.5
    assert z.square().mean() < 2
    assert dreg.var(0).sum() < iwae.var(0).sum()


def test_the_signal_of_dreg_grows_with_k_and_that_of_iwae_shrinks():
    """Signal-to-noise of the encoder's gradient (Rainforth et al., 2018; Tucker et al., 2019)."""

    def snr(estimator: str, k: int) -> float:
        found, _ = gradients(estimator, k, 1000)
        return float(found.mean(0).norm() / found.var(0).sum().sqrt())

    assert snr("dreg", 64) > 1.5 * snr("dreg", 4)
    assert snr("iwae", 64) < snr("iwae", 4)


def test_stl_has_no_noise_at_the_exact_posterior():
    vae, px = linear_gaussian()
    x = px.sample((5,)).view(-1, 1, 1, 6)
    found = {}
    for estimator in ("iwae", "stl", "dreg"):
        loss = IWAE(4, estimator)(vae, x, torch.randn(4, 5, 3)).loss.mean()
        found[estimator] = torch.autograd.grad(loss, vae.encoder[1].weight)[0].abs().max()
    assert found["stl"] < 1e-10
    assert found["dreg"] < 1e-10
    assert found["iwae"] > 1e-3


def test_estimators_have_one_value():
    vae, x, _ = binary_vae()
    noise = torch.randn(7, 12, 3)
    losses = [IWAE(7, estimator)(vae, x, noise).loss for estimator in ("iwae", "stl", "dreg")]
    for loss in losses[1:]:
        torch.testing.assert_close(loss, losses[0], atol=1e-12, rtol=0)
