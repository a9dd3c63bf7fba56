"""Lack of memory is one line that names what to lower, before the training where that can be known."""

import resource
from pathlib import Path

import pytest
import torch

from src import build
from src.config import memory
from src.config.layers import layers_of
from src.config.memory import check_training_memory
from src.config.options import check_run, to_plain_dict
from src.startup import as_user_errors
from src.support.errors import UserError, is_memory_error
from tests.helpers.command_lines import Outcome, run_case
from tests.helpers.option_values import Case

MODELS = ("conv", "gated_mlp", "mlp", "resnet")


def start(command: str, folder: Path, *options: str) -> Outcome:
    """A command in a fork of this process, which gets one more GB of addresses than this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    memory = pages * resource.getpagesize() + 2**30
    return run_case(Case(command, "", list(options)), folder / "case", imports=False, memory=memory)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["objective.samples=100000000"], ["objective.samples=100000000", "data.batch_size=32"]),
        (["data.batch_size=1000000000"], ["objective.samples=1 ", "data.batch_size=1000000000"]),
        (["latent_dim=100000", "posterior=full"], ["data.batch_size=32", "latent_dim=100000"]),
        (["model.encoder.hidden=[9000000,9000000]"], ["model.encoder.hidden=[9000000,9000000]"]),
        (["model.decoder.hidden=[3,9000000]"], ["model.decoder.hidden=[3,9000000]"]),
        (
            ["model=conv", "model.encoder.hidden=10000000", "latent_dim=2000"],
            ["model.encoder.hidden=10000000", "latent_dim=2000"],
        ),
        (["prior=vamp", "prior.components=100000000"], ["prior.components=100000000"]),
        (
            ["prior=mixture", "prior.components=9000000", "latent_dim=100"],
            ["prior.components=9000000", "data.batch_size=32"],
        ),
        (["model=conv", "data.shape=[3,3000,3000]"], ["data.shape=[3,3000,3000]", "model.encoder.channels=[16,32]"]),
        (
            ["model=conv", "model.encoder.channels=[4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4]"],
            ["model.encoder.channels=[4,4,"],
        ),
        (["model=gated_mlp", "model.encoder.hidden=[2000000]"], ["model.encoder.hidden=[2000000]"]),
        (["model=resnet", "model.encoder.channels=[4,90000]"], ["model.encoder.channels=[4,90000]"]),
        (["model=conv", "model.encoder.channels=[90000]", "model.encoder.depth=2"], ["model.encoder.channels=[90000]"]),
        (["prior=vamp", "data.shape=[1,9000,9000]", "model.encoder.hidden=[1]", "model.decoder.hidden=[1]"], ["shape"]),
    ],
)
def test_what_no_memory_holds_is_refused_at_composition(composed, small, options, names):
    given = {each.partition("=")[0]: each for each in [*small, *options]}.values()
    with pytest.raises(UserError) as refusal:
        check_run(composed(*given))
    assert all(name in str(refusal.value) for name in names)
    assert " GB " in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("options", [[f"model={name}"] for name in MODELS] + [["model=conv", "prior=vamp"]])
def test_networks_of_large_images_are_refused_before_they_are_made(composed, small, options, monkeypatch):
    monkeypatch.setattr(memory, "memory_of_machine", lambda: 25e9)
    cfg = composed(*small, *options, "data.shape=[1,1000,1000]")
    with pytest.raises(UserError, match=r"training with data\.shape=\[1,1000,1000\].* GB, and this machine has 25 GB"):
        build.everything(cfg, [])
    check_training_memory(to_plain_dict(composed(*small, *options, "data.shape=[3,300,200]")))


@pytest.mark.parametrize(
    "options",
    [
        ["model=conv"],
        ["model=conv", "model.encoder.depth=3", "model.encoder.channels=[4,5,6]"],
        ["model=resnet", "model.encoder.depth=2", "model.encoder.channels=[4,5,6]"],
        ["model=resnet", "model.encoder.channels=[4]"],
        ["model=gated_mlp", "model.encoder.hidden=[7,6,5]"],
        ["model=mlp", "model.encoder.hidden=[7,6,5]", "model.decoder.hidden=[4,3]"],
    ],
)
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_the_layers_of_a_network_are_counted(composed, small, options, part):
    """All but the layer next to the code, normalisations, biases, and the decoder's output."""
    cfg = composed(*small, *options, "data.shape=[3,30,21]")
    layers = layers_of(part, to_plain_dict(cfg)["model"][part], [3, 30, 21])
    network, sizes = getattr(build.vae(cfg), part), []
    made = [layer for layer in network.modules() if hasattr(layer, "weight") and layer.weight.dim() > 1]
    for layer in made:
        layer.register_forward_hook(lambda module, given, result: sizes.append(result[0].numel()))
    network(torch.zeros(1, 3, 30, 21) if part == "encoder" else torch.zeros(1, cfg.latent_dim))
    weights = [layer.weight.numel() for layer in made]
    del weights[-1 if part == "encoder" else 0], sizes[-1]
    assert sorted([*layers.between, layers.at_image]) == sorted(weights)
    assert sorted(layers.outputs) == sorted(sizes)


def test_a_training_that_lacks_memory_ends_with_one_line(tmp_path, small):
    """Real: the process has too few addresses for the step."""
    tiny = ["model.encoder.hidden=[4]", "model.decoder.hidden=[4]"]
    fixed = [option for option in small if not option.startswith("data.batch_size")]
    ended = start("train", tmp_path, *fixed, *tiny, "data.batch_size=300", "objective.samples=4000")
    lines = ended.errors.splitlines()
    assert ended.code == 1
    assert len(lines) == 1, ended.errors[-2000:]
    assert "there is not enough memory: lower data.batch_size=300, objective.samples=4000" in lines[0]
    assert "Traceback" not in ended.output


def test_a_task_that_lacks_memory_ends_with_one_line(tmp_path, finished):
    ended = start("apply", tmp_path, f"run={finished}", "task=traverse", "task.steps=2000000")
    lines = ended.errors.splitlines()
    assert ended.code == 1
    assert len(lines) == 1, ended.errors[-2000:]
    assert "there is not enough memory" in lines[0]
    assert "task.steps=2000000" in lines[0]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("Storage size calculation overflowed with sizes=[1000000000, 1000000000]"),
        ValueError("array is too big; `arr.size * arr.dtype.itemsize` is larger than the maximum possible size."),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:40],
)
def test_every_library_s_lack_of_memory_is_recognised(error):
    assert is_memory_error(error)
    with pytest.raises(UserError, match=r"^there is not enough memory: lower it$"), as_user_errors("run", "lower it"):
        raise error
    with pytest.raises(UserError, match=r"^there is not enough memory: lower it$"), as_user_errors("run", "lower it"):
        try:
            raise error
        except Exception as cause:
            raise UserError("a step on 2 images of noise fails") from cause


def test_other_errors_are_left_alone():
    first, second = UserError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first  # a circle, as where an error is raised again
    with pytest.raises(UserError, match="first"), as_user_errors("run", "lower it"):
        raise first from None
    with pytest.raises(RuntimeError, match="shapes"), as_user_errors("run", "lower it"):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(UserError, match=r"^No space left on device: run$"), as_user_errors("run", "lower it"):
        raise OSError(28, "No space left on device")
