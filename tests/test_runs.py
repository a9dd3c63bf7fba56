"""python -m src.runs: the table, what is chosen, the best, and folders that are damaged or hostile."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from src.reporting import listing, selection
from src.run import epochs, summary
from src.run.places import survey
from src.support.texts import read_yaml
from tests.helpers.listed import command, make_job, make_run
from tests.helpers.processes import HEAVY, packages_imported
from tests.helpers.project import ROOT


@pytest.fixture
def listed(capsys):
    """listed("--sort", "elbo"): the paths that the list for other programs has, in its order."""
    return lambda *words: [each["run"] for each in json.loads(command(capsys, *words, "--json")[1])]


def test_a_run_is_a_row(capsys):
    make_run("runs/one", elbo=-98.765, title="mlp d=2 on mnist")
    make_run("runs/two", "failed", days=3)
    Path("outputs/runs/two/status.json").write_text(
        Path("outputs/runs/two/status.json").read_text().replace('"reason": null', '"reason": "no disk\\nleft"')
    )
    code, out, err = command(capsys)
    assert code == 0
    rows = out.splitlines()
    assert rows[0].split() == ["run", "state", "title", "val", "ELBO", "started", "time", "size", "note"]
    assert rows[1].split("  ")[0] == "outputs/runs/one"
    for text in ("finished", "mlp d=2 on mnist", "-98.77", " 6 s", " 2 kB"):
        assert text in rows[1]
    assert rows[2].endswith("no disk left")
    assert err == "2 runs, 3 kB: 1 finished, 1 failed\n"
    assert "\x1b" not in out


def test_jobs_of_a_sweep_that_have_one_title_are_told_apart_by_their_options(capsys):
    for number in (0, 1):
        make_job(number, title="mlp d=2 on mnist")
    make_job(2, title="mlp d=8 on mnist")
    make_run("runs/one", title="mlp d=2 on mnist")
    rows = command(capsys)[1].splitlines()[1:]
    titles = {row.split("  ")[0]: re.search(r"mlp[^-]*mnist(: \S+)?", row)[0] for row in rows}
    assert titles == {
        "outputs/runs/one": "mlp d=2 on mnist",
        "outputs/sweeps/a/0": "mlp d=2 on mnist: seed=0",
        "outputs/sweeps/a/1": "mlp d=2 on mnist: seed=1",
        "outputs/sweeps/a/2": "mlp d=8 on mnist",
    }


@pytest.mark.parametrize(
    ("elbo", "expected"),
    [(-98.765, "-98.77"), (-999_999.0, "-999999.00"), (-1904279680091050893187235807232.0, "-1.9e30"), (2e6, "2.0e6")],
)
def test_a_number_beyond_a_million_is_short(elbo, expected):
    assert listing.number_text(elbo) == expected


def test_neither_torch_nor_numpy_is_imported(tmp_path):
    make_run("runs/one")
    for words in (["--sort", "elbo"], ["delete", "--state", "failed"]):
        loaded = packages_imported("runs", tmp_path, *words)
        assert "yaml" in loaded
        assert not loaded & HEAVY


def test_runs_are_sorted_and_chosen(listed):
    first = make_run("runs/a", elbo=-90, days=9, beta=4.0, model="conv")
    second = make_run("runs/b", "failed", elbo=-80, days=2, title="my first")
    third = make_job(3, elbo=-100, days=0.5, latent_dim=8)
    names = [str(each) for each in (first, second, third)]
    assert listed() == names[::-1]
    assert listed("--sort", "elbo") == [names[1], names[0], names[2]]
    assert listed("--sort", "run", "--reverse") == [names[2], names[1], names[0]]
    for words, expected in {
        ("--state", "failed"): [1],
        ("--state", "failed", "--state", "finished"): [2, 1, 0],
        ("--since", "3d"): [2, 1],
        ("--older-than", "40h"): [1, 0],
        ("--where", "beta=4"): [0],
        ("--where", "beta=4.0"): [0],
        ("--where", "beta=1e0", "--where", "latent_dim=8"): [2],
        ("--where", "model=conv"): [0],
        ("--where", "trainer.max_epochs=3"): [2, 1, 0],
        ("--where", "title=*first*"): [1],
        ("--where", "sweep=a"): [2],
        ("--where", "data=mnist", "--where", "likelihood=bernoulli", "--where", "pixels=binary"): [2, 1, 0],
        ("--where", "images=5b007d"): [2, 1, 0],
        ("--where", "images=other"): [],
        ("outputs/sweeps",): [2],
        ("outputs/runs/a", "outputs/runs/b"): [1, 0],
    }.items():
        assert listed(*words) == [names[i] for i in expected], words


def test_parts_of_ones_own_are_chosen_by_what_one_types(listed):
    folder, _ = make_run("runs/own"), make_run("runs/plain")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["model"]["encoder"] = {"_target_": "mine.MobileNet", "_partial_": True}
    config |= {"prior": {"_target_": "mine.Prior"}, "likelihood": {"_target_": "mine.Likelihood"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for part, value in {"model.encoder": "MobileNet", "prior": "Prior", "likelihood": "Likelihood"}.items():
        assert listed("--where", f"{part}._target_=mine.{value}") == [str(folder)]
        assert listed("--where", f"{part}=mine.{value}") == [str(folder)]
        assert listed("--where", f"{part}._target_=mine.Other") == []
    shipped = config["data"]["source"]["_target_"]
    assert len(listed("--where", f"data.source._target_={shipped}")) == 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--where", "beat=4"], 1, "no run here has an option beat"),
        (["--where", "beta"], 2, "beta is no NAME=VALUE"),
        (["--since", "yesterday"], 2, "yesterday is no time such as 12h, 7d, 2w or 2026-11-01"),
        (["--since", "999999w"], 2, "is no time such as"),
        (["nowhere"], 1, "nowhere: there is no such folder"),
        (["--sort", "beta"], 2, "invalid choice"),
    ],
)
def test_a_mistake_is_one_line(capsys, words, code, message):
    make_run("runs/one")
    ended, out, err = command(capsys, *words)
    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert message in err


def test_without_runs_a_line_says_how_to_get_one(capsys):
    assert command(capsys) == (0, "", "no such run in outputs: python -m src.train trains one\n")
    assert command(capsys, "best") == (1, "", "no such run in outputs: python -m src.train trains one\n")


def test_where_no_run_matches_a_line_says_of_how_many(capsys):
    make_run("runs/a", data="fashion_mnist"), make_run("runs/b", "failed")
    words = ["--where", "data=mnist5k", "--where", "beta=1", "--state", "failed"]
    message = "none of 2 runs matches data=mnist5k beta=1 --state failed\n"
    assert command(capsys, *words) == (0, "", message)
    assert command(capsys, "best", *words) == (1, "", message)
    assert command(capsys, "delete", *words) == (0, "", message)
    assert command(capsys, "--since", "1h")[2].startswith("none of 2 runs matches --since 20")
    assert command(capsys, "--older-than", "30d", "outputs/runs/a")[2].startswith(
        "the run does not match --older-than 20"
    )


def test_the_best_run_is_a_path_for_the_shell(capsys):
    make_run("runs/a", elbo=-90)
    make_run("runs/b", elbo=-80)
    make_run("runs/unfinished", "interrupted", elbo=-10)
    make_run("runs/no number", elbo=float("nan"))
    code, out, err = command(capsys, "best")
    assert (code, out) == (0, "outputs/runs/b\n")
    assert "validation ELBO -80.00" in err
    assert command(capsys, "best", "--where", "beta=1", "outputs/runs/a")[1] == "outputs/runs/a\n"
    assert command(capsys, "best", "--state", "interrupted")[:2] == (1, "")


def test_only_what_can_be_compared_has_a_best(capsys):
    """Each group that the refusal names is chosen by the options that it names."""
    make_run("runs/a", elbo=-90)
    make_run("runs/grey", elbo=300, likelihood="Gaussian")
    make_run("runs/other split", elbo=-10, images="0123456789")
    given = make_run("runs/given the label", elbo=-20) / "config.yaml"
    condition = {"condition": {"_target_": "src.models.conditions.Label"}}
    given.write_text(yaml.safe_dump(yaml.safe_load(given.read_text()) | condition))
    code, out, err = command(capsys, "best")
    assert (code, out) == (1, "")
    assert "these runs can't be compared" in err
    chosen = [group.rpartition("(")[2].rstrip(")\n").split() for group in err.split("; ")]
    assert len(chosen) == 4
    best = [command(capsys, "best", *words)[1] for words in chosen]
    runs = ["a", "given the label", "grey", "other split"]
    assert sorted(best) == [f"outputs/runs/{name}\n" for name in runs]
    (make_run("runs/unknown") / "config.yaml").unlink()
    table = command(capsys, "--sort", "elbo")[1]
    assert "\n\nothers:\noutputs/runs/unknown" in table
    assert "\n\nmnist, images 012345, binary pixels, bernoulli:\noutputs/runs/other split" in table


def test_the_console_of_the_command_is_the_path_alone(tmp_path):
    make_run("runs/a")
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-m", "src.runs", "best"]
    result = subprocess.run(call, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "outputs/runs/a\n")


def test_other_programs_get_the_options_of_a_run(capsys):
    make_run("runs/a", beta=4.0)
    (row,) = json.loads(command(capsys, "--json")[1])
    config = yaml.safe_load(Path("outputs/runs/a/config.yaml").read_text())
    assert row["options"]["beta"] == 4
    assert row["options"]["data"] == config["data"]["name"]
    assert row["options"]["likelihood"] == "bernoulli"
    assert row["options"]["trainer.max_epochs"] == config["trainer"]["max_epochs"]
    assert not {"title", "run_name", "logger"} & row["options"].keys()
    assert not [name for name in row["options"] if name.endswith(("_target_", "_partial_"))]


def test_jobs_without_a_folder_are_listed_by_their_options(capsys):
    job = make_job(0)
    plan = json.loads((job.parent / "jobs.json").read_text())
    plan["b"] = {"number": 1, "options": ["beta=4"], "wanted": True}
    plan["c"] = {"number": 2, "options": ["beta=8"], "wanted": True, "deleted": True}
    plan["d"] = {"number": 3, "options": ["beta=9"], "wanted": False}
    (job.parent / "jobs.json").write_text(json.dumps(plan))
    shown = json.loads(command(capsys, "--json")[1])
    assert {each["run"]: (each["state"], each["sweep"]) for each in shown} == {
        "outputs/sweeps/a/0": ("finished", "a"),
        "outputs/sweeps/a/1": ("waiting", "a"),
    }
    (deleted,) = json.loads(command(capsys, "--state", "deleted", "--json")[1])
    assert (deleted["run"], deleted["title"]) == ("outputs/sweeps/a/2", "beta=8")
    (waiting,) = json.loads(command(capsys, "--where", "beta=4", "--json")[1])
    assert (waiting["run"], waiting["options"]) == ("outputs/sweeps/a/1", {"beta": "4"})


@pytest.mark.parametrize("columns", [40, 80, 100, 160, 600])
def test_the_table_fits_a_terminal(monkeypatch, columns):
    make_job(7, "failed", title="a title of a model that is 長い and has \N{COMBINING ACUTE ACCENT} many words " * 3)
    (run,) = selection.read_runs(survey([Path("outputs")]), selection.Condition()).runs
    run.note = "an error " * 20
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    control, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        head, row, *notes = listing.table({"": [run]}, stream).splitlines()
    os.close(control)
    plain = row.replace("\x1b[31m", "").replace("\x1b[0m", "")
    assert plain != row
    assert max(map(listing.width, (head, plain, *notes))) <= columns
    assert "failed" in plain
    assert (run.note.strip() in plain) == (columns == 600)
    assert columns == 600 or " ".join(each.removeprefix("    ") for each in notes) == run.note.strip()
    assert columns == 40 or ("\N{HORIZONTAL ELLIPSIS}" in plain) == (columns < 600)
    with Path(os.devnull).open("w") as redirected:
        assert run.title.strip() in listing.table({"": [run]}, redirected)


def test_some_options_of_a_configuration_are_read_without_the_others(finished):
    path, names = finished / "config.yaml", ["title", "data", "likelihood", "seed", "nothing"]
    expected = read_yaml(path)
    assert summary.read_options(path, names) == {name: expected[name] for name in names if name in expected}
    path = Path("config.yaml")
    path.write_text(yaml.safe_dump({"title": "a: b\nc", "sizes": [1], "data": {"x": None}}))
    assert summary.read_options(path, ["title", "data"]) == {"title": "a: b\nc", "data": {"x": None}}
    path.write_text("lr: &lr 3\ntitle: *lr\n")
    assert summary.read_options(path, ["title"])["title"] == 3


def test_the_last_epoch_is_read_without_the_others(finished, monkeypatch):
    path = finished / "metrics.csv"
    expected = epochs.read_table(path).rows[-1]
    for end in (epochs.END, 700):
        monkeypatch.setattr(epochs, "END", end)
        assert epochs.read_last(path) == expected
    assert path.stat().st_size > 1000
