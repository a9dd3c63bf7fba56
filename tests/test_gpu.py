"""Training and tasks on a CUDA device; skipped where there is none."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from src import build
from src.support.errors import UserError
from tests.helpers.runs import identical, rows, weights

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device")
TASKS = {
    "evaluate": ["task.images=20", "task.samples=10"],
    "anomaly": ["task.images=20", "task.samples=5", "task.steps=2", "task.against=[noise]"],
    "sample": ["task.count=4"],
    "traverse": [],
    "interpolate": [],
    "inpaint": [],
}


@pytest.fixture
def on_gpu(run) -> Path:
    """A run trained on the GPU."""
    return run("trainer.accelerator=cuda", folder="gpu")


@pytest.mark.parametrize("wanted", ["cuda", "gpu", "mps"])
def test_a_device_that_is_missing_is_refused_with_what_helps(run, monkeypatch, wanted):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"trainer.accelerator={wanted}, but .*: trainer.accelerator=cpu$"):
        run(f"trainer.accelerator={wanted}")


@ON_GPU
def test_a_run_on_the_gpu_says_so_and_learns_what_the_cpu_learns(on_gpu, run):
    cpu = run(folder="cpu")
    devices = [json.loads((folder / "metrics.json").read_text())["device"] for folder in (on_gpu, cpu)]
    assert devices == ["cuda:0", "cpu"]
    first, last = ([float(row["val/elbo"]) for row in rows(folder)] for folder in (on_gpu, cpu))
    assert first[0] == pytest.approx(last[0], rel=1e-5)  # the same untrained weights and the same noise
    assert first[-1] > first[0] + 20
    assert last[-1] > last[0] + 20
    np.testing.assert_array_equal(build.load(on_gpu).prior().mean, build.load(cpu).prior().mean)


@ON_GPU
def test_a_run_on_the_gpu_that_is_continued_equals_one_that_was_not_stopped(on_gpu, run, resume):
    part = run("trainer.accelerator=cuda", "trainer.max_epochs=1", "lr_schedule=constant", folder="part")
    whole = run("trainer.accelerator=cuda", "lr_schedule=constant", folder="whole")
    assert identical(weights(resume(part, "trainer.max_epochs=2")), weights(whole))


@ON_GPU
@pytest.mark.parametrize("task", TASKS)
def test_a_task_finds_on_the_gpu_what_it_finds_on_the_cpu(on_gpu, applied, task):
    numbers = {}
    for device in ("cuda", "cpu"):
        numbers[device] = applied(on_gpu, f"task={task}", *TASKS[task], f"device={device}", f"name={device}")[0]
    assert numbers["cuda"].keys() == numbers["cpu"].keys()
    for name in ("elbo", "nll_10", "noise nll/auroc"):
        if name in numbers["cuda"]:
            assert numbers["cuda"][name] == pytest.approx(numbers["cpu"][name], abs=0.05)
