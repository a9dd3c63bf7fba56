"""Training: what is logged means what it says, a resume is exact, what is wrong is refused."""

import json
import math

import numpy as np
import pytest
import torch

from src import build
from src.inference.metrics import elbo_terms
from src.support.errors import UserError
from src.support.noise import Noise
from tests.helpers.runs import identical, rows, weights


@pytest.fixture
def trained(run):
    return run("beta=4", "schedule=linear", "schedule.length=4")


def test_numbers_of_a_run(trained):
    table = rows(trained)
    assert [float(row["epoch"]) for row in table] == [0, 1, 2]
    assert [float(row["images_seen"]) for row in table] == [0, 320, 640]
    for row in table:
        for split in ("train", "val"):
            loss, elbo, recon, kl = (float(row[f"{split}/{name}"]) for name in ("loss", "elbo", "recon", "kl"))
            assert elbo == pytest.approx(-(recon + kl))  # whatever beta
            assert loss == pytest.approx(recon + 4 * kl)  # the schedule at its final value, the same at every epoch
        per_dim = [float(row[f"val/kl_per_dim/00{d}"]) for d in range(3)]
        assert sum(per_dim) == pytest.approx(float(row["val/kl"]), rel=1e-4)
    # at the last of an epoch's ten steps; the warm-up of beta=4 takes 40
    assert [float(row["beta"]) for row in table] == pytest.approx([0, 0.9, 1.9])
    assert float(table[-1]["val/elbo"]) > float(table[0]["val/elbo"]) + 50
    assert float(table[-1]["images_per_second"]) == pytest.approx(320 / float(table[-1]["seconds"]))


def test_what_a_run_leaves(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    for split, count in (("val", 41), ("test", 41)):
        terms = np.load(trained / f"{split}_terms.npz")
        elbo = -(terms["recon"].astype(np.float64) + terms["kl"])
        assert metrics[f"{split}/elbo_se"] == pytest.approx(elbo.std(ddof=1) / count**0.5)
        assert terms["index"].tolist() == list(range(count))
        for name in ("loss", "recon", "kl"):
            assert metrics[f"{split}/{name}"] == pytest.approx(terms[name].astype(np.float64).mean())
    best = max(rows(trained), key=lambda row: -float(row["val/loss"]))
    assert metrics["epoch"] == float(best["epoch"])
    assert metrics["train/elbo"] == float(best["train/elbo"])
    run = build.open_run(trained)
    elbo = elbo_terms(run.vae, run.batches(run.data.train_subset), Noise(run.seed))["elbo"]  # of all 328
    assert metrics["train/elbo"] == pytest.approx(elbo.mean())
    assert metrics["train/elbo_se"] == pytest.approx(elbo.std(ddof=1) / 328**0.5)
    assert metrics["training_seconds"] == pytest.approx(sum(float(row["seconds"] or 0) for row in rows(trained)))
    assert metrics["val/loss"] == pytest.approx(float(best["val/loss"]))
    assert metrics["data"]["train"] == 328
    assert metrics["precision"] == "32-true"
    assert torch.__version__.startswith(metrics["versions"]["torch"])
    left = {path.name for path in trained.iterdir()}
    files = {
        "config.yaml",
        "data.json",
        "status.json",
        "metrics.csv",
        "metrics.json",
        "checkpoints",
        "val_terms.npz",
        "test_terms.npz",
    }
    assert left == files
    assert {path.name for path in (trained / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def test_load_gives_the_trained_vae_back(trained):
    vae = build.load(trained, "last")
    assert not vae.training
    assert identical({f"vae.{k}": v for k, v in vae.state_dict().items()}, weights(trained))
    x = torch.rand(2, 1, 28, 28)
    assert vae.encode(x).mean.shape == (2, 3)
    assert vae.decode(vae.prior().sample((5,))).mean.shape == (5, 1, 28, 28)


def test_seeds_differ_and_repeat(run):
    a, b, c = (run(f"seed={seed}", folder=f"run{i}") for i, seed in enumerate((0, 0, 1)))
    assert identical(weights(a), weights(b))
    assert not identical(weights(a), weights(c))


def test_the_learning_rate_follows_its_schedule(run):
    table = rows(run("lr_schedule=cosine", "optimizer.lr=2e-3"))
    # at the last of an epoch's ten steps
    expected = [2e-3 * (1 + math.cos(math.pi * step / 20)) / 2 for step in (0, 9, 19)]
    assert [float(row["lr"]) for row in table] == pytest.approx(expected)


def test_greys_have_bits_per_dim(run):
    logistic = float(rows(run("likelihood=logistic256"))[-1]["val/bits_per_dim"])
    density = float(rows(run("likelihood=gaussian", folder="density"))[-1]["val/bits_per_dim"])
    assert 0 < logistic < 8
    assert 0 < density < 8
    assert "val/bits_per_dim" not in rows(run(folder="binary"))[-1]


def test_a_capacity_is_recorded_as_its_schedule_grows_it(run):
    folder = run("objective=capacity", "schedule=linear", "schedule.length=2", "objective.capacity=10")
    assert [float(row["capacity"]) for row in rows(folder)] == pytest.approx([0, 4.5, 9.5])


def test_images_outside_of_the_support_are_refused(run, monkeypatch):
    monkeypatch.setattr(build, "required_pixels", lambda likelihood, binarize: "levels")
    with pytest.raises(UserError, match="the likelihood Bernoulli is no distribution over these images"):
        run()


def test_a_diverged_training_says_so(run):
    with pytest.raises(UserError, match=r"diverged.*smaller optimizer.lr"):
        run("optimizer.lr=1e9", "likelihood=gaussian")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["data.binarize=none"], "Bernoulli is a distribution over binary images; use auto"),
        (
            ["likelihood=gaussian", "data.binarize=dynamic"],
            "Gaussian is a distribution over grayscale images",
        ),
        (["data.binarize=sometimes"], "data.binarize must be auto or dynamic or none"),
        (["data.white=9"], r"the levels go up to .*, above data\.white=9"),
        (["data.batch_size=0"], "batch_size must be a whole number, 1 or more or auto, got 0"),
        (["data.batch_size=few"], "batch_size must be a whole number, 1 or more or auto, got few"),
        (["model.encoder.activation=swish"], "model.encoder.activation must be relu or .*, got swish"),
        (
            ["likelihood=gaussian", "likelihood.sigma=0"],
            "likelihood.sigma must be .* or a number, 0.001953 or more, got 0",
        ),
        (["schedule=linear", "schedule.length=0"], "schedule.length must be a number above 0, got 0"),
        (["objective=iwae", "schedule=linear"], "schedule=linear: objective=iwae has nothing that a schedule could"),
        (["prior=vamp", "posterior=flow"], "posterior=flow prior=vamp: prior=vamp needs the density of any code"),
        (["objective=beta_tc", "posterior=flow"], "objective=beta_tc posterior=flow .* total correlation needs"),
        (["objective=free_bits", "prior=flow"], "objective=free_bits .* prior=flow: KL per dimension needs"),
        (["objective=mmd", "prior=mixture"], "objective=mmd .* prior=mixture: .* given noise"),
        (["objective=iwae", "beta=4"], "beta=4: objective=iwae has no beta"),
        (["objective=mmd", "data.batch_size=1"], "objective=mmd needs two images or more in a batch"),
        (["beta=0", "schedule=linear"], "schedule=linear: objective=elbo has nothing that a schedule could"),
        (["trainer.ema=high"], "trainer.ema must be a number above 0 and below 1 or null, got high"),
        (["trainer.ema=1"], "trainer.ema must be a number above 0 and below 1"),
        (["likelihood=logistic256", "data.binarize=dynamic"], "Logistic256 is a distribution over grayscale images"),
        (["objective.kl=guess"], "objective.kl must be closed or sample, got guess"),
        (["optimizer.lr=-1"], "optimizer.lr must be a number, 0 or more, got -1"),
        (
            ["lr_schedule=onecycle", "lr_schedule.rise=1"],
            "lr_schedule.rise must be a number above 0 and below 1, got 1",
        ),
        (["trainer.precision=7"], "trainer.precision must be 32-true"),
        (["trainer.precision=bf16-true"], "32-true or bf16-mixed or .*, got bf16-true"),
        (["trainer.max_epochs=0"], "max_epochs must be a whole number, 1 or more"),
        (["trainer.max_epochs=-1"], "max_epochs must be a whole number, 1 or more"),
        (["+trainer.max_steps=3"], "trainer.max_steps=3 is not possible: give trainer.max_epochs"),
        (["logger=wandb", "logger.wandb.mode=maybe"], "must be auto or online"),
    ],
)
def test_wrong_options_are_refused_in_one_line(run, options, message):
    with pytest.raises(UserError, match=message) as caught:
        run(*options)
    assert len(str(caught.value).splitlines()) == 1


def test_checkpoints_that_are_none(trained, resume, tmp_path):
    last = trained / "checkpoints" / "last.ckpt"
    whole = last.read_bytes()
    for content, message in [
        (whole[: len(whole) // 2], "is no checkpoint, or is cut short"),
        (b"", "is no checkpoint, or is cut short"),
        (b"hello", "is no checkpoint, or is cut short"),
    ]:
        last.write_bytes(content)
        with pytest.raises(UserError, match=message):
            build.load(trained, "last")
        with pytest.raises(UserError, match=message):
            resume(trained)
        assert last.read_bytes() == content
    torch.save({"state_dict": {}}, last)
    with pytest.raises(UserError, match="was not written by this program"):
        build.load(trained, "last")
    with pytest.raises(UserError, match="no such checkpoint"):
        build.load(tmp_path / "nowhere")
