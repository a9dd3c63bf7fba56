"""task=inpaint."""

import numpy as np
import pytest
import torch

from src.models.distributions import FactorisedImage
from src.models.images import BinaryImage
from src.support.errors import UserError
from src.tasks.inpaint import MASKS, MISSING, missing_error


def test_the_vae_fills_better_than_each_pixel_by_itself(applied, finished):
    numbers, folder = applied(finished, "task=inpaint", "task.images=12", "task.samples=200", "task.draws=8")
    pictures = {f"{name}.png" for name in ("half", "box", "random")}
    assert {path.name for path in folder.iterdir()} == pictures | {"metrics.json", "task.yaml"}
    assert numbers["images"] == 12
    for name in MASKS:
        assert 0 < numbers[f"{name}/nll"] < numbers[f"{name}/nll_mean_fill"]
        assert numbers[f"{name}/mse"] < numbers[f"{name}/mse_mean_fill"]
        saved = numbers[f"{name}/nll_mean_fill"] - numbers[f"{name}/nll"]
        assert numbers[f"{name}/nats_saved"] == pytest.approx(saved)
        assert numbers[f"{name}/nats_saved"] > 4 * numbers[f"{name}/nats_saved_se"]
        assert 1 <= numbers[f"{name}/effective_samples"] <= 100


def test_masks_hide_the_pixels_of_their_names():
    x = torch.zeros(300, 3, 28, 20)
    shares = {name: (~mask(x, 0)).float().mean((1, 2, 3)) for name, mask in MASKS.items()}
    assert (shares["half"] == 0.5).all() and (shares["box"] == 0.25).all()
    assert shares["random"].mean() == pytest.approx(MISSING, abs=0.01)
    assert all(mask(x, 0).shape == (300, 1, 28, 20) for mask in MASKS.values())
    several = MASKS["random"](x, 0)
    assert not torch.equal(several[0], several[1])
    assert torch.equal(several[:7], MASKS["random"](x[:7], 0))


def test_the_error_is_that_of_missing_pixels_only():
    x, fill = torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.5)
    visible = torch.tensor([[[[True, False], [True, True]]]])
    fill[:, :, 0, 0] = 9
    np.testing.assert_allclose(missing_error(fill, x, visible), [0.25])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("mask=[half,left]", "task.mask must be half or box or random or a list"),
        ("mask=[]", "task.mask must be half or box or random or a list"),
        ("images=1", "task.images must be a whole number, 2 or more"),
        ("samples=2.5", "task.samples must be"),
        ("draws=1", "task.draws must be a whole number, 3 or more"),
    ],
)
def test_bad_options_are_refused(applied, finished, option, message):
    with pytest.raises(UserError, match=message):
        applied(finished, "task=inpaint", f"task.{option}")


def test_pixels_that_depend_on_each_other_are_refused(applied, finished, monkeypatch):
    monkeypatch.setattr(FactorisedImage, "factors", lambda self: None)
    monkeypatch.setattr(BinaryImage, "factors", lambda self: None)
    with pytest.raises(UserError, match="task=inpaint needs a likelihood that factorises over the pixels"):
        applied(finished, "task=inpaint", "task.images=2", "task.samples=10", "task.draws=3")
    assert not list(finished.glob("tasks/inpaint/.*"))
