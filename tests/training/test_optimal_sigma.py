"""Objectives where the likelihood's sigma is the best of each batch, in float64."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from src.models import priors
from src.models.images import BatchFittedNormal
from src.models.likelihoods import Bernoulli
from src.models.likelihoods import Gaussian as GaussianLikelihood
from src.models.posteriors import Gaussian
from src.support.errors import UserError
from src.training.objectives import ELBO, IWAE, MMD, BetaTC, Capacity, FreeBits, Terms
from src.training.trial import try_objective
from tests.helpers.models import small

pytestmark = pytest.mark.usefixtures("float64")


def test_the_optimal_sigma_has_the_gradient_of_its_closed_form():
    """-log p at the best common sigma of a batch is N/2 log(mean squared error) but for a constant."""
    head = GaussianLikelihood("optimal").double().train()
    raw, x = torch.randn(5, 1, 4, 4, requires_grad=True), torch.rand(5, 1, 4, 4)
    ours = -head(raw).log_prob(x).sum()
    closed = 0.5 * x.numel() * (2 * math.pi * math.e * (x - raw).square().mean()).log()
    torch.testing.assert_close(ours, closed, atol=1e-9, rtol=0)
    (a,), (b,) = (torch.autograd.grad(loss, raw) for loss in (ours, closed))
    torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    "objective",
    [
        ELBO(samples=3),
        ELBO(samples=3, kl="sample"),
        FreeBits(floor=0.3, samples=3),
        FreeBits(floor=0.3, per="total", samples=3),
        Capacity(4, samples=3),
        Capacity(4, per="batch", samples=3),
        BetaTC(samples=3),
        MMD(samples=3),
        *(IWAE(1, estimator) for estimator in ("iwae", "stl", "dreg")),
    ],
    ids=lambda o: "-".join([type(o).__name__, *(str(v) for v in vars(o).values())][:5]),
)
def test_the_gradient_without_that_through_the_optimal_sigma_is_exact(objective, monkeypatch):
    vae = small(Gaussian(3), priors.Standard(3), GaussianLikelihood("optimal")).double().train()
    x, noise = torch.rand(5, 1, 4, 4), torch.randn(objective.samples, 5, 3)
    weights = [*vae.encoder.parameters(), *vae.decoder.parameters()]
    without = torch.autograd.grad(objective(vae, x, noise).loss.mean(), weights)

    def log_prob(px: BatchFittedNormal, x: Tensor) -> Tensor:
        return Normal(px.loc, (x - px.loc).square().mean().sqrt()).log_prob(x)

    monkeypatch.setattr(BatchFittedNormal, "log_prob", log_prob)
    through = torch.autograd.grad(objective(vae, x, noise).loss.mean(), weights)
    for ours, exact in zip(without, through, strict=True):
        torch.testing.assert_close(ours, exact, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("estimator", ["iwae", "stl", "dreg"])
def test_samples_of_different_weight_and_the_optimal_sigma_are_refused(estimator):
    vae = small(Gaussian(3), priors.Standard(3), GaussianLikelihood("optimal")).double().train()
    for samples in (2, 10):
        with pytest.raises(ValueError, match=r"likelihood\.sigma=optimal .* objective=iwae .*: use likelihood\.sigma="):
            IWAE(samples, estimator)(vae, torch.rand(5, 1, 4, 4), torch.randn(samples, 5, 3))


def test_the_optimal_sigma_is_remembered_and_fixed_in_evaluation():
    head, x = GaussianLikelihood("optimal").double(), 0.1 * torch.randn(1000, 1, 4, 4)
    for _ in range(200):
        px = head.train()(torch.zeros_like(x))
        px.log_prob(x)
        head.update(px, x)
    before = head.eval().variance.clone()
    assert before.sqrt().item() == pytest.approx(0.1, rel=0.02)
    assert head(torch.zeros(1, 4, 4)).stddev.unique().item() == pytest.approx(before.sqrt().item())
    head(torch.zeros_like(x)).log_prob(3 * x)
    assert torch.equal(head.variance, before)


def test_an_objective_that_withholds_px_is_refused_beside_the_optimal_sigma():
    """Its running mean would never move, and evaluation would take a scale that no image has been fitted to."""

    class Bare(ELBO):
        def __call__(self, *arguments: object) -> Terms:
            return super().__call__(*arguments)._replace(px=None)

    vae = small(Gaussian(3), priors.Standard(3), GaussianLikelihood("optimal")).double()
    with pytest.raises(UserError, match=r"sigma=optimal needs an objective whose Terms have px"):
        try_objective(vae, Bare(), [5, 1, 4, 4])
    try_objective(vae, ELBO(), [5, 1, 4, 4])
    try_objective(small(Gaussian(3), priors.Standard(3), Bernoulli()).double(), Bare(), [5, 1, 4, 4])
