"""src/models/hierarchy.py: the levels' densities, their KL, and a model whose p(x) is known."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal, StudentT, kl_divergence

from src.data.batches import Batch
from src.inference import importance
from src.inference.importance import log_weights, nll
from src.models.autoregressive import Autoregressive
from src.models.conditions import Label
from src.models.gaussians import DiagonalGaussian
from src.models.hierarchy import BottomUp, Ladder, TopDown
from src.models.likelihoods import Bernoulli, Gaussian
from src.models.priors import Flow, Standard
from src.models.vae import VAE
from src.support.noise import Noise
from src.training.objectives import ELBO, IWAE, MMD, BetaTC, Capacity, FreeBits

SHAPE, CHANNELS, LEVELS, LATENTS = (1, 6, 5), [3, 4], [1, 2], [1, 2]
SIZES = (8, 8, 16)  # of the levels: twice 2 x 2 places of 2 numbers at the top, 4 x 4 places below
SIGMA = 2.0

pytestmark = pytest.mark.usefixtures("float64")


def ladder(likelihood: nn.Module | None = None, prior: nn.Module | None = None, condition: Label | None = None) -> VAE:
    """A small hierarchy with random weights, whose levels all matter."""
    torch.manual_seed(0)
    vae = VAE(
        SHAPE,
        sum(SIZES),
        lambda shape, out: BottomUp(shape, out, CHANNELS, 2, "silu"),
        lambda features, shape: TopDown(features, shape, CHANNELS, LEVELS, LATENTS, "silu"),
        Ladder(SHAPE, CHANNELS, LEVELS, LATENTS, "silu"),
        prior or Standard(sum(SIZES)),
        likelihood or Bernoulli(),
        condition=condition,
    )
    for weight in vae.parameters():
        nn.init.normal_(weight, std=0.25)
    return vae


def images(count: int = 3) -> Tensor:
    return torch.rand(count, *SHAPE).round()


def test_levels_have_the_sizes_of_their_resolutions():
    vae = ladder()
    assert vae.levels == vae.encode(images()).levels == SIZES
    assert vae.latent_dim == sum(SIZES)


def test_a_draw_is_one_pass_down_whose_densities_are_those_of_its_codes(monkeypatch):
    vae, x, noise = ladder(), images(), torch.randn(4, 3, sum(SIZES))
    passes, descend = [], TopDown.descend
    monkeypatch.setattr(TopDown, "descend", lambda *given: passes.append(1) or descend(*given))
    draws = vae.draw(x, noise)
    log_joint = draws.log_px + draws.log_pz
    assert len(passes) == 1
    torch.testing.assert_close(log_joint, vae.log_joint(x, draws.z), atol=1e-12, rtol=0)
    torch.testing.assert_close(draws.log_q, draws.q.log_prob(draws.z), atol=1e-12, rtol=0)
    z, log_q = draws.q.rsample_and_log_prob(noise)
    torch.testing.assert_close((draws.z, draws.log_q), (z, log_q), atol=1e-12, rtol=0)
    torch.testing.assert_close(draws.px.mean, vae.decode(draws.z).mean, atol=1e-12, rtol=0)


def test_the_density_is_that_of_the_noise():
    """log q(z|x) = log N(noise; 0, I) - log |det dz/dnoise|, by autograd."""
    q = ladder().encode(images(1))
    noise = torch.randn(sum(SIZES))
    jacobian = torch.autograd.functional.jacobian(lambda eps: q.rsample_and_log_prob(eps[None, None])[0][0, 0], noise)
    expected = Normal(0.0, 1.0).log_prob(noise).sum() - torch.linalg.slogdet(jacobian)[1]
    torch.testing.assert_close(q.rsample_and_log_prob(noise[None, None])[1][0, 0], expected, atol=1e-10, rtol=0)


def test_a_level_follows_from_the_image_and_the_levels_above_alone():
    vae = ladder()
    q, noise = vae.encode(images(1)), torch.randn(1, 1, sum(SIZES), requires_grad=True)
    conditional = q.descend(noise).conditional
    before = 0
    for size in SIZES:
        (gradient,) = torch.autograd.grad(conditional.mean[..., before : before + size].sum(), noise, retain_graph=True)
        assert gradient[..., :before].any() == (before > 0)
        assert not gradient[..., before:].any()
        before += size


@torch.no_grad()
def test_the_kl_of_the_levels_is_their_monte_carlo_estimate():
    vae, x, count = ladder(), images(2), 40_000
    draws = vae.draw(x, torch.randn(count, 2, sum(SIZES)))
    ratio, levels = draws.log_ratio(), draws.by_level(kl_of_dimensions(draws.conditional))
    error = (ratio - levels.sum(-1)).std(0) / math.sqrt(count)
    assert ((draws.kl("sample") - draws.kl("closed")).abs() < 4 * error).all()
    torch.testing.assert_close(draws.kl_per_dim("closed"), levels.mean(0))
    torch.testing.assert_close(draws.kl_per_dim("closed").sum(1), draws.kl("closed"))
    torch.testing.assert_close(draws.kl_per_dim("sample").sum(1), draws.kl("sample"))
    assert draws.kl_per_level().shape == (2, 3)


def kl_of_dimensions(q: DiagonalGaussian) -> Tensor:
    return kl_divergence(Normal(q.loc, q.scale), Normal(0.0, 1.0))


def linear() -> tuple[VAE, MultivariateNormal]:
    """A hierarchy whose maps are linear, with scales that do not depend on the levels above, and its p(x)."""
    vae = ladder(Gaussian(SIGMA))
    for module in list(vae.decoder.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.SiLU):
                setattr(module, name, nn.Identity())
    for levels in vae.decoder.resolutions:
        for level in levels:
            level.prior[-1].weight.data[level.latents : 2 * level.latents] = 0
    for weight in vae.posterior.parameters():
        weight.data.mul_(0.5)  # near the prior, so that no image is far from the samples
    with torch.no_grad():
        b = vae.decoder(torch.zeros(1, sum(SIZES)))[0].flatten()
        w = vae.decoder(torch.eye(sum(SIZES))).flatten(1).T - b[:, None]
    return vae, MultivariateNormal(b, w @ w.T + SIGMA**2 * torch.eye(len(b)))


@torch.no_grad()
def test_with_linear_maps_its_bounds_reach_log_p_of_x():
    vae, px = linear()
    x = px.sample((4,)).view(4, *SHAPE)
    exact = px.log_prob(x.flatten(1))
    noise = torch.randn(4000, 4, sum(SIZES))
    elbo = ELBO(4000)(vae, x, noise).loss
    few = torch.stack([IWAE(5)(vae, x, part).loss for part in noise.split(5)]).mean(0)
    assert (elbo > few).all() and (few > -exact).all()
    batch = Batch(x, torch.zeros(4, dtype=torch.long), torch.arange(4))
    estimate, effective = nll(vae, batch, 20_000, Noise(0))
    torch.testing.assert_close(estimate, -exact, atol=0.1, rtol=0)
    assert (effective > 20).all()


def test_objectives_agree_where_they_must():
    """With shared noise and sampled KLs: IWAE at K = 1 and free bits of 0 are the one-sample ELBO."""
    vae, x, noise = ladder(), images(5), torch.randn(1, 5, sum(SIZES))
    elbo = ELBO(kl="sample")(vae, x, noise).loss
    for objective in (IWAE(1), FreeBits(floor=0, kl="sample"), FreeBits(floor=0, per="total", kl="sample")):
        torch.testing.assert_close(objective(vae, x, noise).loss, elbo, atol=1e-10, rtol=0)
    torch.testing.assert_close(FreeBits(floor=0)(vae, x, noise).loss, ELBO()(vae, x, noise).loss, atol=1e-10, rtol=0)


def test_free_bits_are_those_of_each_level():
    vae, x, noise = ladder(), images(5), torch.randn(1, 5, sum(SIZES))
    kl = vae.draw(x, noise).kl_per_dim("closed")
    floor = float(kl.detach().mean(0).sort().values[:2].mean())  # above the KL of one level, below those of the others
    charged = torch.where(kl.mean(0) < floor, floor, kl).sum(1)
    terms = FreeBits(floor=floor)(vae, x, noise)
    torch.testing.assert_close(terms.loss, terms.recon + charged)
    torch.testing.assert_close(terms.draws.kl_per_level(), kl)


@pytest.mark.parametrize("prior", [lambda: Standard(sum(SIZES)), lambda: Flow(sum(SIZES), transforms=1, hidden=(4,))])
@pytest.mark.parametrize("labels", [False, True])
def test_every_parameter_has_a_gradient(prior, labels):
    condition = Label(SHAPE, sum(SIZES), list("ab")) if labels else None
    likelihood = Autoregressive("bernoulli", SHAPE, features=2, field=2, samples=2)
    vae = ladder(likelihood, prior(), condition)
    for objective in (ELBO(2), IWAE(3), MMD(), Capacity(per="batch")):
        vae.zero_grad()
        model = vae.given(torch.tensor([0, 1, 0]))
        objective(model, images(), torch.randn(objective.samples, 3, sum(SIZES))).loss.mean().backward()
        assert all(weight.grad is not None and weight.grad.any() for weight in vae.parameters())


def test_a_prior_of_ones_own_without_a_closed_form_has_sampled_levels():
    class Student(nn.Module):
        def forward(self, encode: object) -> Independent:
            return Independent(StudentT(torch.full((sum(SIZES),), 5.0)), 1)

    terms = ELBO()(ladder(prior=Student()), images(), torch.randn(1, 3, sum(SIZES)))
    torch.testing.assert_close(terms.draws.kl_per_level().sum(1), terms.kl)


def test_its_posterior_has_samples_and_scales():
    q = ladder().encode(images())
    draws = q.sample((2000,))
    assert draws.shape == (2000, 3, sum(SIZES)) and q.stddev.shape == (3, sum(SIZES))
    torch.testing.assert_close(draws[..., : SIZES[0]].std(0), q.stddev[:, : SIZES[0]], rtol=0.15, atol=0)


@torch.no_grad()
def test_images_are_evaluated_in_halves_where_their_noise_is_large(monkeypatch):
    vae, x = ladder(), images(5)
    batch = Batch(x, torch.zeros(5, dtype=torch.long), torch.arange(5))
    whole = log_weights(vae, batch, 3, Noise(0))
    monkeypatch.setattr(importance, "NUMBERS", 1)
    torch.testing.assert_close(log_weights(vae, batch, 3, Noise(0)), whole)


def test_what_needs_codes_of_one_level_refuses_it():
    vae, x = ladder(), images()
    for objective in (BetaTC(6), IWAE(2, "stl"), IWAE(2, "dreg")):
        with pytest.raises(TypeError, match="posterior"):
            objective(vae, x, torch.randn(objective.samples, 3, sum(SIZES)))


def test_a_posterior_far_away_has_finite_terms_and_comes_back():
    vae, x = ladder().float(), images().float()
    for name, weight in vae.posterior.named_parameters():
        if name.endswith("of_both.3.bias"):
            weight.data.fill_(1e6)
    terms = ELBO()(vae, x, torch.randn(1, 3, sum(SIZES)).float())
    terms.kl.mean().backward()
    assert terms.loss.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in vae.parameters() if weight.grad is not None)
    assert (vae.posterior.resolutions[-1][-1].of_both[-1].bias.grad > 0).all()  # on its KL, no other level depends


def test_a_label_changes_the_images_of_a_code():
    vae = ladder(condition=Label(SHAPE, sum(SIZES), list("ab")))
    z = vae.given(torch.tensor([0])).sample_codes(1)
    first, second = (vae.given(torch.tensor([y])).decode(z).mean for y in (0, 1))
    assert not torch.allclose(first, second)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BottomUp(SHAPE, 7, CHANNELS, 1, "silu"), "features"),
        (lambda: TopDown(3, SHAPE, CHANNELS, LEVELS, LATENTS, "silu"), "32 latents, not 3"),
        (lambda: TopDown(32, SHAPE, CHANNELS, [1], LATENTS, "silu"), "one length"),
        (lambda: Ladder(SHAPE, CHANNELS, [1, 0], LATENTS, "silu"), "none at the top"),
        (lambda: Ladder(SHAPE, CHANNELS, [-1, 1], LATENTS, "silu"), "levels must be"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
