"""condition=label: labels follow codes, numbers are exact, and every combination of parts trains or is refused."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from src.data.batches import Batch
from src.inference import importance
from src.inference.proposals import propose
from src.models import priors
from src.models.conditions import Label
from src.models.likelihoods import Bernoulli
from src.models.likelihoods import Gaussian as GaussianLikelihood
from src.models.posteriors import Full, Gaussian
from src.models.vae import VAE
from src.support.errors import UserError
from src.support.noise import Noise
from src.training import objectives
from src.training.trial import try_objective
from tests.helpers.models import LIKELIHOODS, POSTERIORS, PRIORS, SIGMA, conditional

D, LABELS, PIXELS = 3, 4, 6
OWN_PRIORS = ("none", "gaussian", "flow")
ONE_SAMPLE = {
    "elbo": objectives.ELBO(kl="sample"),
    "iwae": objectives.IWAE(1),
    "beta_tc": objectives.BetaTC(1.0),
    "free_bits": objectives.FreeBits(floor=0.0, per="total", kl="sample"),
}
OBJECTIVES = {
    "elbo": objectives.ELBO(),
    "elbo_sample": objectives.ELBO(samples=2, kl="sample"),
    "free_bits": objectives.FreeBits(floor=0.0),
    "capacity": objectives.Capacity(),
    "iwae_dreg": objectives.IWAE(3, "dreg"),
    "beta_tc": objectives.BetaTC(6),
    "mmd": objectives.MMD(),
}


def binary(count: int = 12) -> tuple[Tensor, Tensor]:
    """Images of labels, (count,) each."""
    torch.manual_seed(2)
    return torch.rand(count, 1, 4, 4).round(), torch.arange(count) % LABELS


def known(own_prior: str) -> tuple[VAE, Tensor, Tensor]:
    """A linear-Gaussian conditional VAE, and the means (LABELS, PIXELS) and the covariance of its p(x|y).

    x = W z + W m_y + b_y + sigma e, where W m_y is the mean of p(z|y) with the condition's prior, which has the scale
    of each latent too; the covariance is then that of the first label, all of whose scales are alike. The encoder is
    that of the average label, so that its posterior is wrong.
    """
    torch.manual_seed(3)
    w, b = torch.linalg.qr(torch.randn(PIXELS, D))[0] * torch.tensor([2.0, 1.0, 0.5]), torch.randn(LABELS, PIXELS)
    condition = Label((1, 1, PIXELS), D, list("abcd"), own_prior)
    scales = torch.tensor([1.5, 0.7, 1.0]) if own_prior != "none" else torch.ones(D)
    if own_prior != "none":
        with torch.no_grad():
            condition.codes.means.copy_(torch.randn(LABELS, D))
            condition.codes.log_scales.copy_(scales.log().expand(LABELS, D))
    means = condition.codes.means.detach() if own_prior != "none" else torch.zeros(LABELS, D)
    precision = scales.pow(-2).diag() + w.T @ w / SIGMA**2

    def encoder(shape: tuple, out_features: int) -> nn.Module:
        assert shape == (2, 1, PIXELS)
        layer = nn.Linear(2 * PIXELS, out_features)
        with torch.no_grad():
            layer.weight.zero_()
            layer.weight[:D, :PIXELS] = precision.inverse() @ w.T / SIGMA**2
            layer.bias[:D] = -layer.weight[:D, :PIXELS] @ b.mean(0)
            layer.bias[D:] = 0.5 - precision.diagonal().log()
        return nn.Sequential(nn.Flatten(), layer)

    def decoder(in_features: int, shape: tuple) -> nn.Module:
        assert in_features == D + LABELS
        layer = nn.Linear(in_features, PIXELS, bias=False)
        with torch.no_grad():
            layer.weight.copy_(torch.cat([w, b.T], 1))
        return nn.Sequential(layer, nn.Unflatten(1, shape))

    vae = VAE(
        (1, 1, PIXELS),
        D,
        encoder,
        decoder,
        Gaussian(D),
        priors.Standard(D),
        GaussianLikelihood(SIGMA),
        condition=condition,
    )
    return (
        vae.eval().requires_grad_(False),
        b + means @ w.T,
        w @ scales.square().diag() @ w.T + SIGMA**2 * torch.eye(PIXELS),
    )


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("own_prior", ["none", "gaussian"])
def test_bounds_of_a_known_model_are_ordered_and_reach_log_p_of_x_given_y(own_prior):
    vae, mean, covariance = known(own_prior)
    y = torch.arange(80) % LABELS
    px = MultivariateNormal(mean[y], covariance)
    x = px.sample()
    batch, truth = Batch(x[:, None, None], y, torch.arange(80)), px.log_prob(x)
    log_w = importance.log_weights(vae, batch, 2000, Noise(0))
    elbo, *bounds = (importance.log_mean_weight(log_w[:k]).mean() for k in (1, 5, 50, 2000))
    assert elbo < bounds[0] < bounds[1] < bounds[2] < truth.mean() + 0.02
    assert (truth - importance.log_mean_weight(log_w)).mean() < 0.05
    tight, _ = importance.nll(vae, batch, 500, Noise(0), propose(vae, batch, Noise(0)).mixture)
    torch.testing.assert_close(-tight, truth, atol=0.2, rtol=0)
    assert abs((tight + truth).mean()) < 0.02


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("own_prior", OWN_PRIORS)
def test_with_one_sample_all_objectives_are_the_elbo(own_prior):
    x, y = binary()
    vae, noise = conditional(own_prior=own_prior), torch.randn(1, len(x), D)
    terms = {name: objective(vae.given(y), x, noise) for name, objective in ONE_SAMPLE.items()}
    for each in terms.values():
        torch.testing.assert_close(each.loss, terms["elbo"].loss, atol=1e-10, rtol=0)
    draws = vae.given(y).draw(x, noise)
    torch.testing.assert_close(vae.given(y).log_joint(x, draws.z[0]) - draws.log_q[0], -terms["elbo"].loss)


@pytest.mark.usefixtures("float64")
def test_the_kl_from_the_prior_of_a_label_is_that_of_the_gaussians():
    x, y = binary()
    for posterior in (Gaussian(D), Full(D)):
        vae = conditional(posterior, own_prior="gaussian")
        q, p = vae.given(y).encode(x), vae.given(y).prior()
        sampled = vae.given(y).draw(x, torch.randn(20_000, len(x), D)).log_ratio()
        error = sampled.std(0) / math.sqrt(len(sampled))
        assert ((torch.distributions.kl_divergence(q, p) - sampled.mean(0)).abs() < 5 * error).all()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("own_prior", OWN_PRIORS)
def test_each_image_and_code_keeps_its_label(own_prior):
    """A batch of several labels gives what its images give by themselves."""
    x, y = binary()
    vae, z = conditional(own_prior=own_prior), torch.randn(5, len(x), D)
    both = vae.given(y)
    for i in range(len(x)):
        one = vae.given(y[i : i + 1])
        torch.testing.assert_close(both.encode(x).mean[i], one.encode(x[i : i + 1]).mean[0])
        torch.testing.assert_close(both.decode(z).mean[:, i], one.decode(z[:, i : i + 1]).mean[:, 0])
        torch.testing.assert_close(both.decode(z[0]).mean[i], one.decode(z[0, i : i + 1]).mean[0])
        torch.testing.assert_close(both.log_joint(x, z)[:, i], one.log_joint(x[i : i + 1], z[:, i : i + 1])[:, 0])
        torch.testing.assert_close(both.reconstruct(x)[i], one.reconstruct(x[i : i + 1])[0])
    others = vae.given((y + 1) % LABELS)
    assert not torch.isclose(others.encode(x).mean, both.encode(x).mean).all(1).any()
    assert not torch.isclose(others.decode(z).mean, both.decode(z).mean).flatten(2).all(2).any()


@pytest.mark.parametrize("own_prior", OWN_PRIORS)
@pytest.mark.parametrize(("labels", "others"), [(1, 5), (5, 1), (4, 5)])
def test_other_numbers_of_labels_raise(labels, others, own_prior):
    vae, x, z = conditional(own_prior=own_prior), binary(others)[0], torch.randn(2, others, D)
    view, error = vae.given(torch.zeros(labels, dtype=torch.long)), f"{labels} labels"
    calls = [lambda: view.encode(x), lambda: view.decode(z), lambda: view.decode(z[0]), lambda: view.sample(others)]
    calls += [lambda: view.embed(x), lambda: view.reconstruct(x), lambda: view.sample_codes(others)]
    calls += [lambda: view.draw(x, z), lambda: view.log_joint(x, z)]
    if own_prior != "none":
        q = vae.given(torch.zeros(others, dtype=torch.long)).encode(x)
        calls += [lambda: view.prior().log_prob(z), lambda: view.prior().rsample_and_log_prob(z)]
        calls += [lambda: torch.distributions.kl_divergence(q, view.prior())]
    for call in calls:
        with pytest.raises(ValueError, match=error):
            call()


@pytest.mark.parametrize("own_prior", OWN_PRIORS)
def test_a_conditional_model_without_labels_raises_a_line(own_prior):
    vae, x = conditional(own_prior=own_prior), binary()[0]
    calls = [lambda: vae.encode(x), lambda: vae.decode(torch.randn(12, D)), lambda: vae.sample(3), lambda: vae.embed(x)]
    calls += [vae.prior] if own_prior != "none" else []
    for call in calls:
        with pytest.raises(ValueError, match=r"this model is conditional on labels: use vae.given\(y\)"):
            call()


@pytest.mark.parametrize("y", [torch.zeros(3), torch.zeros(3, 1, dtype=torch.long), torch.tensor(1), torch.ones(3) > 0])
def test_labels_are_whole_numbers_of_a_batch(y):
    with pytest.raises(ValueError, match=r"labels must be whole numbers \(N,\)"):
        conditional().given(y)


@pytest.mark.parametrize("label", [-1, LABELS])
def test_labels_out_of_range_raise(label):
    view = conditional().given(torch.tensor([label]))
    for call in (lambda: view.encode(binary(1)[0]), lambda: view.decode(torch.randn(1, D))):
        with pytest.raises((IndexError, RuntimeError)):
            call()


def test_a_view_shares_the_weights_and_leaves_the_model_alone():
    vae, (x, y) = conditional(), binary()
    vae.given(y).encode(x).mean.sum().backward()
    assert vae.condition.images.grad.any()
    assert vae.y is None
    assert set(vae.given(y).state_dict()) == set(vae.state_dict())


def test_a_prior_of_each_label_samples_one_code_of_each():
    vae = conditional(own_prior="gaussian")
    with torch.no_grad():
        vae.condition.codes.means.copy_(100 * torch.arange(LABELS)[:, None].expand(-1, D))
    y = torch.tensor([3, 1, 1, 0])
    z = vae.given(y).sample_codes(4)
    assert torch.equal((z / 100).round(), y[:, None].expand(-1, D).float())
    assert vae.given(y).prior().quantiles(torch.tensor([0.5, 0.9])).shape == (2, 4, D)
    own, other = (vae.condition.codes(each) for each in (y, y.flip(0)))
    moved = vae.condition.carry(z, y, y.flip(0))
    torch.testing.assert_close((moved - other.loc) / other.scale, (z - own.loc) / own.scale, atol=1e-3, rtol=0)


def test_a_flow_carries_codes_by_their_noise():
    vae = conditional(own_prior="flow")
    y, codes = torch.tensor([3, 1, 1, 0]), vae.condition.codes
    with torch.no_grad():
        noise = torch.randn(4, D)
        z = codes.from_noise(noise, y)
        torch.testing.assert_close(z, codes(y).rsample_and_log_prob(noise)[0])
        torch.testing.assert_close(codes.to_noise(z, y), noise, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            vae.condition.carry(z, y, y.flip(0)), codes.from_noise(noise, y.flip(0)), atol=1e-4, rtol=1e-4
        )


def test_pseudo_inputs_have_labels_in_turn():
    vae = conditional(prior=priors.Vamp((1, 4, 4), 2 * LABELS)).requires_grad_(False)
    parts, images = vae.prior().components, vae.prior_head.logits.sigmoid()
    torch.testing.assert_close(parts.loc, vae.given(torch.arange(2 * LABELS) % LABELS).encode(images).mean)
    torch.testing.assert_close(parts.loc, vae.given(torch.tensor([2])).prior().components.loc)  # one p(z) for all


COMBINATIONS = [
    *((q, p, "bernoulli", o, "none") for q, p, o in itertools.product(POSTERIORS, PRIORS, OBJECTIVES)),
    *(("gaussian", "standard", each, "elbo", "none") for each in LIKELIHOODS),
    *((q, "standard", "bernoulli", o, own) for q, o, own in itertools.product(POSTERIORS, OBJECTIVES, OWN_PRIORS[1:])),
]


def test_every_combination_trains_all_its_parameters_or_is_refused():
    torch.manual_seed(0)
    accepted = 0
    for posterior, prior, likelihood, objective, own_prior in COMBINATIONS:
        vae = conditional(POSTERIORS[posterior](D), PRIORS[prior](D), LIKELIHOODS[likelihood](), own_prior)
        minimised, name = OBJECTIVES[objective], f"{posterior} {prior} {likelihood} {objective} {own_prior}"
        try:
            try_objective(vae, minimised, [2, 1, 4, 4])
        except UserError as error:
            assert all(f"={part}" in str(error) for part in (posterior, prior) if part in ("flow", "vamp")), name
            continue
        accepted += 1
        x, y = binary(8)
        terms = minimised(vae.given(y), x, torch.randn(minimised.samples, 8, D), 0.5)
        terms.loss.mean().backward()
        for key, weight in vae.named_parameters():
            assert weight.grad is not None and weight.grad.isfinite().all() and weight.grad.any(), f"{name}: {key}"
    assert accepted > 0.6 * len(COMBINATIONS)


def test_an_unconditional_model_ignores_labels():
    vae = conditional().requires_grad_(False)
    assert vae.given(binary()[1]) is not vae
    plain = VAE((1, 4, 4), D, *conditional_networks(), Gaussian(D), priors.Standard(D), Bernoulli())
    assert plain.given(binary()[1]) is plain
    assert plain.given_each_label(5) is plain


def conditional_networks() -> tuple:
    def encoder(shape: tuple, out_features: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), out_features))

    def decoder(in_features: int, shape: tuple) -> nn.Module:
        return nn.Sequential(nn.Linear(in_features, math.prod(shape)), nn.Unflatten(1, shape))

    return encoder, decoder
