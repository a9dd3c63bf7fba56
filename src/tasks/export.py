"""The trained VAE for other programs: encoder and decoder as ONNX, the weights as safetensors."""

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from src.build import Run
from src.models.gaussians import DiagonalGaussian, FullGaussian
from src.models.vae import VAE
from src.support.errors import UserError
from src.support.files import whole

NEEDED = ("onnx", "onnxscript", "onnxruntime", "safetensors")
TOLERANCE = 1e-5  # of onnxruntime's outputs from PyTorch's, in units of their range where that is above 1
TRIED = 500  # images and codes on which the two are compared


class Encoder(nn.Module):
    """Images (N, C, H, W) -> the posterior's mean (N, D) and, of a Gaussian, its scale (N, D), or for a full covariance
    its Cholesky factor (N, D, D)."""

    def __init__(self, vae: VAE):
        super().__init__()
        self.vae = vae

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        q = self.vae.encode(images)
        if isinstance(q, DiagonalGaussian):
            return q.mean, q.scale
        return (q.mean, q.scale_tril) if isinstance(q, FullGaussian) else (q.mean,)


class Decoder(nn.Module):
    """Codes (N, D) -> the mean of p(x|z), (N, C, H, W)."""

    def __init__(self, vae: VAE):
        super().__init__()
        self.vae = vae

    def forward(self, codes: Tensor) -> tuple[Tensor, ...]:
        return (self.vae.decode(codes).mean,)


def export(run: Run, folder: Path) -> dict[str, Any]:
    """encoder.onnx, decoder.onnx, each compared with PyTorch on test images and codes from the prior, and
    weights.safetensors with the run's configuration. Raises UserError where a file says something else."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise UserError(f"task=export needs {', '.join(missing)}: pip install -e '.[export]'")
    vae = copy.deepcopy(run.vae).cpu()
    images = next(iter(run.batches(run.data.test))).x[:TRIED].cpu()
    with torch.no_grad():
        codes = vae.prior().sample((TRIED,))
        q = vae.encode(images[:2])
    names = {DiagonalGaussian: ["mean", "scale"], FullGaussian: ["mean", "scale_tril"]}
    outputs = names.get(type(q), ["mean"])
    numbers: dict[str, Any] = {}
    for module, given, taken, made in (
        (Encoder(vae), images, "images", outputs),
        (Decoder(vae), codes, "codes", ["mean"]),
    ):
        path = folder / f"{type(module).__name__.lower()}.onnx"
        write_onnx(module.eval(), given[:3], path, taken, made)
        numbers[f"{path.name}/difference"] = difference(module, given, path)
        numbers[f"{path.name}/MB"] = path.stat().st_size / 1e6
    path = folder / "weights.safetensors"
    write_weights(run, vae, path)
    return numbers | {f"{path.name}/MB": path.stat().st_size / 1e6}


def write_onnx(module: nn.Module, example: Tensor, path: Path, taken: str, made: list[str]) -> None:
    """`module` as a file for any batch size, its input named `taken`, its outputs `made`."""
    sizes = ({0: torch.export.Dim("batch")},)
    try:
        with whole(path) as partial, quiet():
            program = torch.export.export(module, (example,), dynamic_shapes=sizes)
            torch.onnx.export(
                program, (), partial, input_names=[taken], output_names=made, external_data=False, verbose=False
            )
    except Exception as error:  # of the exporter's many kinds, some derive from nothing more particular
        reason = str(error).strip().splitlines()
        name = type(error).__name__
        raise UserError(f"{path.name}: PyTorch can't export this network ({name}: {reason[:1]})") from error


def difference(module: nn.Module, given: Tensor, path: Path) -> float:
    """The largest difference of onnxruntime's outputs from PyTorch's, in batches of 1 and of all the rest, in units of
    an output's range where that is above 1. Raises UserError above TOLERANCE."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = 0.0
    for batch in filter(len, (given[:1], given[1:])):
        with torch.no_grad():
            expected = [output.numpy() for output in module(batch)]
        outputs = session.run(None, {session.get_inputs()[0].name: batch.numpy()})
        for ours, theirs in zip(expected, outputs, strict=True):
            found = max(found, float(np.abs(ours - theirs).max() / max(1, np.ptp(ours))))
    if not found <= TOLERANCE:
        raise UserError(f"{path.name}: onnxruntime differs from PyTorch by {found:.1e}, more than {TOLERANCE:.0e}")
    return found


def write_weights(run: Run, vae: VAE, path: Path) -> None:
    """The weights by name; the metadata hold the run's title and its configuration as JSON, of which build.vae makes
    the VAE that they fit."""
    from safetensors.torch import save

    weights = {name: weight.contiguous() for name, weight in vae.state_dict().items()}
    config = json.dumps(OmegaConf.to_container(run.config, resolve=True))
    with whole(path) as partial:
        partial.write_bytes(save(weights, {"format": "pt", "title": run.config.title, "config": config}))


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the exporter says of its own code."""
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
