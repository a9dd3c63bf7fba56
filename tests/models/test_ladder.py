"""src/models/hierarchy.py: the levels' densities, their KL, and a model whose p(x) is known."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

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

SHAPE, CHANNELS, LEVELS, LATENTS, TOP, HIDDEN = (1, 6, 5), [3, 4], [1, 2], [1, 2], 3, 5
SIZES = (TOP, 8, 8, 16)  # of the levels: below the top, twice 2 x 2 places of 2 numbers, then 4 x 4 places
SIGMA = 2.0

pytestmark = pytest.mark.usefixtures("float64")


def ladder(likelihood: nn.Module | None = None, prior: nn.Module | None = None, condition: Label | None = None) -> VAE:
    """A small hierarchy with random weights, whose levels all matter."""
    torch.manual_seed(0)
    vae = VAE(
        SHAPE,
        sum(SIZES),
        lambda shape, out: BottomUp(shape, out, CHANNELS, 2, "silu"),
        lambda features, shape: TopDown(features, shape, CHANNELS, LEVELS, LATENTS, TOP, HIDDEN, "silu"),
        Ladder(SHAPE, CHANNELS, LEVELS, LATENTS, TOP, HIDDEN, "silu"),
        prior or Standard(TOP),
        likelihood or Bernoulli(),
        condition=condition,
    )
    for weight in vae.parameters():
        nn.init.normal_(weight, std=0.25)
    return vae


def images(count: int = 3) -> Tensor:
    return torch.rand(count, *SHAPE).round()


class Unsummed(nn.Module):
    def forward(self, encode: object) -> Normal:
        return Normal(torch.zeros(TOP), 1.0)


def test_levels_have_the_sizes_of_their_resolutions():
    vae = ladder()
    assert vae.levels == vae.encode(images()).levels == SIZES
    assert vae.latent_dim == sum(SIZES)


@pytest.mark.parametrize("channels", [1, 4])
def test_it_takes_channels_beside_those_of_an_image_and_numbers_beside_its_codes(channels):
    """As a conditional model needs them."""
    shape, beside = (channels, 6, 5), 13
    encoder = BottomUp(shape, 3 * 4 * 4 + 4 * 2 * 2, CHANNELS, 2, "silu")
    decoder = TopDown(sum(SIZES) + beside, shape, CHANNELS, LEVELS, LATENTS, TOP, HIDDEN, "silu")
    assert encoder(torch.rand(2, *shape)).shape == (2, 64)
    z = torch.rand(1, sum(SIZES) + beside).repeat(2, 1)
    z[1, sum(SIZES) :] += 1
    first, second = decoder(z)
    assert first.shape == shape and not torch.allclose(first, second)


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
    ratio, dimensions = draws.log_ratio(), kl_of_dimensions(draws.conditional)
    levels = torch.stack([each.sum(-1) for each in dimensions.split(SIZES, -1)], -1)
    error = (ratio - levels.sum(-1)).std(0) / math.sqrt(count)
    assert ((ratio.mean(0) - draws.kl("closed")).abs() < 4 * error).all()
    torch.testing.assert_close(draws.kl_per_dim("closed"), levels.mean(0))
    torch.testing.assert_close(draws.kl("sample"), ratio.mean(0), atol=1e-10, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("labels", [None, "gaussian", "flow"])
def test_the_kl_of_a_top_without_a_closed_form_is_sampled_and_that_of_the_levels_below_is_not(labels):
    condition = Label(SHAPE, TOP, list("ab"), labels) if labels else None
    vae = ladder(prior=Flow(TOP, transforms=2, hidden=(4,)), condition=condition).given(torch.tensor([0, 1]))
    draws = vae.draw(images(2), torch.randn(20_000, 2, sum(SIZES)))
    q, below = draws.conditional.split([TOP, sum(SIZES[1:])])
    p = vae.condition.prior(vae.y) if labels else vae.prior_head(vae.encode)
    ratio = q.log_prob(draws.z[..., :TOP]) - p.log_prob(draws.z[..., :TOP])
    found = draws.kl_per_level("closed")
    error = ratio.std(0) / math.sqrt(len(ratio)) if labels == "gaussian" else torch.full((2,), 1e-10)
    assert ((found[:, 0] - ratio.mean(0)).abs() < 4 * error).all()
    torch.testing.assert_close(found[:, 1:].sum(1), kl_of_dimensions(below).sum(-1).mean(0))
    whole = draws.log_ratio()
    assert ((whole.mean(0) - found.sum(1)).abs() < 4 * whole.std(0) / math.sqrt(len(whole))).all()


@torch.no_grad()
def test_the_prior_draws_and_weighs_the_top_by_its_own_and_the_levels_below_by_a_normal():
    vae = ladder(prior=Flow(TOP, transforms=2, hidden=(4,)))
    p, top = vae.prior(), vae.prior_head(vae.encode)
    z = p.sample((50_000,))
    expected = top.log_prob(z[:, :TOP]) + Normal(0.0, 1.0).log_prob(z[:, TOP:]).sum(-1)
    torch.testing.assert_close(p.log_prob(z), expected)
    torch.testing.assert_close(z[:, TOP:].std(0), torch.ones(sum(SIZES) - TOP), atol=0.02, rtol=0)
    torch.testing.assert_close(z[:, :TOP].mean(0), top.sample((50_000,)).mean(0), atol=0.05, rtol=0)
    noise = torch.randn(7, sum(SIZES))
    made, log_p = p.rsample_and_log_prob(noise)
    torch.testing.assert_close(made[:, TOP:], noise[:, TOP:])
    torch.testing.assert_close(log_p, p.log_prob(made))
    assert not p.is_isotropic and ladder().prior().is_isotropic


def test_a_style_keeps_the_codes_of_the_levels_below():
    condition = Label(SHAPE, TOP, list("ab"), "gaussian")
    nn.init.normal_(condition.codes.means)
    z, y = torch.randn(4, sum(SIZES)), torch.tensor([0, 1, 0, 1])
    carried = condition.carry(z, y, 1 - y)
    torch.testing.assert_close(carried[:, TOP:], z[:, TOP:])
    torch.testing.assert_close(carried[:, :TOP], z[:, :TOP] + (condition.codes.means[1 - y] - condition.codes.means[y]))


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
    torch.testing.assert_close(terms.draws.kl_per_level("closed"), kl)


@pytest.mark.parametrize("prior", [lambda: Standard(TOP), lambda: Flow(TOP, transforms=2, hidden=(4,))])
@pytest.mark.parametrize("labels", [None, "none", "flow"])
def test_every_parameter_has_a_gradient(prior, labels):
    condition = Label(SHAPE, TOP, list("ab"), labels) if labels else None
    likelihood = Autoregressive("bernoulli", SHAPE, features=2, field=2, samples=2)
    vae = ladder(likelihood, prior(), condition)
    for objective in (ELBO(2), IWAE(3), MMD(), Capacity(per="batch")):
        vae.zero_grad()
        model = vae.given(torch.tensor([0, 1, 0]))
        objective(model, images(), torch.randn(objective.samples, 3, sum(SIZES))).loss.mean().backward()
        used = [weight for name, weight in vae.named_parameters() if labels != "flow" or "prior_head" not in name]
        assert all(weight.grad is not None and weight.grad.any() for weight in used)


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
    vae = ladder(condition=Label(SHAPE, TOP, list("ab")))
    z = vae.given(torch.tensor([0])).sample_codes(1)
    first, second = (vae.given(torch.tensor([y])).decode(z).mean for y in (0, 1))
    assert not torch.allclose(first, second)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BottomUp(SHAPE, 7, CHANNELS, 1, "silu"), "features"),
        (lambda: TopDown(3, SHAPE, CHANNELS, LEVELS, LATENTS, TOP, HIDDEN, "silu"), "35 latents, not 3"),
        (lambda: TopDown(35, SHAPE, CHANNELS, [1], LATENTS, TOP, HIDDEN, "silu"), "one length"),
        (lambda: Ladder(SHAPE, CHANNELS, [-1, 1], LATENTS, TOP, HIDDEN, "silu"), "levels must be"),
        (lambda: Ladder(SHAPE, CHANNELS, LEVELS, LATENTS, 0, HIDDEN, "silu"), "top must be"),
        (
            lambda: ladder(prior=Standard(8)).prior(),
            r"codes of the shape \(8,\), and those of the top level, .*, have \(3,\)",
        ),
        (lambda: ladder(prior=Unsummed()).prior(), r"codes of the shape \(\)"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
