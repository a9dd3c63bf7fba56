"""A run that is resumed ends as if it had never stopped, with its own options and those that are new."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from src import report
from src.support.errors import UserError
from tests.helpers.runs import identical, rows, train_run, weights


@pytest.mark.parametrize(
    "options",
    [
        ["lr_schedule=onecycle"],
        ["likelihood=gaussian", "lr_schedule=constant", "model=conv"],
        [
            "likelihood=gaussian",
            "likelihood.sigma=optimal",
            "posterior=flow",
            "prior=flow",
            "trainer.ema=0.9",
            "model.start=data",
        ],
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


def test_a_run_in_a_relative_folder_keeps_its_best_checkpoint(small):
    """Lightning removes the best checkpoint of before, which it must know to be the file that it has just written."""
    folder = train_run([*small, "trainer.max_epochs=1"], Path("run"))
    train_run([f"ckpt_path={folder}/checkpoints/last.ckpt"], folder, ("trainer.max_epochs=2",))
    assert rows(folder)[-1]["epoch"] == "2.0"
    assert (folder / "checkpoints" / "best.ckpt").is_file()


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
    with pytest.raises(UserError, match=r"past epoch 3: trainer.max_epochs counts from its start"):
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
    expected = [2e-3 * (1 + math.cos(math.pi * (1 - 1 / 16))) / 2, 2e-3 * (1 + math.cos(math.pi * (3 - 0.25) / 4)) / 2]
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
