"""Runs are found, read and named, whatever is missing or damaged."""

from pathlib import Path

import numpy as np
import pytest

from src import report
from src.reporting import conclude
from src.reporting.runs import Run, read
from src.run.places import find
from tests.helpers.reports import add_figures, fake_run, make_report, write_status


def test_runs_are_found_once_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 1):
        fake_run(tmp_path / "sweeps" / "s" / str(number))
    (tmp_path / "sweeps" / "s" / "1" / "tasks" / "sample").mkdir(parents=True)
    (tmp_path / "sweeps" / "s" / "1" / "tasks" / "sample" / "metrics.json").write_text("{}")
    (tmp_path / "wandb" / "run" / "files").mkdir(parents=True)
    (tmp_path / "wandb" / "run" / "files" / "config.yaml").write_text("a: 1")
    found = find([tmp_path, tmp_path / "sweeps" / "s" / "9"])
    assert [path.name for path in found] == ["1", "9", "10"]
    assert [run.name for run in conclude.read_runs(found)] == ["1", "9", "10"]


@pytest.mark.parametrize(
    ("told", "losses", "expected"),
    [
        ({"state": "finished"}, (500, 100), "finished"),
        ({"state": "running"}, (500, 100), "running"),
        ({"state": "running", "pid": 2**22 + 1}, (500, 100), "killed"),
        ({"state": "running", "pid": 2**22 + 1, "host": "elsewhere"}, (500, 100), "running"),
        ({"state": "failed", "reason": "ValueError: too wide"}, (500,), "failed"),
        ({"state": "interrupted"}, (500, 100), "interrupted"),
        ({"state": "diverged", "reason": "NaN"}, (500, 100), "diverged"),
        ({"state": "finished"}, (500, 100, 501), "diverged"),
        ({"state": "finished"}, (500, 100, float("nan")), "diverged"),
        ({"state": "melted"}, (500, 100), "unknown"),
        (None, (500, 100), "finished"),
    ],
)
def test_states(tmp_path, told, losses, expected):
    folder = fake_run(tmp_path / "0", losses=losses)
    if told is not None:
        write_status(folder, **told)
    run = read(folder, "0")
    assert run.status == expected
    assert run.is_ranked == (expected == "finished")
    assert bool(run.reason) == (expected in ("killed", "failed", "diverged", "unknown"))


def test_a_process_that_has_another_ones_number_is_not_the_run(tmp_path):
    folder = write_status(fake_run(tmp_path / "0"), "running", started="2020-01-01T00:00:00")
    assert read(folder, "0").status == "killed"


def test_whatever_is_missing_or_damaged_the_page_says_so(tmp_path):
    files = (
        "config.yaml",
        "status.json",
        "metrics.json",
        "metrics.csv",
        "val_terms.npz",
        "test_terms.npz",
        "figures/trace.npz",
    )
    fake_run(tmp_path / "whole", elbo=-90, terms=np.full(20, -90.0))
    for i, name in enumerate((*files, "figures/latent_tsne.png")):
        for kind, content in (
            ("empty", b""),
            ("noise", bytes(range(256))),
            ("list", b"[1, 2]"),
            ("text", b"epoch\nx\n"),
        ):
            folder = add_figures(fake_run(tmp_path / f"{kind}{i}", elbo=-91, terms=np.full(20, -91.0)))
            (folder / name).write_bytes(content)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.yaml").write_text("data: 3\n")
    page, table = make_report(tmp_path)
    said = {row["run"]: row["reason"] for row in table}
    assert len(said) == 2 + 4 * 8
    assert not said["whole"]
    assert (
        said["bare"]
        == "it left no metrics.json: it was stopped, or still runs; config.yaml names no data or no likelihood"
    )
    for i, name in enumerate((*files, "figures/latent_tsne.png")):
        for kind in ("empty", "noise", "list", "text"):
            if (kind, name) != ("empty", "metrics.csv"):
                assert f"{name} can't be read: " in said[f"{kind}{i}"], (kind, name)
    assert "Not compared" in page


def test_a_run_that_was_trained(finished, tmp_path):
    page = tmp_path / "page.html"
    assert report.main([str(finished), "--out", str(page)]) == 0
    run = read(finished, "run")
    assert run.is_ranked
    assert not run.explanation
    assert run.terms["val"]["elbo"].mean() == pytest.approx(run.number("val/elbo"), abs=1e-3)
    assert f"−{-run.number('val/elbo'):.2f}" in page.read_text()


def test_a_run_has_a_number_only_if_it_is_finite():
    run = Run(Path(), "", {}, "finished", "", [], {"val/elbo": float("nan"), "val/kl": "x", "val/recon": 1}, {}, [])
    assert [run.number(f"val/{name}") for name in ("elbo", "kl", "recon", "loss")] == [None, None, 1.0, None]
    assert not run.is_ranked
