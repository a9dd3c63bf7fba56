"""What benchmarks/ claims, and that its yardstick computes what is measured against it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from torch.distributions import kl_divergence

from benchmarks import peers, quality, report, steps
from benchmarks.configuration import MODELS, NEEDED
from benchmarks.contestants import Record
from benchmarks.sides import bare_loss
from src import build
from src.data.batches import Batch
from src.training.objectives import ELBO
from tests.helpers.project import ROOT

ENV = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

MNIST = Path(os.environ.get("DATA_ROOT", "data")) / NEEDED  # which is not embedded, and is downloaded in no test
on_mnist = pytest.mark.skipif(not MNIST.is_file(), reason="DATA_ROOT holds no MNIST")


def speeds(**of_sides: list[float | None]) -> list[dict[str, dict]]:
    """Rounds in which the sides had these speeds; None is a side that failed."""
    rounds = [dict(zip(of_sides, values, strict=True)) for values in zip(*of_sides.values(), strict=True)]
    numbers = {"peak_mb": 1, "parameters": 2, "mflop_per_image": 4.0, "matmul_gflops": 80.0}

    def result(speed: float | None) -> dict:
        return (
            {"images_per_second": speed, "images_per_cpu_second": speed, **numbers} if speed else {"error": "no luck"}
        )

    return [{side: result(speed) for side, speed in round_.items()} for round_ in rounds]


def test_ratios_are_taken_within_a_round():
    """The machine is ten times slower in the third round: of the speeds' medians the ratio would be 2.5."""
    rounds = speeds(lean=[200, 300, 30, 400], bare=[100, 100, 10, 100])
    assert report.ratios(rounds, "lean", "bare") == [2, 3, 3, 4]
    found = report.compared(rounds)["lean/bare"]
    assert (found["ratio"], found["quartiles"], found["verdict"], found["rounds"]) == (3, [2.75, 3.25], "faster", 4)


def test_a_round_in_which_one_failed_does_not_count():
    rounds = speeds(lean=[200, None, 300], bare=[100, 100, None])
    assert report.ratios(rounds, "lean", "bare") == [2]
    assert "lean/pythae" not in report.compared(rounds)


def test_spread_is_median_and_quartiles():
    assert report.spread([5, 1, 3, 2, 4]) == (2, 3, 4)
    assert report.spread([7]) == (7, 7, 7)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.16, 2, "faster"),
        (1.15, 2, "no claim"),
        (0.5, 0.86, "slower"),
        (0.5, 0.87, "no claim"),
        (0.8, 1.3, "no claim"),
        (1, 1, "no claim"),
    ],
)
def test_a_lead_is_claimed_where_the_quartiles_agree_on_it(low, high, said):
    assert report.verdict(low, high) == said


def test_the_table_names_what_failed_and_why():
    lines = report.table(speeds(lean=[10_000, 10_000], bare=[20_000, 20_000], pythae=[None, None])).splitlines()
    assert lines[1].startswith("bare")
    assert "0.50 [0.50-0.50]" in lines[2]
    assert lines[2].split()[-4:] == ["50", "1", "2", "4.00"]  # 4 MFLOP * 10,000 / s = 40 GFLOP/s of 80
    assert lines[3].startswith("pythae")
    assert lines[3].endswith("failed in 2 of 2: no luck")


def test_alternating_steps_are_told_apart():
    def slow():
        while True:
            time.sleep(0.002)
            yield

    watch = steps.Alternating([slow()], steps=steps.BLOCK)
    while not watch.lap(1):
        pass
    ((ours, other),) = watch.blocks()
    assert ours < 0.001 < 0.002 <= other


@pytest.mark.parametrize("model", MODELS)
def test_the_bare_loop_minimises_what_the_module_does(composed, model):
    module = build.module(composed(*MODELS[model]), [])
    module.trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with torch.no_grad():  # untrained, the KL is too small a part of the loss to be missed
        list(module.vae.encoder.parameters())[-1].fill_(2)
    index = torch.arange(8)
    x = (torch.rand(8, 1, 28, 28) < 0.2).float()
    torch.manual_seed(0)
    noise = torch.randn(8, module.vae.latent_dim)
    torch.manual_seed(0)
    loss = module.training_step(Batch(x, index, index), 0).item()
    q, p = module.vae.encode(x), module.vae.prior()
    assert kl_divergence(q, p).mean() > 0.05 * loss
    assert bare_loss(module.vae, x, noise).item() == pytest.approx(loss, rel=1e-4)


def test_the_peers_loss_is_the_negative_elbo(composed):
    vae = build.vae(composed("model=mlp"))
    x = (torch.rand(8, 1, 28, 28) < 0.2).float()
    torch.manual_seed(0)
    noise = torch.randn(8, vae.latent_dim)
    torch.manual_seed(0)
    loss = peers.summed_loss(peers.Networks(vae.encoder, vae.decoder), x).item()
    assert loss == pytest.approx(ELBO()(vae, x, noise[None]).loss.sum().item(), rel=1e-4)


def test_a_contestant_writes_the_elbo_of_the_validation_images(composed, tmp_path):
    vae = build.vae(composed("model=mlp"))
    networks = peers.Networks(vae.encoder, vae.decoder)
    val = (np.random.default_rng(0).random((600, 1, 28, 28)) < 0.2).astype(np.uint8)
    record = Record(tmp_path, val)
    record.epoch(networks.encode, networks.decode)
    record.epoch(networks.encode, networks.decode)
    with torch.no_grad():
        elbo = -ELBO()(vae, torch.from_numpy(val).float(), torch.randn(1, 600, vae.latent_dim)).loss.mean().item()
    (first, second) = quality.rows(tmp_path / "metrics.csv")
    assert (first[0], second[0]) == (50_000, 100_000)
    assert first[1] == pytest.approx(elbo, abs=0.5)  # other noise, which an untrained decoder hardly minds


def run_of(*elbos: float, seconds: float = 10) -> list[quality.Point]:
    """A run with an epoch of 50,000 images each `seconds`."""
    return [quality.Point(seconds * (i + 1), 50_000 * (i + 1), elbo) for i, elbo in enumerate(elbos)]


def test_a_target_is_passed_when_the_mean_over_seeds_passes_it():
    runs = [run_of(-110, -99, -96), run_of(-110, -102, -97, seconds=20)]
    assert quality.passed(runs, -100) == (45, 150_000, -96.5)  # at the second epoch the mean is -100.5
    assert quality.passed(runs, -96) is None


def test_a_miss_counts_as_the_limit():
    ours, theirs = "this project, model=mlp", "pythae"
    words = quality.sooner({ours: [run_of(-104, -96)], theirs: [run_of(-120, -104)]}, limit=600)
    assert "-105: 2.0, -100: 30.0, -97: 30.0, -93: 1.0" in words
    lines = quality.table({theirs: [run_of(-120, -104)]}, {theirs: 4e6}, limit=600).splitlines()
    assert lines[1].split()[1:] == [*["20"], *["not", "reached"] * 3, "1", "seed(s),", "best", "-104.00"]
    assert lines[2].split() == ["images", "seen", "100k"]
    assert lines[3].split()[-1] == "0.40"


def test_epochs_are_read_from_a_file_that_is_being_written(tmp_path):
    path = tmp_path / "metrics.csv"
    assert quality.rows(path) == []
    path.write_text("images_seen,val/elbo\n100,-5.5\n200,")
    assert quality.rows(path) == [(100, -5.5)]


def test_help_answers_before_torch_is_imported():
    code = "import sys, runpy; sys.argv = ['train', '--help']\n"
    code += "try: runpy.run_module('benchmarks.train', run_name='__main__')\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--quick" in done.stdout
    assert "steadiest" in done.stdout


def test_without_mnist_it_says_where_it_looked(tmp_path):
    command = [sys.executable, "-m", "benchmarks.train"]
    done = subprocess.run(command, env=ENV | {"DATA_ROOT": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"there is no {tmp_path}/MNIST/raw/train-images-idx3-ubyte: set DATA_ROOT")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@on_mnist
def test_quick_runs_all_sides(tmp_path):
    command = [sys.executable, "-m", "benchmarks.train", "--quick", "--model", "mlp", "--out", "out"]
    done = subprocess.run(command, cwd=tmp_path, env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "out" / "train.png").stat().st_size > 10_000
    (round_,) = json.loads((tmp_path / "out" / "results.json").read_text())["rounds"]["mlp"]
    sides = {"default", "lean", "bare", "lightning_dataloader", "pytorch_examples"}
    assert sides <= {side for side, result in round_.items() if "images_per_second" in result}
    assert round_["lean"]["mflop_per_image"] == pytest.approx(round_["bare"]["mflop_per_image"])
    assert round_["lean"]["parameters"] == round_["bare"]["parameters"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["out", "results.json", "train.png"]


@pytest.mark.slow
@on_mnist
def test_quality_times_a_side_and_a_peer(tmp_path):
    command = [sys.executable, "-m", "benchmarks.quality", "--seeds", "1", "--limit", "120", "--out", "out", "--sides"]
    sides = ["this project, model=mlp", "pytorch/examples"]
    done = subprocess.run([*command, *sides], cwd=tmp_path, env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    runs = json.loads((tmp_path / "out" / "results.json").read_text())["runs"]
    for side in sides:
        ((_, _, first), *_, (seconds, images, last)) = runs[side][0]
        assert seconds <= 121
        assert images >= 50_000
        assert last > first
    assert (tmp_path / "out" / "quality.png").stat().st_size > 10_000


@pytest.mark.slow
def test_wall_tells_where_the_time_goes(tmp_path):
    command = [sys.executable, "-m", "benchmarks.wall", "--rounds", "1", "logger=csv", "trainer.max_epochs=1"]
    done = subprocess.run(command, cwd=tmp_path, env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for part in (
        "--help",
        "the first training step done",
        "evaluation each epoch",
        "pictures",
        "backward",
        "500 validation images",
        "4,000 training images",
    ):
        assert f"  {part} " in done.stdout


@pytest.mark.slow
@on_mnist
def test_models_tells_what_a_step_costs(tmp_path):
    command = [sys.executable, "-m", "benchmarks.models", "--rounds", "1", "model=mlp", "model=ladder"]
    done = subprocess.run(command, cwd=tmp_path, env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.replace(",", "").splitlines()[2:]
    mlp, ladder = ([cell.strip() for cell in line.split("|")] for line in lines)
    assert (mlp[1], mlp[5], ladder[1]) == ("`model=mlp`", "1.00", "`model=ladder`")
    assert float(mlp[3]) < float(ladder[3]) and float(mlp[4]) > float(ladder[4]) > 0
    done = subprocess.run([*command, "--profile"], cwd=tmp_path, env=ENV, capture_output=True, text=True)
    assert "aten::convolution_backward" in done.stdout
