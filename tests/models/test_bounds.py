"""Any finite output of a network has finite terms and gradients in float32, and the right ones where there are any."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence

from src.models import likelihoods, posteriors, priors
from src.models.bounds import LOG_FAR, clamp_scale
from src.models.divergences import kl_per_dim
from src.models.images import GreyLevels
from src.models.vae import VAE
from src.training import objectives
from tests.helpers.models import LIKELIHOODS, POSTERIORS, PRIORS

D = 3
OBJECTIVES = {
    "elbo": objectives.ELBO(),
    "elbo_sample": objectives.ELBO(samples=2, kl="sample"),
    "free_bits": objectives.FreeBits(),
    "capacity": objectives.Capacity(),
    **{f"iwae_{e}": objectives.IWAE(3, e) for e in ("iwae", "stl", "dreg")},
    "beta_tc": objectives.BetaTC(6),
    "mmd": objectives.MMD(),
}
LARGEST = torch.finfo(torch.float32).max
SIZES = (30.0, 88.0, 105.0, 210.0, 1e4, 1e12, 1e20, 1e30, LARGEST)


def fill(tensor: Tensor, pattern: str, size: float) -> Tensor:
    """A tensor of that shape, full of numbers of the size `size`."""
    if pattern == "mixed":
        random = torch.Generator().manual_seed(0)
        choices = torch.tensor([0.0, 1.0, -1.0, size, -size])
        return choices[torch.randint(5, tensor.shape, generator=random)]
    signs = {"above": (1, 1), "below": (-1, -1), "alternating": (1, -1)}[pattern]
    return size * torch.tensor(signs).repeat(tensor.numel() // 2 + 1)[: tensor.numel()].view(tensor.shape)


PATTERNS = ("above", "below", "alternating", "mixed")


class Given(nn.Module):
    """A network whose output is a parameter, whatever its input."""

    def __init__(self, *shape: int):
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return self.raw.expand(len(x), *self.raw.shape)


def given(posterior: str, prior: str, likelihood: str) -> VAE:
    """A VAE of 4 x 4 pixels whose networks' outputs are parameters, of which there are none else."""
    torch.manual_seed(0)
    parts = POSTERIORS[posterior](D), PRIORS[prior](D), LIKELIHOODS[likelihood]()
    return VAE((1, 4, 4), D, lambda shape, out: Given(out), lambda features, shape: Given(*shape), *parts)


def check_finite(vae: VAE, objective: str, case: str) -> None:
    """Terms and gradients of a training step."""
    minimised = OBJECTIVES[objective]
    x = (torch.arange(64) % 2.0).view(4, 1, 4, 4)
    terms = minimised(vae.train(), x, torch.randn(minimised.samples, 4, D), 0.5)
    assert all(term.isfinite().all() for term in terms[:3]), case
    assert terms.loss.mean().isfinite(), case
    terms.loss.mean().backward()
    for name, weight in vae.named_parameters():
        assert weight.grad is None or weight.grad.isfinite().all(), f"{case}: {name}"
    assert all(buffer.isfinite().all() for buffer in vae.buffers()), case


REFUSED = {("full", "free_bits"), *(("flow", name) for name in ("beta_tc", "iwae_stl", "iwae_dreg", "free_bits"))}


@pytest.mark.parametrize(
    ("posterior", "objective"), [pair for pair in itertools.product(POSTERIORS, OBJECTIVES) if pair not in REFUSED]
)
def test_any_output_of_the_encoder_has_finite_terms(posterior, objective):
    for pattern, size in itertools.product(PATTERNS, SIZES):
        vae = given(posterior, "standard", "bernoulli")
        vae.encoder.raw.data = fill(vae.encoder.raw, pattern, size)
        check_finite(vae, objective, f"{pattern} {size}")


@pytest.mark.parametrize(
    ("likelihood", "objective"),
    [(name, "elbo") for name in LIKELIHOODS] + [(name, "iwae_dreg") for name in LIKELIHOODS if "optimal" not in name],
)
def test_any_output_of_the_decoder_has_finite_terms(likelihood, objective):
    for pattern, size in itertools.product(PATTERNS, SIZES):
        vae = given("gaussian", "standard", likelihood)
        vae.decoder.raw.data = fill(vae.decoder.raw, pattern, size)
        check_finite(vae, objective, f"{pattern} {size}")
        with torch.no_grad():
            px = vae.eval().decode(torch.zeros(2, D))
            x = torch.ones(2, 1, 4, 4)
            assert px.log_prob(x).isfinite().all(), f"{pattern} {size}"
            assert px.mean.isfinite().all(), f"{pattern} {size}"


@pytest.mark.parametrize(("posterior", "prior"), itertools.product(("gaussian", "full"), PRIORS))
def test_any_weights_of_the_prior_and_any_codes_have_finite_terms(posterior, prior):
    for pattern, size in itertools.product(PATTERNS, SIZES):
        codes = given(posterior, prior, "bernoulli")
        codes.encoder.raw.data = fill(codes.encoder.raw, pattern, size)
        check_finite(codes, "elbo", f"codes {pattern} {size}")
        if prior in ("mixture", "vamp"):
            vae = given(posterior, prior, "bernoulli")
            for weight in vae.prior_head.parameters():
                weight.data = fill(weight, pattern, size)
            check_finite(vae, "elbo", f"prior {pattern} {size}")


@pytest.mark.parametrize("size", SIZES)
def test_any_logarithm_of_a_learned_sigma_has_finite_terms(size):
    for sign in (1, -1):
        vae = given("gaussian", "standard", "gaussian_learned")
        vae.likelihood.log_sigma.data.fill_(sign * size)
        check_finite(vae, "elbo", str(sign * size))


LOGVARS = (-1e10, -1e4, -210.0, -104.0, -70.0, -68.0, -20.0, 0.0, 20.0, 60.0)


@pytest.mark.parametrize("logvar", LOGVARS)
@pytest.mark.parametrize("mean", [0.0, 3.0, -1e6])
@pytest.mark.parametrize("posterior", ["gaussian", "full"])
def test_the_kl_of_a_gaussian_is_exact_and_so_is_its_gradient(posterior, mean, logvar):
    """(exp(v) + m^2 - 1 - v) / 2, of slope (exp(v) - 1) / 2 in v and m in m; a dimension's alone, too."""
    head = POSTERIORS[posterior](2)
    raw = torch.zeros(1, head.in_features)
    raw[:, :2], raw[:, 2:4] = mean, logvar
    q, p = head(raw.requires_grad_()), priors.Standard(2)(None)
    nats = 0.5 * (math.exp(logvar) + mean**2 - 1 - logvar)
    slope = 0.5 * (math.exp(logvar) - 1)
    found = [kl_divergence(q, p)]
    if posterior == "gaussian":
        found.append(kl_per_dim(q, p).sum(1))
    for each in found:
        assert each.item() == pytest.approx(2 * nats, rel=1e-6, abs=1e-6)
        (gradient,) = torch.autograd.grad(each.sum(), raw, retain_graph=True)
        assert gradient[0, :2].tolist() == pytest.approx([mean] * 2)
        assert gradient[0, 2:4].tolist() == pytest.approx([slope] * 2, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("logvar", LOGVARS)
@pytest.mark.parametrize("posterior", ["gaussian", "full"])
def test_the_density_of_a_sample_is_exact(posterior, logvar):
    """-(n^2 + v + log 2 pi) / 2 for each dimension, of slope -1/2 in v."""
    head = POSTERIORS[posterior](2)
    raw = torch.zeros(1, head.in_features)
    raw[:, 2:4] = logvar
    noise = torch.tensor([[0.5, -2.0]])
    _, log_q = head(raw.requires_grad_()).rsample_and_log_prob(noise)
    assert log_q.item() == pytest.approx(-0.5 * (0.25 + 4 + 2 * logvar + 2 * math.log(2 * math.pi)), rel=1e-6)
    (gradient,) = torch.autograd.grad(log_q.sum(), raw)
    assert gradient[0, 2:4].tolist() == pytest.approx([-0.5] * 2)


@pytest.mark.parametrize("posterior", ["gaussian", "full"])
def test_the_density_of_any_code_is_exact_within_the_range_of_float32(posterior):
    for logvar, distance in ((-60.0, 1e-3), (-30.0, 1e2), (60.0, 1e8)):
        head = POSTERIORS[posterior](2)
        raw = torch.zeros(1, head.in_features)
        raw[:, 2:4] = logvar
        q, z = head(raw), torch.tensor([[distance, 0.0]])
        exact = -0.5 * (distance**2 * math.exp(-logvar) + 2 * logvar + 2 * math.log(2 * math.pi))
        assert q.log_prob(z).item() == pytest.approx(exact, rel=1e-5)
        assert q.marginals().log_prob(z).sum().item() == pytest.approx(exact, rel=1e-5)


def test_within_the_bounds_a_scale_is_the_exponential_to_the_last_bit():
    logarithm = torch.linspace(-LOG_FAR, LOG_FAR, 10_001)
    scale, excess = clamp_scale(logarithm)
    assert torch.equal(scale, logarithm.exp())
    assert not excess.any()


def test_grey_levels_far_from_the_location_have_their_nats():
    """log P(k) of a logistic far away is -|k / 255 - loc| / scale, its slope in loc is 1 / scale."""
    raw = torch.zeros(1, 2, 1, 1)
    raw[:, 0], raw[:, 1] = 1e6, -1e4
    px = likelihoods.Logistic256()(raw.requires_grad_())
    found = px.log_prob(torch.full((1, 1, 1, 1), 128 / 255))
    scale = likelihoods.FLOOR / 10
    assert GreyLevels().check(torch.tensor(128 / 255))
    assert found.item() == pytest.approx(-1e6 / scale, rel=1e-5)
    assert torch.autograd.grad(found.sum(), raw)[0][0, 0].item() == pytest.approx(-1 / scale, rel=1e-5)


def test_a_posterior_that_was_cut_is_the_same_when_detached():
    raw = torch.zeros(1, 4)
    raw[:, 2:] = -210
    q = posteriors.Gaussian(2)(raw)
    assert kl_divergence(q.detached(), priors.Standard(2)(None)).item() == pytest.approx(2 * 104.5)
    torch.testing.assert_close(q.detached().log_prob(q.mean), q.log_prob(q.mean))
