"""task=export."""

import json
import subprocess
import sys
from functools import partial

import numpy as np
import onnxruntime
import pytest
import torch
from omegaconf import OmegaConf

from src import build
from src.models import likelihoods, networks, posteriors, priors
from src.models.vae import VAE
from src.support.errors import UserError
from src.support.statistics import flatten
from src.tasks import export
from tests.helpers.models import POSTERIORS, TINY_NETWORKS
from tests.helpers.project import python_block


def convolutional(posterior=posteriors.Gaussian, likelihood=likelihoods.Bernoulli, shape=(1, 8, 8), strides=1) -> VAE:
    """An untrained VAE of 3 latents."""
    options = {"channels": [4] * strides, "hidden": 8, "activation": "silu"}
    encoder, decoder = (partial(network, **options) for network in (networks.ConvEncoder, networks.ConvDecoder))
    torch.manual_seed(0)
    vae = VAE(shape, 3, encoder, decoder, posterior(3), priors.Standard(3), likelihood())
    return vae.eval()


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """Numbers and folder of an export of the finished run."""
    folder = tmp_path_factory.mktemp("exported")
    return export.export(build.open_run(finished), folder), folder


def run_onnx(path, *arrays):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    return {
        node.name: array
        for node, array in zip(
            session.get_outputs(), session.run(None, dict(zip(names, arrays, strict=True))), strict=True
        )
    }


def test_files_and_numbers(exported):
    numbers, folder = exported
    numbers = flatten(numbers)
    files = {"encoder.onnx", "decoder.onnx", "weights.safetensors"}
    assert {path.name for path in folder.iterdir()} == files
    assert {name for name in numbers if name.endswith("MB")} == {f"{name}/MB" for name in files}
    assert 0 <= numbers["encoder.onnx/difference"] <= 1e-5
    assert 0 <= numbers["decoder.onnx/difference"] <= 1e-5


def test_inputs_have_names_shapes_and_a_range(exported):
    for file, name, shape, text in (
        ("encoder.onnx", "images", [1, 28, 28], "float32 (N, 1, 28, 28), 0 or 1"),
        ("decoder.onnx", "codes", [3], "float32 (N, 3), any range"),
    ):
        session = onnxruntime.InferenceSession(str(exported[1] / file), providers=["CPUExecutionProvider"])
        (node,) = session.get_inputs()
        assert (node.name, node.type, node.shape[1:]) == (name, "tensor(float)", shape)
        assert isinstance(node.shape[0], str)  # a name, so that it takes any number
        metadata = session.get_modelmeta().custom_metadata_map
        assert metadata[name].startswith(text)
        assert "on blobs" in metadata["title"] or "on npz" in metadata["title"]


def test_the_documented_script_needs_no_torch(exported, tmp_path):
    script = python_block("onnxruntime").replace("outputs/runs/RUN/tasks/export/latest", str(exported[1]))
    check = (
        "import sys; assert 'torch' not in sys.modules; assert reconstructions.shape == (8, 1, 28, 28) < samples.shape"
    )
    (tmp_path / "script.py").write_text(f"{script}\n{check}\n")
    answer = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("float32 (N, 1, 28, 28), 0 or 1")


@pytest.mark.parametrize("count", [1, 2, 17])
def test_onnx_equals_pytorch_for_any_batch_size(exported, finished, count):
    vae = build.load(finished)
    x = torch.rand(count, 1, 28, 28).round()
    z = torch.randn(count, 3)
    with torch.no_grad():
        q, mean = vae.encode(x), vae.decode(z).mean
    outputs = run_onnx(exported[1] / "encoder.onnx", x.numpy())
    np.testing.assert_allclose(outputs["mean"], q.mean.numpy(), atol=1e-5)
    np.testing.assert_allclose(outputs["scale"], q.scale.numpy(), atol=1e-5)
    np.testing.assert_allclose(run_onnx(exported[1] / "decoder.onnx", z.numpy())["mean"], mean.numpy(), atol=1e-5)


def test_weights_and_configuration_make_the_vae_again(exported, finished):
    from safetensors import safe_open

    with safe_open(exported[1] / "weights.safetensors", "pt") as file:
        metadata, weights = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    vae = build.vae(OmegaConf.create(json.loads(metadata["config"])))
    vae.load_state_dict(weights)
    assert metadata["title"] == build.open_run(finished).config.title
    for ours, theirs in zip(vae.parameters(), build.load(finished).parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_full_covariance_has_its_factor(tmp_path):
    check_encoder("full", tmp_path, ["mean", "scale_tril"])


@pytest.mark.slow
@pytest.mark.parametrize("posterior", ["gaussian", "flow"])
def test_other_posteriors(posterior, tmp_path):
    check_encoder(posterior, tmp_path, ["mean", "scale"] if posterior == "gaussian" else ["mean"])


def check_encoder(posterior, folder, outputs):
    vae = convolutional(POSTERIORS[posterior])
    x, path = torch.rand(6, 1, 8, 8), folder / "encoder.onnx"
    export.write_onnx(export.Encoder(vae), x[:2], path, "images", outputs)
    assert export.difference(export.Encoder(vae), x, path) <= 1e-5
    assert list(run_onnx(path, x.numpy())) == outputs


@pytest.mark.slow
@pytest.mark.parametrize(
    "likelihood",
    [
        likelihoods.Bernoulli,
        likelihoods.ContinuousBernoulli,
        likelihoods.Gaussian,
        partial(likelihoods.Gaussian, "per_pixel"),
        likelihoods.Logistic256,
    ],
    ids=["bernoulli", "continuous_bernoulli", "gaussian", "per_pixel", "logistic256"],
)
def test_likelihoods_in_colour(likelihood, tmp_path):
    vae, path, z = convolutional(likelihood=likelihood, shape=(3, 8, 8)), tmp_path / "decoder.onnx", torch.randn(6, 3)
    export.write_onnx(export.Decoder(vae), z[:2], path, "codes", ["mean"])
    assert export.difference(export.Decoder(vae), z, path) <= 1e-5


@pytest.mark.parametrize("model", [name for name in TINY_NETWORKS if name != "mlp"])  # which `finished` has
def test_every_network_is_exported_for_images_of_any_size(model, composed, tmp_path):
    vae = build.vae(composed(f"model={model}", *TINY_NETWORKS[model], "data.shape=[3,7,5]")).eval()
    outputs = ["mean"] if vae.levels else ["mean", "scale"]
    for module, file, example, names in (
        (export.Encoder(vae), "encoder.onnx", torch.rand(6, 3, 7, 5), ("images", outputs)),
        (export.Decoder(vae), "decoder.onnx", torch.randn(6, vae.latent_dim), ("codes", ["mean"])),
    ):
        export.write_onnx(module, example[:2], tmp_path / file, *names)
        assert export.difference(module, example, tmp_path / file) <= 1e-5
    assert run_onnx(tmp_path / "decoder.onnx", example.numpy())["mean"].shape == (6, 3, 7, 5)


def test_a_file_whose_outputs_differ_is_refused(exported, finished):
    vae = build.load(finished)
    with torch.no_grad():
        next(vae.decoder.parameters()).add_(1e-3)
    with pytest.raises(UserError, match=r"decoder.onnx: onnxruntime differs from PyTorch by"):
        export.difference(export.Decoder(vae), torch.randn(5, 3), exported[1] / "decoder.onnx")


def test_a_network_that_cannot_be_exported_is_refused_in_a_line(tmp_path):
    class Branches(torch.nn.Module):
        vae = convolutional()

        def forward(self, x):
            return (x if x.sum().item() > 0 else -x,)

    with pytest.raises(UserError, match=r"encoder.onnx: PyTorch can't export this network .*") as error:
        export.write_onnx(Branches(), torch.rand(2, 3), tmp_path / "encoder.onnx", "images", ["mean"])
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(applied, finished, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(UserError, match=r"task=export needs onnxruntime: pip install -e '.\[export\]'"):
        applied(finished, "task=export")
