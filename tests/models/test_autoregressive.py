"""src/models/autoregressive.py: the density is one, samples follow it, and no pixel sees itself or a later one."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu

from src.models import autoregressive
from src.models.autoregressive import Autoregressive
from src.models.likelihoods import Bernoulli, Logistic256
from src.models.posteriors import Gaussian
from src.models.priors import Standard
from tests.helpers.models import small

pytestmark = pytest.mark.usefixtures("float64")


def head_of(pixel: str = "bernoulli", colors: int = 1, field: int = 3) -> Autoregressive:
    """A head with random weights, far from the independent pixels that it starts at."""
    torch.manual_seed(0)
    head = Autoregressive(pixel, (colors, 4, 4), features=3, field=field, samples=2)
    for weight in head.parameters():
        torch.nn.init.normal_(weight, std=0.7)
    return head


def raw_for(head: Autoregressive, height: int, width: int, count: int = 1) -> Tensor:
    return torch.randn(count, head.channels * head.colors, height, width)


def all_binary(colors: int, height: int, width: int) -> Tensor:
    images = itertools.product([0.0, 1.0], repeat=colors * height * width)
    return torch.tensor(list(images)).view(-1, colors, height, width)


@pytest.mark.parametrize(("colors", "height", "width"), [(1, 3, 3), (2, 2, 2), (3, 1, 3)])
@pytest.mark.parametrize("field", [1, 2, 4])
def test_the_density_of_all_binary_images_sums_to_one(colors, height, width, field):
    head = head_of(colors=colors, field=field)
    x = all_binary(colors, height, width)
    px = head(raw_for(head, height, width).expand(len(x), -1, -1, -1))
    assert px.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("colors", "height", "width"), [(1, 3, 3), (2, 2, 2)])
def test_samples_have_the_probabilities_that_the_density_says(colors, height, width):
    head, x, n = head_of(colors=colors), all_binary(colors, height, width), 100_000
    raw = raw_for(head, height, width)
    expected = n * head(raw.expand(len(x), -1, -1, -1)).log_prob(x).exp()
    drawn = head(raw).sample((n,)).flatten(1).long()
    number = (drawn * 2 ** torch.arange(drawn.shape[1] - 1, -1, -1)).sum(1)
    counts = torch.bincount(number, minlength=len(x))
    frequent = expected > 5
    chi_square = ((counts - expected).square() / expected)[frequent].sum()
    degrees = int(frequent.sum()) - 1
    assert abs(chi_square.item() - degrees) < 5 * math.sqrt(2 * degrees)


@pytest.mark.parametrize(("colors", "width"), [(1, 2), (2, 1)])
def test_samples_of_gray_levels_have_the_mean_log_density_of_the_head(colors, width):
    """The entropy of two pixels, or of the two colors of one, summed over all pairs of levels, against samples."""
    head = head_of("logistic256", colors=colors)
    raw = raw_for(head, 1, width) / 4
    levels = torch.arange(256) / 255
    pairs = torch.cartesian_prod(levels, levels).view(-1, colors, 1, width)
    log_p = head(raw.expand(len(pairs), -1, -1, -1)).log_prob(pairs)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)
    px = head(raw.expand(20_000, -1, -1, -1))
    found = px.log_prob(px.sample())
    assert found.mean().item() == pytest.approx((log_p.exp() * log_p).sum().item(), abs=5 * found.std().item() / 141)


@pytest.mark.parametrize("pixels", ["bernoulli", "logistic256"])
@pytest.mark.parametrize(("colors", "field"), [(1, 1), (1, 4), (2, 3)])
def test_no_pixel_sees_itself_or_a_later_one_or_beyond_its_field(pixels, colors, field):
    head, side = head_of(pixels, colors, field), 6
    x = torch.rand(1, colors, side, side, requires_grad=True)
    _, hidden = head.split(raw_for(head, side, side))
    hidden = hidden + head.first(x)
    for layer in head.layers:
        hidden = hidden + layer(silu(hidden))
    out = head.last(silu(hidden))
    seen = set()
    for i, row, column in itertools.product(range(out.shape[1]), range(side), range(side)):
        (gradient,) = torch.autograd.grad(out[0, i, row, column], x, retain_graph=True)
        for color, above, beside in gradient[0].nonzero().tolist():
            assert (above, beside, color) < (row, column, i % colors)
            seen.add((row - above, beside - column))
    assert max(up for up, _ in seen) == field
    assert max(side for _, side in seen) == max(-side for _, side in seen) == field


def test_samples_of_codes_share_what_sees_the_image_alone():
    head = head_of()
    raw, x = raw_for(head, 4, 5, 6).unflatten(0, (3, 2)), all_binary(1, 1, 1)[:, :, :1].expand(2, 1, 4, 5)
    calls = []
    head.first.register_forward_hook(lambda module, given, out: calls.append(len(given[0])))
    together = head(raw).log_prob(x)
    assert calls == [2]
    torch.testing.assert_close(together, torch.stack([head(part).log_prob(x) for part in raw]))


@pytest.mark.parametrize(("pixels", "single"), [("bernoulli", Bernoulli), ("logistic256", Logistic256)])
def test_it_starts_near_independent_pixels_of_the_mean_of_the_data(pixels, single):
    torch.manual_seed(0)
    head = Autoregressive(pixels, (1, 5, 6), features=24, field=4, samples=8)
    mean = torch.rand(1, 5, 6) * 0.8 + 0.1
    raw, alone = head.raw_of_mean(mean), single()
    px = alone(alone.raw_of_mean(mean).expand(50, -1, -1, -1))
    x = px.sample()
    expected = px.log_prob(x)
    difference = (head(raw.expand(50, -1, -1, -1)).log_prob(x) - expected).abs().mean()
    assert 0 < difference.item() < 0.05 * -expected.mean().item()
    with torch.no_grad():
        head.last.weight.zero_()
    torch.testing.assert_close(head(raw.expand(50, -1, -1, -1)).log_prob(x), expected)


def test_the_mean_is_that_of_samples_and_has_not_seen_the_image():
    head = head_of()
    x, raw = all_binary(1, 2, 2), raw_for(head, 2, 2)
    p = head(raw.expand(len(x), -1, -1, -1)).log_prob(x).exp()
    head.samples = 4000
    torch.testing.assert_close(head(raw).mean[0], (p[:, None, None, None] * x).sum(0), atol=0.04, rtol=0)


def test_a_reconstruction_is_a_function_of_the_code_alone():
    vae = small(Gaussian(3), Standard(3), head_of()).eval()
    z, other = torch.randn(2, 1, 3)
    state = torch.get_rng_state()
    means = vae.decode(torch.cat([z, other, z])).mean
    assert torch.equal(means[0], means[2]) and not torch.equal(means[0], means[1])
    torch.testing.assert_close(means[:1], vae.decode(z).mean)  # whatever is decoded beside it
    assert torch.equal(torch.get_rng_state(), state)
    assert vae.averages_draws and vae.decode(z).factors() is None


def test_many_images_are_drawn_in_parts(monkeypatch):
    head = head_of()
    raw, noise = raw_for(head, 3, 4, 7), torch.rand(7, 1, 3, 4)
    whole = head.sample(raw, noise)
    monkeypatch.setattr(autoregressive, "AT_ONCE", 3)
    assert torch.equal(head.sample(raw, noise), whole)
    assert head(raw[:0]).sample().shape == (0, 1, 3, 4)


@pytest.mark.parametrize(("of_codes", "of_images"), [((), ()), ((3,), ()), ((2, 3), (3,)), ((2, 3), (2, 3))])
def test_densities_and_draws_have_the_shape_of_the_codes(of_codes, of_images):
    head = head_of()
    raw = torch.randn(*of_codes, head.channels, 2, 2)
    x = (torch.rand(*of_images, 1, 2, 2) > 0.5).double()
    px = head(raw)
    log_p = px.log_prob(x)
    assert log_p.shape == of_codes
    assert px.mean.shape == px.sample().shape == (*of_codes, 1, 2, 2)
    assert px.sample((4,)).shape == (4, *of_codes, 1, 2, 2)
    each = zip(raw.reshape(-1, *raw.shape[-3:]), x.expand(*of_codes, 1, 2, 2).reshape(-1, 1, 1, 2, 2), strict=True)
    torch.testing.assert_close(log_p.flatten(), torch.cat([head(one[None]).log_prob(image) for one, image in each]))
