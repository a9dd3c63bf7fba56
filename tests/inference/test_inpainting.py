"""What the visible pixels say of the others, against a model where that is known, in float64."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from src.inference.importance import encoder_parameters, refine
from src.inference.inpainting import STEPS, Fits, Inpainting, Masked, fit_codes, inpaint, marginals, resample
from src.models.vae import VAE
from src.support.noise import Noise
from tests.helpers.batches import as_batch, select
from tests.helpers.models import linear_gaussian

COUNT = 40


def conditional(px: MultivariateNormal, x: torch.Tensor, seen: torch.Tensor) -> tuple[float, torch.Tensor]:
    """-log p(missing | visible), and the missing pixels' mean, of a single x (D,) of a Gaussian."""
    m, s = px.mean, px.covariance_matrix
    gain = s[~seen][:, seen] @ s[seen][:, seen].inverse()
    mean = m[~seen] + gain @ (x[seen] - m[seen])
    return -MultivariateNormal(mean, s[~seen][:, ~seen] - gain @ s[seen][:, ~seen]).log_prob(x[~seen]).item(), mean


def case(**options):
    vae, px = linear_gaussian(**options)
    x = px.sample((COUNT,))
    seen = torch.rand(COUNT, 6).argsort(1) < torch.randint(1, 6, (COUNT, 1))  # from one to five of six
    return vae, px, x, seen


def fill(
    vae: VAE, x: torch.Tensor, seen: torch.Tensor, samples: int = 2000, draws: int = 400, steps: int = STEPS
) -> Inpainting:
    return fill_rows(vae, Masked(as_batch(x), seen[:, None, None]), slice(None), samples, draws, steps)


def fill_rows(vae: VAE, masked: Masked, rows: slice, samples: int, draws: int, steps: int) -> Inpainting:
    """Some of the images, whose fits begin with the missing pixels of the same others in whatever company."""
    donors = torch.stack([masked.batch.x.flip(0), masked.batch.x.roll(1, 0)])[:, rows]
    batch = select(masked.batch, rows)
    whole = refine(vae, batch, Noise(0), encoder_parameters(vae, batch, Noise(0)))
    part = Masked(batch, masked.visible[rows])
    return inpaint(vae, part, Fits(fit_codes(vae, part, donors, Noise(0), steps), whole), Noise(0), samples, draws)


@pytest.mark.parametrize("options", [{}, {"error": 0.1}, {"posterior": "full", "correlated": True}], ids=str)
def test_missing_pixels_have_their_known_probability_and_mean(float64, options):
    vae, px, x, seen = case(**options)
    found = fill(vae, x, seen)
    for i in range(COUNT):
        nll, mean = conditional(px, x[i], seen[i])
        assert found.nll[i].item() == pytest.approx(nll, abs=0.15)
        fills = found.means[:, i, 0, 0, ~seen[i]]
        independent = min(len(fills), found.effective[i].item())
        assert ((fills.mean(0) - mean).abs() < 5 * fills.std(0) / math.sqrt(independent)).all()
    assert found.effective.median() > 500


def test_draws_spread_as_the_posterior_given_the_visible_pixels(float64):
    vae, _px, x, seen = case()
    w, b = vae.decoder[0].weight.detach(), vae.decoder[0].bias.detach()
    found = fill(vae, x, seen, draws=2000)
    for i in range(5):
        visible = w[seen[i]]
        spread = (torch.eye(3) + visible.T @ visible / 0.16).inverse()
        centre = spread @ visible.T @ (x[i] - b)[seen[i]] / 0.16
        fills = found.means[:, i, 0, 0]
        torch.testing.assert_close(fills.mean(0), w @ centre + b, atol=0.2, rtol=0)
        torch.testing.assert_close(fills.T.cov(), w @ spread @ w.T, atol=0.5, rtol=0.2)


def test_chunks_change_no_number(float64):
    vae, _, x, seen = case(error=0.1)
    whole = fill(vae, x, seen, 200, 5, 20)
    masked = Masked(as_batch(x), seen[:, None, None])
    parts = [fill_rows(vae, masked, rows, 200, 5, 20) for rows in (slice(0, 13), slice(13, None))]
    torch.testing.assert_close(torch.cat([part.nll for part in parts]), whole.nll)
    torch.testing.assert_close(torch.cat([part.means for part in parts], 1), whole.means)


def test_codes_are_resampled_as_often_as_they_weigh(float64):
    z = torch.arange(3.0)[:, None, None].expand(3, 2, 1)
    weights = torch.tensor([[0.2, 0.0], [0.5, 1.0], [0.3, 0.0]])
    chosen = resample(z, weights.log() + 7, torch.randn(20_000, 2))[..., 0]
    shares = torch.stack([(chosen == value).double().mean(0) for value in range(3)])
    torch.testing.assert_close(shares, weights, atol=0.02, rtol=0)


@pytest.mark.parametrize("pixels", ["binary", "dequantized", "levels"])
def test_marginals_are_counts(float64, pixels):
    images = np.random.default_rng(0).choice([0, 3, 255], size=(50, 1, 2, 3)).astype(np.uint8)
    base = marginals(images, pixels)
    torch.testing.assert_close(base.log_p.exp().sum(0), torch.ones(1, 2, 3))
    grey = images[:1]
    x, half = torch.from_numpy(grey / 255), 0.5
    counts = (images == grey).sum(0) + half
    total = len(images) + 256 * half
    if pixels == "binary":
        x = (x > 0.5).double()
        ones = (images / 255).sum(0)
        counts, total = np.where(x, ones, 50 - ones) + half, len(images) + 2 * half
    expected = -np.log(counts / total)
    if pixels == "dequantized":
        x, expected = torch.from_numpy((grey + 0.7) / 256), expected - math.log(256)
    visible = torch.tensor([[[[True, False, False], [False, False, False]]]])
    assert base.nll(x, visible).item() == pytest.approx(expected.sum() - expected[..., 0, 0].item())
    if pixels == "binary":
        torch.testing.assert_close(base.mean(), torch.from_numpy((ones + half) / total))
