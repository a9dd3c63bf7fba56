"""Training: what is logged means what it says, a resume is exact, what is wrong is refused."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from src import build, report
from src.inference.metrics import elbo_terms
from src.support.errors import UserError
from src.support.noise import Noise
from src.training.module import VAEModule
from src.training.objectives import ELBO


def rows(folder):
    return [row for row in csv.DictReader((folder / "metrics.csv").open()) if row["epoch"]]


def weights(folder, which="last"):
    return torch.load(folder / "checkpoints" / f"{which}.ckpt", weights_only=True)["state_dict"]


def identical(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


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
    assert float(table[-1]["val/elbo"]) > float(table[0]["val/elbo"]) + 100
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


@pytest.fixture
def interrupt(monkeypatch):
    """interrupt(run, ..., at=2): a run that Ctrl-C ends within the epoch `at`, counted from 0."""

    def press(module, batch, step):
        if module.current_epoch == press.at and step == 3:
            raise KeyboardInterrupt
        before(module, batch, step)

    before = VAEModule.on_train_batch_start

    def begin(run, *options, at, folder):
        press.at = at
        with monkeypatch.context() as patch, pytest.raises(SystemExit):
            patch.setattr(VAEModule, "on_train_batch_start", press)
            run(*options, folder=folder)

    return begin


@pytest.mark.parametrize(
    "options",
    [
        ["lr_schedule=onecycle"],
        ["likelihood=gaussian", "lr_schedule=constant", "model=conv"],
        ["likelihood=gaussian", "likelihood.sigma=optimal", "posterior=flow", "prior=flow", "trainer.ema=0.9"],
        ["likelihood=logistic256", "posterior=full", "prior=vamp", "prior.components=5", "objective=beta_tc"],
    ],
)
def test_a_resumed_run_ends_bit_identical(run, resume, interrupt, tmp_path, options):
    options = [*options, "callbacks=default", "~callbacks.pictures", "~callbacks.progress", "trainer.max_epochs=4"]
    whole = run(*options, folder="whole")
    interrupt(run, *options, at=2, folder="part")
    part = tmp_path / "part"
    assert [float(row["epoch"]) for row in rows(part)] == [0, 1, 2]
    assert not identical(weights(part), weights(whole))
    resume(part)
    assert identical(weights(part), weights(whole))
    assert identical(weights(part, "best"), weights(whole, "best"))
    timing = {"seconds", "images_per_second"}
    for a, b in zip(rows(part), rows(whole), strict=True):
        assert {k: v for k, v in a.items() if k not in timing} == {k: v for k, v in b.items() if k not in timing}
    with np.load(part / "figures/trace.npz") as a, np.load(whole / "figures/trace.npz") as b:
        assert set(a.files) == set(b.files)
        for name in a.files:
            assert np.array_equal(a[name], b[name]), name


def test_a_resumed_run_keeps_its_own_options(run, resume):
    folder = resume(run("beta=3"), "trainer.max_epochs=3")
    assert [float(row["epoch"]) for row in rows(folder)] == [0, 1, 2, 3]
    assert {float(row["beta"]) for row in rows(folder)} == {3}


def test_seeds_differ_and_repeat(run):
    a, b, c = (run(f"seed={seed}", folder=f"run{i}") for i, seed in enumerate((0, 0, 1)))
    assert identical(weights(a), weights(b))
    assert not identical(weights(a), weights(c))


def test_the_learning_rate_follows_its_schedule(run):
    table = rows(run("lr_schedule=cosine", "optimizer.lr=2e-3"))
    # at the last of an epoch's ten steps
    expected = [2e-3 * (1 + math.cos(math.pi * step / 20)) / 2 for step in (0, 9, 19)]
    assert [float(row["lr"]) for row in table] == pytest.approx(expected)


def test_new_options_of_the_optimizer_count_on_resume(run, resume):
    folder = run()
    before = weights(folder)
    resume(folder, "trainer.max_epochs=3", "optimizer.lr=0")
    assert identical(before, weights(folder))
    assert float(rows(folder)[-1]["lr"]) == 0


def test_a_run_that_was_moved_keeps_its_best_checkpoint(run, resume, tmp_path):
    folder = run("trainer.max_epochs=3").rename(tmp_path / "moved")
    best = weights(folder, "best")
    resume(folder, "trainer.max_epochs=4", "beta=50")  # whose loss is worse
    assert identical(best, weights(folder, "best"))


def test_last_is_the_last_epoch_though_not_the_best(run, resume):
    folder = run("optimizer.lr=0")  # no epoch is better than the first
    epochs = [
        torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["epoch"] for name in ("best", "last")
    ]
    assert epochs == [0, 1]
    resume(folder, "trainer.max_epochs=3")
    assert [float(row["epoch"]) for row in rows(folder)] == [0, 1, 2, 3]


def test_a_resume_that_is_over_before_it_begins_changes_nothing(run, resume):
    folder = run("trainer.max_epochs=3")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="past epoch 3: trainer.max_epochs counts from its start"):
        resume(folder, "trainer.max_epochs=2")
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_weights_that_do_not_fit_are_refused_on_resume(run, resume):
    folder = run()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="do not fit latent_dim, the networks or the other parts"):
        resume(folder, "trainer.max_epochs=3", "latent_dim=4")
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_batch_size_that_changes_on_resume_leaves_the_schedule_where_it_was(run, interrupt, resume, tmp_path):
    interrupt(run, "trainer.max_epochs=4", "lr_schedule=cosine", at=2, folder="part")
    table = rows(resume(tmp_path / "part", "data.batch_size=82"))  # 4 steps an epoch instead of 10
    expected = [3e-3 * (1 + math.cos(math.pi * (1 - 1 / 16))) / 2, 3e-3 * (1 + math.cos(math.pi * (3 - 0.25) / 4)) / 2]
    assert [float(table[i]["lr"]) for i in (4, 3)] == pytest.approx(expected)


def test_a_run_from_before_a_number_was_measured_goes_on(run, resume, caplog):
    """Its rows keep an empty cell, which is said; its trace and its page do without."""
    folder = run("callbacks=default", "~callbacks.pictures", "~callbacks.progress")
    table = rows(folder)
    names = [name for name in table[0] if not name.endswith("elbo_se")]
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(table)
    resume(folder, "trainer.max_epochs=3")
    again = rows(folder)
    assert [row["train/elbo"] for row in again[:3]] == [row["train/elbo"] for row in table]
    assert [bool(row["train/elbo_se"]) for row in again] == [False, False, False, True]
    assert "train/... of the first 3 rows of metrics.csv is of other training images" in caplog.text
    assert len(np.load(folder / "figures" / "trace.npz")["epochs/epoch"]) == 4
    assert report.main([str(folder)]) == 0


def test_a_changed_conf_is_said_on_resume(run, resume, caplog):
    folder = run()
    path = folder / "checkpoints" / "last.ckpt"
    state = torch.load(path, weights_only=True)
    state["run"]["config"]["optimizer"]["lr"] = 0.5
    torch.save(state, path)
    resume(folder, "trainer.max_epochs=3")
    assert "changed since the run began, in optimizer" in caplog.text


def evaluated(folder, split):
    """The terms of a run's best checkpoint, measured by hand."""
    state = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    config = OmegaConf.create(state["run"]["config"])
    vae = build.load(folder)
    x = torch.from_numpy(getattr(build.data(config, vae), split).images).float() / 255
    drawn = Noise(config.seed).normal(torch.arange(len(x)), 1, config.latent_dim, like=x)
    with torch.no_grad():
        return ELBO(config.beta)(vae, x, drawn)


def test_ema_is_what_is_measured_seen_and_kept(run, resume):
    """Decay of nearly one: the average stays with the first step's weights, while they go on; both are kept."""
    options = ["trainer.ema=0.999999", "optimizer.lr=1e-3"]
    folder = run(*options, "posterior=full", "callbacks=default", "~callbacks.pictures", "~callbacks.progress")
    elbo = [float(row["val/elbo"]) for row in rows(folder)]
    assert abs(elbo[-1] - elbo[0]) < 3
    assert float(rows(run("optimizer.lr=1e-3", folder="plain"))[-1]["val/elbo"]) > elbo[-1] + 100
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    key = "vae.encoder.layers.0.weight"
    assert (state["current_model_state"][key] - state["state_dict"][key]).abs().max() > 1e-3
    np.testing.assert_allclose(np.load(folder / "val_terms.npz")["recon"], evaluated(folder, "val").recon, rtol=1e-5)
    with np.load(folder / "figures" / "trace.npz") as trace, torch.no_grad():
        pixels = torch.from_numpy(trace["fixed/pixels"]).float() / 255
        codes = build.load(folder, "last").encode(pixels).mean
        np.testing.assert_allclose(trace["frames/codes"][-1], codes, atol=1e-5)
    with pytest.raises(UserError, match="the run averages its weights: give trainer.ema="):
        resume(folder, "trainer.max_epochs=3", "trainer.ema=null")


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


def test_bf16_trains_and_is_evaluated_in_full_precision(run):
    folder = run("trainer.precision=bf16-mixed")
    elbo = [float(row["val/elbo"]) for row in rows(folder)]
    assert elbo[-1] > elbo[0] + 50
    np.testing.assert_allclose(np.load(folder / "val_terms.npz")["recon"], evaluated(folder, "val").recon, rtol=1e-5)


MINE = """
from torch import nn

class Encoder(nn.Sequential):
    def __init__(self, shape, out_features, hidden, activation, residual):
        assert type(hidden) is list
        super().__init__(nn.Flatten(), nn.Dropout(0.4), nn.BatchNorm1d(784), nn.Linear(784, out_features))
"""


def test_a_network_of_ones_own_is_used_and_resumed_with_its_dropout(run, resume, interrupt, monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    mine = "model.encoder._target_=mine.Encoder"
    whole = run(mine, folder="whole")
    interrupt(run, mine, at=1, folder="part")
    part = resume(tmp_path / "part")
    assert identical(weights(part), weights(whole))
    for split in ("val", "test"):  # without dropout, with the running statistics of the batches
        np.testing.assert_allclose(
            np.load(whole / f"{split}_terms.npz")["loss"], evaluated(whole, split).loss, rtol=1e-5
        )
    assert [type(layer).__name__ for layer in build.load(part).encoder] == [
        "Flatten",
        "Dropout",
        "BatchNorm1d",
        "Linear",
    ]


def test_a_diverged_training_says_so(run):
    with pytest.raises(UserError, match="diverged.*smaller optimizer.lr"):
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
        (["data.shape=[3,28,28]"], r"data.shape=\[3, 28, 28\], but the images of .* are \[1, 28, 28\]"),
        (["data.batch_size=0"], "batch_size must be a whole number, 1 or more, got 0"),
        (["data.batch_size=few"], "batch_size must be a whole number, 1 or more, got few"),
        (["model.encoder.activation=swish"], "model.encoder.activation must be relu or .*, got swish"),
        (["model=conv", "model.encoder.channels=[4,4,4]"], "divisible by 8"),
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
        (["trainer.accelerator=mps"], "trainer: "),
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
