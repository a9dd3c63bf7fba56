"""Samplers against known distributions."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from src.data.batches import EvaluationBatches
from src.data.sources import Split
from src.evaluation import samplers
from src.models.likelihoods import Bernoulli
from src.support.errors import UserError
from tests.helpers.models import POSTERIORS, PRIORS, linear_gaussian, small


def run_of(vae, images=None):
    """A run of a VAE with the attributes that samplers use."""
    images = torch.zeros(8, 1, 4, 4).numpy() if images is None else images
    train = Split(images, np.zeros(len(images), np.int64))
    return SimpleNamespace(
        vae=vae,
        seed=0,
        device=torch.device("cpu"),
        train=train,
        data=SimpleNamespace(source=SimpleNamespace(train=train)),
        batches=lambda split: EvaluationBatches(*(torch.from_numpy(array) for array in split)),
    )


def labels(n):
    """Labels for n new images of a model that does not use labels."""
    return torch.zeros(n, dtype=torch.int64)


def two_clusters(n):
    """Codes around (5, -5) and (5, 5), with correlations 0.8 and -0.8 and one scale."""
    torch.manual_seed(1)
    side = torch.randint(0, 2, (n,)) * 2 - 1
    x, y = torch.randn(2, n)
    return torch.stack([5 + x, 5 * side - side * (0.8 * x + 0.6 * y)], 1)


def check_two_clusters(z):
    upper = z[:, 1] > 0
    assert 0.45 < upper.double().mean() < 0.55
    for one, sign in ((z[upper], 1), (z[~upper], -1)):
        assert torch.allclose(one.mean(0), torch.tensor([5.0, 5.0 * sign]), atol=0.15)
        assert torch.allclose(one.std(0), torch.ones(2), atol=0.15)
        assert abs(torch.corrcoef(one.T)[0, 1] + 0.8 * sign) < 0.1


def test_the_mixture_fits_two_clusters():
    codes = two_clusters(5000)
    torch.manual_seed(0)
    check_two_clusters(samplers.gmm(codes, 0).sample((4000,)))


def test_the_mixture_draws_components_in_random_order():
    torch.manual_seed(0)
    upper = samplers.gmm(two_clusters(2000), 0).sample((200,))[:, 1] > 0
    assert 0.3 < upper[:100].double().mean() < 0.7


def test_the_flow_fits_a_curve():
    """z_2 = z_1^2 / 2 + noise, which one autoregressive layer represents; far from zero and with unequal scales."""
    torch.manual_seed(0)
    x, e = torch.randn(2, 20_000)
    codes = torch.stack([100 + 10 * x, (x**2 / 2 + 0.3 * e) / 10], 1)
    state = torch.get_rng_state()
    sample = samplers.flow(codes, 0, steps=400, size=256)
    assert torch.equal(torch.get_rng_state(), state)
    z = sample(labels(4000))
    x = (z[:, 0] - 100) / 10
    assert abs(x.mean()) < 0.1
    assert abs(x.std() - 1) < 0.1
    rest = 10 * z[:, 1] - x**2 / 2
    middle = x.abs() < 1.5
    assert abs(rest[middle].mean()) < 0.1
    assert abs(rest[middle].std() - 0.3) < 0.1


def test_a_temperature_scales_the_noise():
    vae = small(POSTERIORS["gaussian"](3), PRIORS["standard"](3), Bernoulli())
    torch.manual_seed(0)
    full = samplers.prior(run_of(vae))(labels(500))
    torch.manual_seed(0)
    half = samplers.prior(run_of(vae), 0.5)(labels(500))
    assert torch.allclose(half.std(0), full.std(0) / 2, atol=0.06)
    codes = 3 + torch.randn(1000, 3)
    wide, narrow = (samplers.flow(codes, 0, t, steps=50)(labels(500)).std(0) for t in (1.0, 0.1))
    assert torch.allclose(narrow, wide / 10, rtol=0.2)


@pytest.mark.parametrize("posterior", ["gaussian", "full", "flow"])
def test_codes_and_aggregate_are_draws_of_the_aggregate_posterior(posterior):
    """If q is the true posterior, the mean of q(z|x) over images x from p(x) is the prior."""
    torch.manual_seed(0)
    vae, p = linear_gaussian(posterior=posterior)
    run = run_of(vae, p.sample((2000,))[:, None, None].numpy())
    codes = samplers.codes(run, 6000)
    assert codes.shape == (6000, 3)
    with torch.no_grad():
        sampled = samplers.aggregate(run, labels(4000))
    for z in (codes, sampled):
        assert torch.allclose(z.mean(0), torch.zeros(3), atol=0.1)
        assert torch.allclose(torch.cov(z.T), torch.eye(3), atol=0.12)
    spread = vae.encode(torch.from_numpy(run.train.images)).mean.var(0)
    assert spread[2] < 0.9 < codes[:, 2].var()  # means alone are narrower


def test_codes_do_not_depend_on_batches():
    torch.manual_seed(0)
    vae, p = linear_gaussian()
    run = run_of(vae, p.sample((300,))[:, None, None].numpy())
    whole = samplers.codes(run).sort(0).values
    run.batches = lambda split: EvaluationBatches(*(torch.from_numpy(array) for array in split), 70)
    assert torch.allclose(samplers.codes(run).sort(0).values, whole, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "posterior"),
    [(name, q) for name in PRIORS for q in POSTERIORS if (name, q) != ("vamp", "flow")],  # which does not go together
)
def test_every_prior_and_posterior_generates(name, posterior):
    torch.manual_seed(0)
    vae = small(POSTERIORS[posterior](3), PRIORS[name](3), Bernoulli()).eval()
    run = run_of(vae)
    for sampler in ("prior", "aggregate"):
        draw = samplers.make_samplers(run, [sampler])[sampler]
        made = samplers.generate(run, draw, 12, sampler)
        assert made.z.shape == (12, 3)
        assert made.means.shape == made.draws.shape == (12, 1, 4, 4)
        assert set(np.unique(made.draws)) == {0, 255}
        assert made.means.dtype == made.draws.dtype == np.uint8


def test_the_first_images_do_not_depend_on_how_many_there_are_or_what_was_drawn_before():
    vae = small(POSTERIORS["gaussian"](3), PRIORS["standard"](3), Bernoulli())
    run = run_of(vae)
    few, many = (samplers.generate(run, samplers.prior(run), n, "prior") for n in (7, 1003))
    assert len(many.z) == 1003
    for a, b in zip(few, many, strict=True):
        assert np.array_equal(a, b[:7])
    assert len(np.unique(many.z[:, 0])) == 1003
    torch.rand(3)
    state = torch.get_rng_state()
    again = samplers.generate(run, samplers.prior(run), 7, "prior")
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(again.draws, few.draws)
    run.seed = 1
    assert not np.array_equal(samplers.generate(run, samplers.prior(run), 7, "prior").z, few.z)


@pytest.mark.parametrize(
    ("names", "temperature", "message"),
    [
        (["prior", "prior"], 1, "each sampler once"),
        (["prior", "gmm", "aggregate"], 0.5, r"leave out gmm, aggregate, .* task.samplers=\[prior,flow\]"),
    ],
)
def test_bad_options_are_rejected(names, temperature, message):
    vae = small(POSTERIORS["gaussian"](3), PRIORS["standard"](3), Bernoulli())
    with pytest.raises(UserError, match=message):
        samplers.check_samplers(run_of(vae), names, temperature)


@pytest.mark.parametrize(
    ("name", "scales"), [("standard", True), ("mixture", False), ("vamp", False), ("coupling", True)]
)
def test_a_temperature_is_rejected_for_a_prior_without_noise_to_scale(name, scales):
    run = run_of(small(POSTERIORS["gaussian"](3), PRIORS[name](3), Bernoulli()))
    samplers.check_samplers(run, ["prior"], 1.0)
    if scales:
        samplers.check_samplers(run, ["prior"], 0.5)
    else:
        with pytest.raises(UserError, match=r"leave out prior, .* task.samplers=\[flow\]"):
            samplers.check_samplers(run, ["prior"], 0.5)


class Conditional:
    """A VAE of one pixel whose prior and decoder need the labels: z ~ N(y, 0.1^2), and the image is z / 10."""

    latent_dim = 1

    def __init__(self, y=None):
        self.y = y

    def given(self, y):
        return Conditional(y)

    def prior(self):
        raise AssertionError("temperature is 1")

    def sample_codes(self, n):
        return self.y[:, None] + 0.1 * torch.randn(n, 1)

    def decode(self, z):
        assert torch.equal(z.round()[:, 0], self.y)
        mean = z[..., None, None] / 10
        return SimpleNamespace(mean=mean, sample=lambda: mean)


def test_a_conditional_model_is_given_labels_of_the_training_images():
    run = run_of(Conditional())
    run.data.source.train = Split(np.zeros((300, 1, 1, 1), np.float32), np.repeat([2, 5, 5], 100))
    z = samplers.generate(run, samplers.prior(run), 600, "prior").z
    made, counts = np.unique(z.round(), return_counts=True)
    assert made.tolist() == [2, 5]
    assert 0.6 < counts[1] / 600 < 0.75
    assert np.array_equal(samplers.generate(run, samplers.prior(run), 7, "prior").z, z[:7])
