"""The contracts carry a model that has none of our parts: a hierarchy of two levels whose p(x) is known.

It enters by `encode` and `prior` alone; objectives and inference are those of any other VAE.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from src.data.batches import Batch
from src.inference.importance import nll
from src.models.distributions import CodeDistribution
from src.models.gaussians import DiagonalGaussian, FullGaussian
from src.models.likelihoods import Gaussian
from src.models.posteriors import Gaussian as GaussianPosterior
from src.models.priors import Standard
from src.models.vae import VAE
from src.support.noise import Noise
from src.training.objectives import ELBO, IWAE, MMD, BetaTC, FreeBits

BOTTOM, TOP, PIXELS = 3, 2, 6
SPREAD, SIGMA = 0.5, 0.4  # of p(z1|z2) and of p(x|z1)

pytestmark = pytest.mark.usefixtures("float64")


class TwoLevels(CodeDistribution):
    """p(z2) p(z1|z2) over codes (..., z1 and z2)."""

    def __init__(self, top: CodeDistribution, bottom: Callable[[Tensor], CodeDistribution]):
        self.top, self.bottom = top, bottom
        super().__init__(top.batch_shape, torch.Size([BOTTOM + TOP]), validate_args=False)

    def rsample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        z2, log_top = self.top.rsample_and_log_prob(noise[..., BOTTOM:])
        z1, log_bottom = self.bottom(z2).rsample_and_log_prob(noise[..., :BOTTOM])
        return torch.cat([z1, z2], -1), log_top + log_bottom

    def log_prob(self, value: Tensor) -> Tensor:
        z1, z2 = value[..., :BOTTOM], value[..., BOTTOM:]
        return self.top.log_prob(z2) + self.bottom(z2).log_prob(z1)


class Hierarchy(VAE):
    """z2 ~ N(0, I), z1 ~ N(A z2, SPREAD^2 I), x ~ N(W z1, SIGMA^2 I); q(z1|z2, x) is exact, q(z2|x) is too wide."""

    def __init__(self, a: Tensor, w: Tensor):
        def linear(weight: Tensor) -> nn.Module:
            layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
            layer.weight.data.copy_(weight)
            return layer

        decoder = nn.Sequential(linear(torch.cat([w, torch.zeros(PIXELS, TOP)], 1)), nn.Unflatten(1, (1, 1, PIXELS)))
        parts = GaussianPosterior(BOTTOM + TOP), Standard(BOTTOM + TOP), Gaussian(SIGMA)
        super().__init__((1, 1, PIXELS), BOTTOM + TOP, lambda *_: nn.Flatten(), lambda *_: decoder, *parts)
        self.a, self.w = a, w
        spread = SPREAD**2 * w @ w.T + SIGMA**2 * torch.eye(PIXELS)  # of x given z2
        self.gain = (w @ a).T @ (spread + w @ a @ a.T @ w.T).inverse()
        self.of_top = torch.linalg.cholesky(torch.eye(TOP) - self.gain @ w @ a)
        self.of_bottom = (torch.eye(BOTTOM) / SPREAD**2 + w.T @ w / SIGMA**2).inverse()

    def encode(self, x: Tensor) -> TwoLevels:
        x = x.flatten(1)

        def bottom(z2: Tensor) -> FullGaussian:
            mean = (z2 @ self.a.T / SPREAD**2 + x @ self.w / SIGMA**2) @ self.of_bottom
            return FullGaussian(mean, torch.linalg.cholesky(self.of_bottom).expand(*mean.shape, BOTTOM))

        return TwoLevels(FullGaussian(x @ self.gain.T, 1.3 * self.of_top.expand(len(x), TOP, TOP)), bottom)

    def prior(self) -> TwoLevels:
        top = DiagonalGaussian(torch.zeros(TOP), torch.ones(TOP))
        return TwoLevels(top, lambda z2: DiagonalGaussian(z2 @ self.a.T, torch.full((BOTTOM,), SPREAD)))


@pytest.fixture
def known() -> tuple[Hierarchy, Tensor, Tensor]:
    """The model, images (4, 1, 1, PIXELS) and their log p(x)."""
    a, w = torch.randn(BOTTOM, TOP), torch.randn(PIXELS, BOTTOM)
    px = MultivariateNormal(
        torch.zeros(PIXELS), w @ (a @ a.T + SPREAD**2 * torch.eye(BOTTOM)) @ w.T + SIGMA**2 * torch.eye(PIXELS)
    )
    x = px.sample((4,))
    return Hierarchy(a, w), x.view(4, 1, 1, PIXELS), px.log_prob(x)


@torch.no_grad()
def test_its_bounds_are_ordered_and_reach_log_p_of_x(known):
    vae, x, log_px = known
    noise = torch.randn(4000, 4, BOTTOM + TOP)
    elbo = ELBO(4000)(vae, x, noise).loss
    few = torch.stack([IWAE(5)(vae, x, part).loss for part in noise.split(5)]).mean(0)
    assert (elbo > few).all() and (few > -log_px).all()
    batch = Batch(x, torch.zeros(4, dtype=torch.long), torch.arange(4))
    estimate, effective = nll(vae, batch, 4000, Noise(0))
    torch.testing.assert_close(estimate, -log_px, atol=0.05, rtol=0)
    assert (effective > 1000).all()


def test_its_elbo_is_short_by_the_kl_of_the_wide_level_alone(known):
    """KL(q(z2|x), p(z2|x)) of Gaussians with one mean, whose scales have the ratio 1.3."""
    vae, x, log_px = known
    gap = TOP * (1.3**2 / 2 - 0.5 - math.log(1.3))
    draws = vae.draw(x, torch.randn(100_000, 4, BOTTOM + TOP))
    shortfall = log_px - (draws.log_px - draws.log_ratio())
    error = shortfall.std(0) / math.sqrt(len(shortfall))
    assert ((shortfall.mean(0) - gap).abs() < 4 * error).all()


def test_objectives_take_it_or_say_what_it_lacks(known):
    vae, x, _ = known
    for objective in (ELBO(), IWAE(3), MMD(), FreeBits(per="total")):
        terms = objective(vae, x, torch.randn(objective.samples, 4, BOTTOM + TOP))
        assert terms.loss.isfinite().all()
    for objective in (BetaTC(6), IWAE(3, "dreg"), FreeBits()):
        with pytest.raises(TypeError, match="posterior"):
            objective(vae, x, torch.randn(objective.samples, 4, BOTTOM + TOP))
