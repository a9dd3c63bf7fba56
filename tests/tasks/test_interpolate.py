"""task=interpolate, and the other walks through the latent space with every kind of part."""

import numpy as np
import pytest
import torch
from PIL import Image

from src.build import open_run
from src.models import priors
from src.models.likelihoods import Bernoulli
from src.models.posteriors import Gaussian
from src.support.errors import UserError
from src.tasks import examples
from src.tasks.interpolate import (
    FADE,
    LEG,
    decode_paths,
    latent_paths,
    linear,
    nearer_label,
    path_nll,
    spherical,
)
from tests.helpers.models import small


def test_pairs_and_an_animation_are_drawn(applied, finished):
    numbers, folder = applied(finished, "task=interpolate", "task.pairs=2", "task.steps=5")
    assert {path.name for path in folder.iterdir()} == {
        *("pair_1.png", "pair_2.png", "interpolation.gif", "metrics.json", "task.yaml")
    }
    with Image.open(folder / "interpolation.gif") as animation:
        assert animation.n_frames == 4 * LEG + 1
        first = np.asarray(animation.convert("RGB"))
        animation.seek(animation.n_frames - 1)
        last = np.asarray(animation.convert("RGB"))
    changed = (first != last).any(-1)
    assert changed.any() and changed.mean() < 0.002  # the marker alone: the last frame shows the first images again
    for name in ("linear", "spherical", FADE):
        assert numbers[f"{name}/nll_highest"] >= numbers[f"{name}/nll_mean"] > 0
    difference = numbers[f"{FADE}/nll_mean"] - numbers["linear/nll_mean"]
    assert numbers["fade_minus_linear"] == pytest.approx(difference)


def test_all_paths_lead_from_reconstruction_to_reconstruction(finished):
    run = open_run(finished)
    x, y, _ = examples.test_set(run).batch(range(4))
    z = run.vae.embed(x)
    t = torch.linspace(0, 1, 7)
    labels = nearer_label(y[:2], y[2:], t)
    means = decode_paths(run.vae, {path.__name__: path(z[:2], z[2:], t) for path in (linear, spherical)}, labels)
    for mean in means.values():
        ends = torch.cat([mean[:, 0], mean[:, -1]])
        torch.testing.assert_close(ends, run.vae.reconstruct(x), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(means[FADE][:, 3], (means[FADE][:, 0] + means[FADE][:, -1]) / 2)
    nats = {name: path_nll(run, mean, labels, name) for name, mean in means.items()}
    for curve in nats.values():  # the same images and the same noise: the same number
        np.testing.assert_allclose(curve[:, [0, -1]], nats["linear"][:, [0, -1]], rtol=1e-3)


def test_a_fade_leaves_the_data_further_than_a_path_of_codes(finished):
    """From one disc to another, whose fade has two."""
    run = open_run(finished)
    x, y, _ = examples.test_set(run).batch([0, 1, 2, 3])
    z, t = run.vae.embed(x), torch.linspace(0, 1, 5)
    labels = nearer_label(y[:2], y[2:], t)
    means = decode_paths(run.vae, {"linear": linear(z[:2], z[2:], t)}, labels)
    nats = {name: path_nll(run, mean, labels, name).mean() for name, mean in means.items()}
    assert nats[FADE] > nats["linear"] + 5


def test_spherical_is_even_along_the_great_circle(float64):
    a, b = (2 * torch.nn.functional.normalize(torch.randn(8, 5), dim=1) for _ in range(2))
    path = spherical(a, b, torch.linspace(0, 1, 9))
    torch.testing.assert_close(path.norm(dim=-1), torch.full((8, 9), 2.0))
    steps = (path[:, 1:] * path[:, :-1]).sum(-1)
    torch.testing.assert_close(steps, steps[:, :1].expand(-1, 8))
    torch.testing.assert_close((path[:, 0], path[:, -1]), (a, b))
    longer = spherical(a, 3 * a, torch.tensor([0.5]))[:, 0]
    torch.testing.assert_close(longer, 2 * a)  # no angle: straight


def test_a_learned_prior_has_straight_paths_only():
    standard, mixture = (small(Gaussian(3), prior, Bernoulli()) for prior in (priors.Standard(3), priors.Mixture(3, 2)))
    assert list(latent_paths("both", standard)) == ["linear", "spherical"]
    assert list(latent_paths("both", mixture)) == list(latent_paths("linear", mixture)) == ["linear"]
    with pytest.raises(UserError, match=r"task.path=spherical needs prior=standard.*task.path=linear"):
        latent_paths("spherical", mixture)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("steps=2", "task.steps must be a whole number, 3 or more"),
        ("path=curved", "task.path must be linear or spherical or both"),
        ("pairs=0", "task.pairs must be a whole number, 1 or more, got 0"),
        ("pairs=21", "task.pairs must be from 1 to 20"),
        ("images=[[0,41]]", "test images from 0 to 40"),
        ("images=[[3,3]]", "pairs of different test images"),
        ("images=[1,2]", "task.images must be a list, each element a list, each element a whole number"),
        ("images=[]", "pairs of different test images"),
    ],
)
def test_bad_options_are_refused(applied, finished, option, message):
    with pytest.raises(UserError, match=message):
        applied(finished, "task=interpolate", f"task.{option}")


@pytest.mark.parametrize(
    "parts",
    [
        ["likelihood=gaussian", "posterior=flow", "prior=flow"],
        ["likelihood=logistic256", "prior=vamp", "prior.components=20", "posterior=full"],
    ],
    ids=lambda parts: parts[0],
)
def test_walks_and_inpainting_with_every_kind_of_part(applied, run, parts):
    folder = run(*parts, "trainer.max_epochs=1")
    numbers, _ = applied(folder, "task=interpolate", "task.images=[[1,2]]", "task.steps=3")
    assert "linear/nll_mean" in numbers and "spherical/nll_mean" not in numbers
    assert "linear/nll_mean_se" not in numbers  # of one pair
    numbers, _ = applied(folder, "task=traverse", "task.steps=3", "task.dimensions=1")
    assert numbers["active_units"] >= 1 and not any(name.endswith("/kl") for name in numbers)
    numbers, _ = applied(folder, "task=inpaint", "task.images=4", "task.samples=40", "task.draws=3", "task.mask=box")
    assert np.isfinite([numbers["box/nll"], numbers["box/nll_mean_fill"]]).all()
