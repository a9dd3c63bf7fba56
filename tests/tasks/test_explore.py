"""task=explore: programs that compute what the VAE does, and what a page holds. See test_explorer_page.py, too."""

import base64
import gzip
import json
import re
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from src import build
from src.models.likelihoods import Bernoulli
from src.models.posteriors import Gaussian
from src.models.priors import Standard
from src.run.trace import Trace
from src.support.errors import UserError
from src.tasks.explore import functions, task
from src.tasks.explore.arrays import Arrays
from src.tasks.explore.contents import check_trace, numbers
from src.tasks.explore.programs import OPERATORS, run_program, trace
from tests.helpers.models import FACTORISED, POSTERIORS, PRIORS, TINY_NETWORKS, conditional, small
from tests.helpers.runs import train_run

LEARNED = sorted(PRIORS.keys() - {"standard"})
VAES = {
    **{f"posterior {name}": partial(small, POSTERIORS[name](3), Standard(3), Bernoulli()) for name in ("full", "flow")},
    **{f"prior {name}": lambda make=PRIORS[name]: small(Gaussian(3), make(3), Bernoulli()) for name in LEARNED},
    **{
        f"pixels {name}": lambda make=make: small(Gaussian(3), Standard(3), make()) for name, make in FACTORISED.items()
    },
    **{f"p(z|y) {prior}": partial(conditional, own_prior=prior) for prior in ("none", "gaussian", "flow")},
}
RARE = {
    "prior autoregressive",
    "p(z|y) gaussian",
    "p(z|y) flow",
    *(f"pixels gaussian_{s}" for s in ("learned", "optimal", 0.002)),
}


@pytest.fixture(scope="module")
def trained(small_options, tmp_path_factory):
    """trained("prior=flow") is the folder of a run with these options, which follows 24 images."""
    folder = tmp_path_factory.mktemp("explored")
    made = {}

    def train(*options):
        if options not in made:
            made[options] = train_run([*small_options, *options], folder / str(len(made)))
        return made[options]

    return train


@pytest.fixture(scope="module")
def small_options(small):
    recorded = ["callbacks=default", "~callbacks.progress", "~callbacks.pictures", "callbacks.recorder.images=24"]
    return [each for each in small if each != "callbacks=none"] + recorded


def data_of(results):
    """The data of a page, and its arrays."""
    text = (results / "explorer.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text)[1])
    block = gzip.decompress(base64.b64decode(re.search(r'id="block">(.*?)</script>', text)[1]))

    def array(number):
        kind, shape, at = (data["entries"][number][name] for name in ("kind", "shape", "at"))
        return np.frombuffer(block, kind, int(np.prod(shape)), at).reshape(shape)

    return data, array


def test_the_page_has_the_operations_that_programs_may_use():
    text = (task.PAGE / "operators.js").read_text()
    table = text[text.index("export const operators = {") :]
    assert set(re.findall(r"^  (\w+)(?::|,)", table, re.MULTILINE)) == OPERATORS


@pytest.mark.parametrize("name", [pytest.param(each, marks=pytest.mark.slow if each in RARE else ()) for each in VAES])
def test_programs_compute_what_the_vae_does(name):
    torch.manual_seed(0)
    vae = VAES[name]().eval().requires_grad_(False)
    inputs = {
        "x": (torch.rand(1, 1, 4, 4) < 0.5).float(),
        "z": torch.randn(1, 3),
        "noise": torch.randn(functions.CLOUD, 1, 3),
    }
    for name, function in functions.functions(vae).items():
        program = functions.write(vae, name, arrays := Arrays(), exact=True)
        labels = iter([torch.tensor([2]), torch.tensor([1])])
        given = [next(labels) if each == "y" else inputs[each] for each in function.inputs]
        for expected, found in zip(function.compute(*given), run_program(program, given, arrays), strict=True):
            assert torch.allclose(expected, found, atol=1e-5, rtol=1e-5), name


def test_weights_are_whole_numbers_of_16_bits_unless_they_must_be_exact():
    vae = small(Gaussian(3), Standard(3), Bernoulli())
    vae.decoder = nn.Sequential(nn.Linear(3, 200), nn.Tanh(), nn.Linear(200, 16), nn.Unflatten(1, (1, 4, 4)))
    vae.requires_grad_(False)
    z, y = torch.randn(1, 3), torch.tensor([0])
    sizes, errors = [], []
    for exact in (False, True):
        program = functions.write(vae, "decode", arrays := Arrays(), exact)
        sizes.append({each["kind"] for each in arrays.entries})
        errors.append(float((run_program(program, [z, y], arrays)[0] - vae.decode(z).mean).abs().max()))
    assert sizes == [{"int16", "float32"}, {"float32"}]
    assert errors[1] < 1e-6 < errors[0] < 1e-4


def test_what_depends_on_no_input_is_computed_once():
    vae = small(Gaussian(3), PRIORS["vamp"](3), Bernoulli()).requires_grad_(False)
    program = functions.write(vae, "log_prior", arrays := Arrays(), exact=True)
    used = {name for name, _, _ in program["steps"]}
    assert not used & {"addmm", "tanh"}  # the posteriors of the pseudo-inputs are constants
    assert all(np.prod(each["shape"]) <= 15 for each in arrays.entries)


@pytest.mark.parametrize(
    ("function", "form"),
    [
        (lambda x: x.sort(-1).values, "sort"),
        (lambda x: torch.div(x, 2, rounding_mode="floor"), "div with rounding_mode"),
        (lambda x: x.long().float(), "of rounding to whole numbers"),
        (lambda x: ((x > 0) + (x > 1)).float(), "add of truth values"),
        (lambda x: x[:, torch.tensor([0, 1]), :, torch.tensor([1, 0])], "index with a whole axis after an index"),
        (lambda x: torch.conv_transpose2d(x, torch.ones(2, 1, 2, 2), groups=2), "transposed convolution of several"),
    ],
)
def test_an_operation_that_the_page_lacks_is_refused(function, form):
    with pytest.raises(UserError, match=f"needs the operation {form}.*, which the page does not have"):
        trace(lambda x: (function(x),), ["x"], [torch.ones(1, 2, 3, 3)], Arrays())


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.pixel_shuffle(torch.nn.functional.conv2d(x, torch.ones(4, 2, 1, 1)), 2),
        lambda x: x.tril(),
        lambda x: torch.diag_embed(x[0, 0]),
        lambda x: x[..., torch.arange(3)],
        lambda x: torch.nn.functional.selu(x - 1),
    ],
)
def test_constants_keep_their_type_and_steps_need_no_layout(function):
    x = torch.arange(18.0).reshape(1, 2, 3, 3).to(memory_format=torch.channels_last)
    program = trace(lambda x: (function(x),), ["x"], [torch.ones(1, 2, 3, 3)], arrays := Arrays())
    assert torch.allclose(run_program(program, [x], arrays)[0], function(x))


@pytest.mark.parametrize(
    "damage",
    [
        lambda trace: trace.fixed.clear(),
        lambda trace: trace.frames.clear(),
        lambda trace: trace.epochs.clear(),
        lambda trace: trace.epochs.update({"val/elbo": np.array(["a", "b", "c"])}),
        lambda trace: trace.frames.update(codes=trace.frames["codes"][..., :2]),
        lambda trace: trace.frames.update(epoch=trace.frames["epoch"] + 7),
    ],
)
def test_a_damaged_trace_is_refused_in_one_line(trained, damage):
    folder = trained()
    recorded = Trace.load(folder / "figures" / "trace.npz")
    damage(recorded)
    with pytest.raises(UserError, match=r"trace.npz is damaged: train again"):
        check_trace(build.open_run(folder), recorded)


def test_results_of_the_best_checkpoint_are_not_those_of_another(trained):
    run = build.open_run(trained())
    assert "validation ELBO" in dict(numbers(run))
    run.epoch += 1
    assert "validation ELBO" not in dict(numbers(run))


def test_a_run_without_followed_images_is_refused(applied, run):
    with pytest.raises(UserError, match="trained with figures"):
        applied(run(), "task=explore")


def test_a_page_holds_the_model_its_images_and_numbers(applied, trained):
    folder = trained()
    made, results = applied(folder, "task=explore")
    assert made["images"] == 24
    assert {path.name for path in results.iterdir()} == {"explorer.html", "metrics.json", "task.yaml"}
    data, array = data_of(results)
    (model,) = data["models"]
    run = build.open_run(folder)
    recorded = Trace.load(folder / "figures" / "trace.npz")
    followed = model["followed"]
    bits = np.unpackbits(array(followed["bits"]))[: 24 * 784].reshape(24, 1, 28, 28)
    assert np.array_equal(255 * bits, recorded.fixed["pixels"])
    x = torch.from_numpy(bits).float()
    draws = run.vae.draw(x, torch.zeros(1, 24, 3))
    assert np.allclose(array(followed["codes"]), run.vae.embed(x), atol=1e-5)
    assert np.allclose(array(followed["recon"]), draws.recon(), atol=1e-3)
    assert np.allclose(array(followed["kl"]), draws.kl("closed"), atol=1e-4)
    assert array(model["map"]["frames"]).shape == (len(model["map"]["epochs"]), 24, 2)
    assert model["map"]["epochs"][-1] == run.epoch
    assert sorted(model["order"]) == [0, 1, 2]
    assert str(folder) not in (results / "explorer.html").read_text()
    assert dict(model["numbers"])["active units"].endswith("of 3")


@pytest.mark.parametrize(("size", "kind"), [(1, "line"), (2, "plane"), (3, "tsne")])
def test_the_map_is_of_the_codes_themselves_up_to_two_dimensions(applied, trained, size, kind):
    data, array = data_of(applied(trained(f"latent_dim={size}"), "task=explore")[1])
    (model,) = data["models"]
    chart = model["map"]
    assert (chart["kind"], chart["end"]) == (kind, size)
    low, high = np.array(chart["low"]), np.array(chart["high"])
    places = low + (high - low) * array(chart["frames"])[-1] / 65535
    if size <= 2:
        assert np.allclose(places[:, :size], array(model["followed"]["codes"]), atol=1e-3)


def test_the_replay_ends_at_the_checkpoint(applied, trained):
    folder = trained("latent_dim=2")
    recorded = Trace.load(folder / "figures" / "trace.npz")
    data, array = data_of(applied(folder, "task=explore", "checkpoint=last")[1])
    assert data["models"][0]["map"]["epochs"] == recorded.frames["epoch"].tolist()
    low, high = (np.array(data["models"][0]["map"][end]) for end in ("low", "high"))
    places = low + (high - low) * array(data["models"][0]["map"]["frames"]) / 65535
    assert np.allclose(places, recorded.frames["codes"], atol=1e-3)


def test_another_run_is_beside_it(applied, trained):
    first, second = trained(), trained("latent_dim=2")
    data, array = data_of(applied(first, "task=explore", f"task.other={second}")[1])
    assert [model["latent_dim"] for model in data["models"]] == [3, 2]
    x = np.unpackbits(array(data["models"][1]["followed"]["bits"]))[: 24 * 784].reshape(24, 1, 28, 28)
    expected = build.load(second).embed(torch.from_numpy(x).float())
    assert np.allclose(array(data["models"][1]["followed"]["codes"]), expected, atol=1e-5)


@pytest.mark.parametrize("network", ["mlp", "gated_mlp", "conv", "resnet"])
@pytest.mark.slow
def test_every_network_is_explored(applied, trained, network):
    made, _ = applied(trained(f"model={network}", *TINY_NETWORKS[network]), "task=explore")
    assert made["MB"] > 0.1


def test_hostile_names_stay_text():
    hostile = "</script><script>alert(1)</script><b>"
    model = {"title": hostile, "name": hostile, "classes": [hostile, "b"], "kl": None, "conditional": True}
    text = task.page({"models": [model]}, "")
    assert "<script>alert" not in text
    assert "<b>" not in text.partition("<script")[0]


def test_arrays_are_stored_once_and_read_as_they_are():
    arrays, values = Arrays(), np.arange(5, dtype=np.float32)
    first, second = arrays.add(values, "float32"), arrays.add(values.astype(np.uint8), "uint8")
    assert arrays.add(values.copy(), "float32") == first != second
    assert np.array_equal(arrays.get(first), values)
    assert len(gzip.decompress(base64.b64decode(arrays.text()))) == 20 + 8
    assert arrays.entries[second]["at"] == 20
    arrays.cut(1)
    assert len(arrays.entries) == 1 == arrays.add(np.ones(2), "float32")
    assert len(gzip.decompress(base64.b64decode(arrays.text()))) == 28
