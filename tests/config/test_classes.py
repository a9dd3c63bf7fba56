"""A user's own classes: they take the options that they name, and each way to fail is one line that says what to do."""

import itertools
import logging
import sys
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from src import build
from src.config.classes import make
from src.models import likelihoods, posteriors, priors
from src.models.networks import ConvDecoder, GatedMLPDecoder, MLPDecoder, ResNetDecoder
from src.models.networks.layers import ACTIVATIONS
from src.models.vae import VAE
from src.support.errors import UserError
from src.training.trial import warn_of_range
from tests.helpers.models import small as small_vae
from tests.helpers.own_parts import OWN_PARTS

LIKELIHOODS = {
    "bernoulli": likelihoods.Bernoulli,
    "continuous_bernoulli": likelihoods.ContinuousBernoulli,
    "gaussian": likelihoods.Gaussian,
    "logistic256": likelihoods.Logistic256,
}

NETWORKS = [  # with values of `hidden`
    (partial(MLPDecoder), [[], [1], [400, 400]]),
    (partial(GatedMLPDecoder), [[], [1], [300, 300]]),
    (partial(ConvDecoder, channels=[8, 16]), [1, 256]),
    (partial(ResNetDecoder, channels=[8, 16], depth=2), [1, 256]),
]


@pytest.fixture
def mine(composed, monkeypatch, tmp_path):
    """mine("model.encoder._target_=mine.Net", ...): the module that these options build."""
    (tmp_path / "mine.py").write_text(OWN_PARTS)
    (tmp_path / "mistyped.py").write_text("import numpi\n\nclass Net: ...\n")
    (tmp_path / "unwritten.py").write_text("def f(:\n    pass\n")
    (tmp_path / "raising.py").write_text("x = 1\nraise RuntimeError('not today')\n")
    (tmp_path / "script.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "partly.py").write_text("from mine import Nothing\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mine", "mistyped", "unwritten", "raising", "script", "partly", "package"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def made(*options: str) -> nn.Module:
        cfg = composed("latent_dim=3", "logger=csv", *options)
        for name, node in (cfg.callbacks or {}).items():
            if "mine" in node["_target_"]:
                make(node, f"callbacks.{name}", Callback)
        return build.module(cfg, [])

    return made


def encoder(target: str, *options: str) -> list[str]:
    return [f"model.encoder._target_={target}", *(f"+model.encoder.{option}" for option in options)]


def decoder(target: str, *options: str) -> list[str]:
    return [f"model.decoder._target_={target}", *(f"+model.decoder.{option}" for option in options)]


FAILURES = [
    (encoder("missing.Net"), r"model\.encoder: there is no module missing; .* folder where you are .* PYTHONPATH"),
    (encoder("mine.Nett"), r"model\.encoder\._target_=mine\.Nett: mine has no Nett; do you mean mine\.Net\?"),
    (encoder("package.deep.Net"), r"model\.encoder: package has no deep; .* PYTHONPATH"),
    (encoder("Net"), r"model\.encoder: there is no module Net"),
    (encoder("mine..Net"), r"model\.encoder\._target_=mine\.\.Net must be the name of a class"),
    (encoder("3"), r"model\.encoder\._target_=3 must be the name of a class"),
    (encoder("mine.NUMBER"), r"model\.encoder\._target_=mine\.NUMBER is a int, and must be a class or a function"),
    (
        encoder("mistyped.Net"),
        r"importing mistyped failed: ModuleNotFoundError: No module named 'numpi' \(mistyped.py, line 1",
    ),
    (
        encoder("partly.Net"),
        r"importing partly failed: ImportError: cannot import name 'Nothing' .*\(partly\.py, line 1\)",
    ),
    (encoder("unwritten.Net"), r"importing unwritten failed: SyntaxError: .* \(unwritten\.py, line 1\)"),
    (encoder("raising.Net"), r"importing raising failed: RuntimeError: not today \(raising\.py, line 2\)"),
    (encoder("script.Net"), r"importing script failed: SystemExit: 3"),
    (encoder("mine.Broken"), r"model\.encoder: KeyError: 6 \(mine\.py, line \d+\)"),
    (encoder("mine.Bare"), r"model\.encoder: .*takes 1 positional argument but 3 were given"),
    (encoder("mine.nothing"), r"model\.encoder: makes a NoneType, and must make a torch\.nn\.Module"),
    (encoder("mine.Returns"), r"model\.encoder: .*missing 1 required positional argument: 'how'"),
    (encoder("mine.Returns", "how=narrow"), r"model\.encoder: gives \(2, 5\), but posterior=gaussian needs \(2, 6\): "),
    (encoder("mine.Returns", "how=square"), r"gives \(2, 6, 1\), but posterior=gaussian needs \(2, 6\)"),
    (encoder("mine.Returns", "how=batchless"), r"gives \(6,\), but posterior=gaussian needs \(2, 6\)"),
    (
        encoder("mine.Returns", "how=tuple"),
        r"model\.encoder: gives a tuple, but posterior=gaussian needs one tensor .*cat",
    ),
    (encoder("mine.Returns", "how=dict"), r"model\.encoder: gives a dict, but"),
    (encoder("mine.Returns", "how=none"), r"model\.encoder: gives a NoneType, but"),
    (
        encoder("mine.Returns", "how=double"),
        r"gives numbers of torch\.float64, but posterior=gaussian needs torch\.float32",
    ),
    (encoder("mine.Returns", "how=integer"), r"gives numbers of torch\.int64"),
    (encoder("mine.Returns", "how=infinite"), r"model\.encoder: gives numbers that are not finite before any training"),
    (
        encoder("mine.Returns", "how=raises"),
        r"model\.encoder: fails in training on \(2, 1, 28, 28\): KeyError: 'key' \(mine",
    ),
    (encoder("mine.Returns", "how=inplace"), r"a step on 2 images of noise fails: RuntimeError: .*inplace operation"),
    (
        [*encoder("mine.Normalised"), "data.batch_size=1"],
        r"model\.encoder: fails in training on \(1, .* more than 1 value",
    ),
    (encoder("mine.Net", "depth=3"), r"model\.encoder\.depth=3: mine\.Net takes no depth; the options it takes: none"),
    ([*encoder("mine.Net"), "model.encoder.hidden=[5]"], r"model\.encoder\.hidden=\[5\]: mine\.Net takes no hidden"),
    (
        [*encoder("mine.Wide"), "model.encoder.activation=relu"],
        r"activation=relu: mine\.Wide takes no activation; .*: width",
    ),
    (decoder("mine.Net"), r"model\.decoder: .*"),
    (
        decoder("mine.ReturnsImages", "how=last"),
        r"model\.decoder: gives \(2, 28, 28, 1\), but .* needs \(2, 1, 28, 28\): .*first",
    ),
    (
        decoder("mine.ReturnsImages", "how=flat"),
        r"model\.decoder: gives \(2, 784\), but likelihood=bernoulli needs \(2, 1,",
    ),
    (["model.encoder=null"], r"model\.encoder must name a class"),
    (["posterior._target_=mine.Posterior"], r"'Posterior' object has no attribute 'in_features'"),
    (
        ["posterior._target_=mine.Loose"],
        r"posterior=loose .*: the posterior's log-density is \(1, 2, 3\), and must be \(1, 2\), .* Independent",
    ),
    (["posterior._target_=mine.schedule"], r"posterior: mine\.schedule makes a function, and must make a Module"),
    (
        ["likelihood._target_=mine.Likelihood"],
        r"the likelihood's log_prob is \(1, 2, 1, 28, 28\), and must be \(1, 2\), one number for each",
    ),
    (["prior._target_=gone.Prior"], r"prior: there is no module gone"),
    (
        ["objective._target_=mine.Objective", "schedule=constant"],
        r"objective=objective .*: it returns a Tensor, and must",
    ),
    (["objective._target_=mine.Mean"], r"objective=mean .*: loss is \(\) for 2 images, and must be \(2,\)"),
    (["objective._target_=mine.Unnamed"], r"objective=unnamed .*'Unnamed' object has no attribute 'samples'"),
    (["schedule._target_=mine.schedule"], r"schedule: fails at \(0\.0, 0\): KeyError: 0\.0 \(mine\.py, line \d+\)"),
    (["schedule._target_=mine.endless"], r"schedule: is inf at \(inf, inf\), and must be a finite number"),
    (["lr_schedule._target_=mine.rate"], r"lr_schedule: fails at \(0\.0,\): TypeError"),
    (
        ["+callbacks.mine._target_=mine.callback"],
        r"callbacks\.mine: mine\.callback makes a object, and must make a Callback",
    ),
    (["+callbacks.mine._target_=mine.Nothing"], r"callbacks\.mine\._target_=mine\.Nothing: mine has no Nothing"),
]


@pytest.mark.parametrize(("options", "message"), FAILURES, ids=lambda each: each[0] if isinstance(each, list) else "")
def test_each_failure_is_one_line_that_names_the_option_and_the_cause(mine, options, message):
    with pytest.raises(UserError, match=message) as caught:
        mine(*options)
    assert len(str(caught.value).splitlines()) == 1


def test_an_optimizer_that_fails_is_one_line(mine):
    module = mine("optimizer._target_=mine.optimizer")
    with pytest.raises(UserError, match=r"optimizer: RuntimeError: no optimizer today \(mine\.py, line \d+\)"):
        module.configure_optimizers()


def test_a_network_takes_the_options_it_names_and_no_others(mine):
    assert type(mine(*encoder("mine.Net")).vae.encoder).__name__ == "Net"
    assert mine(*encoder("mine.Wide", "width=5")).vae.encoder.width == 5
    assert set(mine(*encoder("mine.Anything")).vae.encoder.options) == {"hidden", "activation", "residual"}
    both = mine(*encoder("mine.Net"), *decoder("mine.Decoder"), "model=conv", "model.encoder.hidden=256")
    assert type(both.vae.decoder).__name__ == "Decoder"


def test_a_decoder_keeps_what_it_was_given_when_the_encoder_is_ones_own(mine):
    vae = mine(*encoder("mine.Net"), "model.decoder.activation=relu", "model.decoder.residual=false").vae
    assert any(isinstance(layer, nn.ReLU) for layer in vae.decoder.modules())


def test_another_part_takes_the_options_it_names(mine):
    assert type(mine("prior._target_=mine.Prior").vae.prior_head).__name__ == "Prior"
    with pytest.raises(UserError, match=r"prior\.depth=2: mine\.Prior takes no depth"):
        mine("prior._target_=mine.Prior", "+prior.depth=2")


def test_a_run_is_loaded_by_the_options_it_was_trained_with(mine, run, monkeypatch):
    folder = run(*encoder("mine.Net"), "model.decoder.hidden=[8]")
    assert type(build.load(folder).encoder).__name__ == "Net"
    monkeypatch.setattr("src.config.classes.options_in_conf", lambda *_: {})  # as if conf/ had changed since
    assert type(build.load(folder).encoder).__name__ == "Net"


def test_trying_changes_nothing(mine):
    """Neither statistics of batches, nor modes, nor gradients, nor the process's random numbers."""
    module = mine(*encoder("mine.Normalised"), "likelihood=gaussian", "likelihood.sigma=optimal", "latent_dim=3")
    assert module.vae.encoder[2].num_batches_tracked == 0
    assert not module.vae.encoder[2].running_mean.any()
    assert module.vae.likelihood.variance.item() == pytest.approx(0.09)
    assert module.vae.training
    assert all(weight.grad is None for weight in module.vae.parameters())


def test_a_network_that_no_gradient_reaches_is_told(mine, caplog):
    mine(*encoder("mine.Returns", "how=detached"))
    assert "model.encoder: no gradient reaches its weights" in caplog.text


def warnings_of(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli"])
@pytest.mark.parametrize(
    ("end", "pixels"),
    [("Sigmoid", "0.50 to 0.73"), ("Tanh", "0.27 to 0.73"), ("ReLU", "0.50 to 1.00"), ("Softplus", "0.50 to 1.00")],
)
def test_a_decoder_that_can_t_give_logits_is_told(mine, caplog, likelihood, end, pixels):
    mine(*decoder("mine.Decoder", f"end={end}"), f"likelihood={likelihood}")
    (message,) = warnings_of(caplog)
    assert message.startswith("model.decoder: gives numbers from ")
    assert f"even for codes scaled by 100, so that likelihood={likelihood} has means from" in message
    assert likelihood != "bernoulli" or pixels in message
    assert "with no activation at its end" in message


@pytest.mark.parametrize("likelihood", ["gaussian", "logistic256"])
def test_a_sigmoid_is_right_where_the_means_are_the_raw_numbers(mine, caplog, likelihood):
    mine(*decoder("mine.Decoder", "end=Sigmoid"), f"likelihood={likelihood}")
    assert not warnings_of(caplog)


@pytest.mark.parametrize("latent_dim", [1, 64])
@pytest.mark.parametrize(("network", "hidden"), NETWORKS, ids=[network.func.__name__ for network, _ in NETWORKS])
def test_our_own_networks_raise_no_alarm(caplog, network, hidden, latent_dim):
    torch.manual_seed(0)
    activations = [{}] if network.func is GatedMLPDecoder else [{"activation": name} for name in ACTIVATIONS]
    for options, width, likelihood in itertools.product(activations, hidden, LIKELIHOODS):
        made = partial(network, hidden=width, **options)
        parts = posteriors.Gaussian(latent_dim), priors.Standard(latent_dim), LIKELIHOODS[likelihood]()
        vae = VAE((1, 28, 28), latent_dim, lambda shape, out: nn.Identity(), made, *parts)
        with torch.no_grad():
            warn_of_range(vae)
    assert not warnings_of(caplog)


def test_the_sign_of_one_pixel_raises_no_alarm(caplog):
    made = partial(ConvDecoder, channels=[4, 8], hidden=4, activation="relu")
    for seed in range(20):
        torch.manual_seed(seed)
        parts = posteriors.Gaussian(3), priors.Standard(3), likelihoods.Bernoulli()
        with torch.no_grad():
            warn_of_range(VAE((1, 1, 1), 3, lambda shape, out: nn.Identity(), made, *parts))
    assert not warnings_of(caplog)


def test_a_decoder_that_starts_at_zero_raises_no_alarm(caplog):
    vae = small_vae(posteriors.Gaussian(3), priors.Standard(3), likelihoods.Bernoulli())
    for weight in vae.decoder.parameters():
        nn.init.zeros_(weight)
    with torch.no_grad():
        warn_of_range(vae)
    assert not warnings_of(caplog)
