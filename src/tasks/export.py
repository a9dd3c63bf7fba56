"""Export of the trained VAE to other programs: encoder and decoder as ONNX, the weights as safetensors."""

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from src.build import Run
from src.data.labels import label_list
from src.data.pixels import Pixels
from src.models.vae import VAE
from src.support.errors import UserError
from src.support.files import atomic_path

NEEDED = ("onnx", "onnxscript", "onnxruntime", "safetensors")
TOLERANCE = 1e-5  # difference of onnxruntime's outputs from PyTorch's, in units of their range where that is above 1
COMPARED = 500  # images and codes for which the outputs are compared
PIXELS = {
    Pixels.BINARY: "0 or 1; a gray level k is thresholded, or drawn as 1 with the probability k / 255",
    Pixels.DEQUANTIZED: "from 0 to 1; (k + 1/2) / 256 for a gray level k",
    Pixels.LEVELS: "from 0 to 1; k / 255 for a gray level k",
}


class Encoder(nn.Module):
    """Images (N, C, H, W), and for a conditional model their labels (N,) -> the tensors of the posterior.

    These are its mean (N, D) and, of a Gaussian, its scale (N, D), or for a full covariance its Cholesky factor
    (N, D, D).
    """

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        vae = self.vae if labels is None else self.vae.given(labels)
        return tuple(vae.encode(images).tensors().values())


class Decoder(nn.Module):
    """Codes (N, D), and for a conditional model labels (N,) -> the mean of p(x|z), (N, C, H, W)."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        vae = self.vae if labels is None else self.vae.given(labels)
        return (vae.decode(codes).mean,)


def export(run: Run, folder: Path) -> dict[str, Any]:
    """Write encoder.onnx and decoder.onnx, and weights.safetensors with the run's configuration.

    Inputs: `images` (N, C, H, W) of the encoder and `codes` (N, D) of the decoder, float32, for any N, and for a
    conditional model `labels` (N,), int64, of both; what each means is in the file's metadata under its name. Outputs:
    `mean` and, by the posterior, `scale` (N, D) or `scale_tril` (N, D, D) of q(z|x); `mean` (N, C, H, W) of p(x|z).

    The networks are compared with PyTorch's on test images and on codes from the prior. Raises UserError where they
    differ, where a package is missing, or where the decoder has no mean in closed form.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise UserError(f"task=export needs {', '.join(missing)}: pip install -e '.[export]'")
    if run.vae.averages_draws:
        raise UserError("task=export writes a decoder to the mean of p(x|z), which has no closed form in this run")
    vae = copy.deepcopy(run.vae).cpu()
    batch = next(iter(run.batches(run.data.test)))
    images, y = batch.x[:COMPARED].cpu(), batch.y[:COMPARED].cpu()
    with torch.no_grad():
        any_label = vae.given_each_label(COMPARED)
        codes = any_label.sample_codes(COMPARED)
        outputs = list(vae.given(y).encode(images).tensors())
    labels = (None, None) if vae.condition is None else (y, any_label.y)
    numbers: dict[str, Any] = {}
    shape = f"float32 (N, {', '.join(map(str, images.shape[1:]))})"
    ranges = {
        "images": f"{shape}, {PIXELS[run.data.pixels]}",
        "codes": f"float32 (N, {codes.shape[1]}), any range; a code from the prior generates an image",
    }
    for file, module, inputs, given, names in (
        ("encoder.onnx", Encoder(vae), images, labels[0], ("images", outputs)),
        ("decoder.onnx", Decoder(vae), codes, labels[1], ("codes", ["mean"])),
    ):
        path = folder / file
        metadata = {"title": run.config.title, names[0]: ranges[names[0]]}
        metadata |= {} if given is None else {"labels": f"int64 (N,), {label_list(run.data.source)}"}
        write_onnx(module.eval(), inputs, path, *names, metadata, given)
        numbers[file] = {"difference": difference(module, inputs, path, given), "MB": path.stat().st_size / 1e6}
    path = folder / "weights.safetensors"
    write_weights(run, vae, path)
    return numbers | {path.name: {"MB": path.stat().st_size / 1e6}}


def write_onnx(
    module: nn.Module,
    example: Tensor,
    path: Path,
    input_name: str,
    output_names: list[str],
    metadata: Mapping[str, str] | None = None,
    labels: Tensor | None = None,
) -> None:
    """Write a module as a file for any batch size. Raises UserError where PyTorch cannot export it.

    example: a batch of inputs; labels: those of these inputs, for a module that takes them too

    metadata: texts that the file holds by name, which onnxruntime returns as `get_modelmeta().custom_metadata_map`
    """
    # PyTorch would write a file for batches of one image alone, were there a single one
    inputs = [each[:3] if len(each) > 1 else torch.cat([each, each]) for each in with_labels(example, labels)]
    names = [input_name, "labels"][: len(inputs)]
    sizes = ({0: torch.export.Dim("batch")},) * len(inputs)
    try:
        with atomic_path(path) as partial, quiet():
            program = torch.export.export(module, tuple(inputs), dynamic_shapes=sizes)
            onnx = torch.onnx.export(program, (), input_names=names, output_names=output_names, verbose=False)
            onnx.model.metadata_props.update(metadata or {})
            onnx.save(partial, external_data=False)
    except Exception as error:  # the exporter raises many types, some derived from Exception directly
        reason = str(error).strip().splitlines()
        name = type(error).__name__
        raise UserError(f"{path.name}: PyTorch can't export this network ({name}: {reason[:1]})") from error


def with_labels(inputs: Tensor, labels: Tensor | None) -> list[Tensor]:
    """The inputs of a module, one or two."""
    return [inputs] if labels is None else [inputs, labels]


def difference(module: nn.Module, inputs: Tensor, path: Path, labels: Tensor | None = None) -> float:
    """The largest difference of onnxruntime's outputs from PyTorch's, in a batch of 1 and in one of all other inputs.

    It is in units of an output's range where that is above 1. Raises UserError above TOLERANCE.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest = 0.0
    for rows in (slice(1), slice(1, None)):
        batch = [each[rows] for each in with_labels(inputs, labels)]
        if not len(batch[0]):
            continue
        with torch.no_grad():
            expected = [output.numpy() for output in module(*batch)]
        names = [node.name for node in session.get_inputs()]
        outputs = session.run(None, {name: each.numpy() for name, each in zip(names, batch, strict=True)})
        for ours, theirs in zip(expected, outputs, strict=True):
            largest = max(largest, float(np.abs(ours - theirs).max() / max(1, np.ptp(ours))))
    if not largest <= TOLERANCE:
        raise UserError(f"{path.name}: onnxruntime differs from PyTorch by {largest:.1e}, more than {TOLERANCE:.0e}")
    return largest


def write_weights(run: Run, vae: VAE, path: Path) -> None:
    """Write the weights by name, with the run's title and configuration (JSON) as metadata.

    build.vae makes the VAE that the weights fit from this configuration.
    """
    from safetensors.torch import save

    weights = {name: weight.contiguous() for name, weight in vae.state_dict().items()}
    config = json.dumps(OmegaConf.to_container(run.config, resolve=True))
    with atomic_path(path) as partial:
        partial.write_bytes(save(weights, {"format": "pt", "title": run.config.title, "config": config}))


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the warnings of the exporter about its own code."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
