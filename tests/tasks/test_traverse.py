"""task=traverse."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import norm

from src.build import open_run
from src.models import priors
from src.models.likelihoods import Bernoulli
from src.models.posteriors import Gaussian
from src.support.errors import UserError
from src.tasks.traverse import FRAMES, GRID, active_dimensions, quantiles, replace_dimension
from tests.helpers.models import small


def test_active_dimensions_are_swept_by_their_kl(applied, finished):
    numbers, folder = applied(finished, "task=traverse", "task.steps=4", "task.image=7")
    files = {"traversal.png", "traversal.gif", "metrics.json", "task.yaml"}
    assert {path.name for path in folder.iterdir()} == files
    run = open_run(finished)
    with torch.no_grad():
        q = run.vae.encode(next(iter(run.batches(run.data.test))).x)
    mean, scale = q.mean.numpy(), q.factors().scale.numpy()
    kl = (0.5 * (mean**2 + scale**2 - 1) - np.log(scale)).mean(0)
    active = [int(d) for d in np.argsort(-kl) if mean[:, d].var() > 0.01]
    assert [int(name.split()[1][:-3]) for name in numbers if name.endswith("/kl")] == active
    assert [numbers[f"dimension {d}/kl"] for d in active] == pytest.approx(kl[active], rel=1e-4)
    assert (numbers["image"], numbers["active_units"]) == (7, len(active))
    with Image.open(folder / "traversal.gif") as animation:
        assert animation.n_frames == 2 * FRAMES - 1


def test_two_dimensions_are_a_plane(applied, run):
    folder = run("latent_dim=2", "trainer.max_epochs=4")
    _, results = applied(folder, "task=traverse", "task.dimensions=1")
    with Image.open(results / "manifold.png") as plane:
        assert min(plane.size) > GRID * 28


def test_quantiles_are_the_priors():
    levels = np.array([0.01, 0.3, 0.5, 0.99])
    standard = quantiles(small(Gaussian(3), priors.Standard(3), Bernoulli()), levels)
    np.testing.assert_allclose(standard, np.tile(norm.ppf(levels)[:, None, None], 3), rtol=1e-5, atol=1e-6)
    torch.manual_seed(0)
    mixture = priors.Mixture(3, 2)
    with torch.no_grad():
        mixture.log_scales.fill_(-1.0)
        mixture.means.copy_(torch.tensor([[-2.0, 0, 1], [2, 0, 1]]))
    found = quantiles(small(Gaussian(3), mixture, Bernoulli()), levels)
    shares = norm.cdf(found[:, 0, :, None], mixture.means.detach().T, np.exp(-1)).mean(-1)
    np.testing.assert_allclose(shares, np.tile(levels[:, None], 3), atol=0.02)


def test_a_sweep_moves_one_dimension():
    z = torch.randn(4, 3)
    swept = replace_dimension(z, 1, torch.tensor([[5.0], [6.0]]))
    assert swept.shape == (2, 4, 3)
    assert (swept[0, :, 1] == 5).all() and (swept[1, :, 1] == 6).all()
    assert torch.equal(swept[1][:, [0, 2]], z[:, [0, 2]])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("steps=1", "task.steps must be a whole number, 2 or more"),
        ("dimensions=0", "task.dimensions must be a whole number, 1 or more"),
        ("image=41", "task.image must be from 0 to 40"),
        ("image=-1", "task.image must be a whole number, 0 or more or null, got -1"),
    ],
)
def test_bad_options_are_refused(applied, finished, option, message):
    with pytest.raises(UserError, match=message):
        applied(finished, "task=traverse", f"task.{option}")


@pytest.mark.parametrize("kl", [None, np.ones(3)])
def test_a_collapsed_model_is_refused(kl):
    with pytest.raises(UserError, match="no latent dimension is active"):
        active_dimensions(np.array([1e-3, 1e-3, 0.0]), kl)
    assert active_dimensions(np.array([0.5, 1e-3, 0.7]), kl) == ([2, 0] if kl is None else [0, 2])
