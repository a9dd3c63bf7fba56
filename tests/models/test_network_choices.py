"""Every network of conf/model by composition: with all other parts, for images of any size, one image at a time."""

import itertools
import re
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from src import build
from src.config.options import CONF, check_run
from src.models.images import GreyLevels
from src.models.vae import VAE
from src.support.errors import UserError
from tests.helpers.models import TINY_NETWORKS

PARTS = ("encoder", "decoder")
SHAPES = [(1, 1, 1), (1, 28, 28), (1, 27, 31), (3, 8, 8), (2, 3, 50), (3, 300, 200)]


def choices(group: str) -> list[str]:
    """The files of a group of conf/."""
    return sorted(path.stem for path in Path(CONF, group).glob("*.yaml"))


@pytest.fixture(params=choices("model"))
def tiny(request, composed) -> DictConfig:
    """The configuration of a small network."""
    latents = [] if request.param == "ladder" else ["latent_dim=3"]
    return composed(f"model={request.param}", *TINY_NETWORKS[request.param], *latents)


def vae_of(cfg: DictConfig, shape: tuple[int, ...]) -> VAE:
    """The untrained VAE of a configuration for images of another shape, in evaluation mode."""
    torch.manual_seed(0)
    cfg.data.shape = list(shape)
    return build.vae(cfg).eval()


def is_trained(cfg: DictConfig, shape: tuple[int, ...]) -> bool:
    """Whether each weight has a gradient after a step; False where the combination is refused."""
    cfg.data.shape = list(shape)
    try:
        module = build.module(cfg, [])
    except UserError as error:
        assert str(error).startswith("objective=")
        return False
    levels = torch.randint(0, 256, (6, *shape)) / 255
    x = levels if isinstance(module.vae.likelihood.support, GreyLevels) else levels.round()
    terms = module.objective(module.vae, x, torch.randn(module.objective.samples, 6, cfg.latent_dim), 0.5)
    terms.loss.mean().backward()
    for name, weight in module.vae.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all() and weight.grad.any(), f"{cfg.title}: {name}"
    return True


@pytest.mark.parametrize("groups", [("posterior", "prior"), ("likelihood", "objective")])
def test_every_network_trains_with_every_part(tiny, groups):
    refused, is_ladder = set(), tiny.model.name == "ladder"
    for names in itertools.product(*map(choices, groups)):
        if groups[0] == "posterior" and (names[0] == "ladder") != is_ladder:
            continue
        for group, name in zip(groups, names, strict=True):
            tiny[group] = OmegaConf.load(Path(CONF, group, f"{name}.yaml"))
        if not is_trained(tiny, (2, 5, 7)):
            refused.add(names)
    of_ladder = {"posterior": {("ladder", "vamp")}, "likelihood": {(each, "beta_tc") for each in choices("likelihood")}}
    assert refused == of_ladder[groups[0]] if is_ladder else refused <= {("flow", "vamp")}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_network_takes_images_of_any_size(tiny, shape):
    vae = vae_of(tiny, shape)
    with torch.no_grad():
        assert vae.decode(vae.embed(torch.rand(2, *shape))).mean.shape == (2, *shape)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 6)])
def test_the_numbers_of_an_image_depend_on_no_other_image(tiny, shape):
    """One image, a batch, and the batch twice; in training mode as well, since no network has random layers."""
    vae = vae_of(tiny, shape).double()
    x, noise = torch.rand(5, *shape).round(), torch.randn(1, 5, vae.latent_dim)
    for mode in (True, False):
        vae.train(mode)
        with torch.no_grad():
            elbo = [
                (draws.log_px - draws.log_q).detach()
                for draws in (
                    vae.draw(x, noise),
                    vae.draw(x[:1], noise[:, :1]),
                    vae.draw(x.repeat(2, 1, 1, 1), noise.repeat(1, 2, 1)),
                )
            ]
        torch.testing.assert_close(elbo[1], elbo[0][:, :1])
        torch.testing.assert_close(elbo[2], elbo[0].repeat(1, 2))


@pytest.mark.parametrize("tiny", sorted(set(choices("model")) - {"ladder"}), indirect=True)  # as in test_ladder.py
@pytest.mark.parametrize(("channels", "features"), [(1, 1), (4, 13)])
def test_every_network_takes_any_number_of_channels_and_features(tiny, channels, features):
    """As a conditional model needs them: more channels than the images have, more features than latents."""
    encoder, decoder = (build.make(build.select_options(tiny, f"model.{p}", positional=2), p) for p in PARTS)
    assert encoder((channels, 6, 5), features)(torch.rand(2, channels, 6, 5)).shape == (2, features)
    assert decoder(features, (channels, 6, 5))(torch.rand(2, features)).shape == (2, channels, 6, 5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=conv", "model.encoder.depth=0"], "model.encoder.depth must be a whole number from 1 to 1000, got 0"),
        (["model=resnet", "model.encoder.depth=1.5"], "model.encoder.depth must be a whole number from 1 to 1000, got"),
        (["model=resnet", "model.encoder.channels=[8,0]"], "model.encoder.channels must be a list"),
        (["model=resnet", "model.decoder.hidden=[8]"], "model.decoder.hidden must be a whole number, 1 or more, got"),
        (["model=gated_mlp", "model.encoder.hidden=300"], "model.encoder.hidden must be a list"),
        (["model=gated_mlp", "+model.encoder.activation=relu"], "there is no option model.encoder.activation"),
    ],
)
def test_wrong_options_are_refused_at_composition(composed, words, message):
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        check_run(composed(*words))


@pytest.mark.parametrize("name", [name for name in TINY_NETWORKS if name not in ("mlp", "ladder")])
def test_the_decoder_follows_the_options_of_the_encoder(composed, name):
    """Those of an mlp have widths of their own, and of a ladder the decoder has levels."""
    model = composed(f"model={name}", *TINY_NETWORKS[name]).model
    options = {option: value for option, value in model.encoder.items() if not option.startswith("_")}
    assert {option: value for option, value in model.decoder.items() if not option.startswith("_")} == options
