"""The list of runs shows folders that are damaged, or that a stranger prepared, as a marked row, and goes on."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.helpers.hostile import CANARY
from tests.helpers.listed import command, make_job, make_run


def pipe(path: Path) -> None:
    os.mkfifo(path)


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 10_000_000_000)  # takes no space on the disk


def text(content: str):
    return lambda path: path.write_text(content)


def link(target: str):
    return lambda path: path.symlink_to(target)


CONTENTS = {
    "empty": text(""),
    "null": text("null"),
    "a list": text('["finished"]'),
    "no JSON": text("{"),
    "deep": text("[" * 100_000),
    "many": text("[" + "0," * 200_000 + "0]"),
    "no UTF-8": lambda path: path.write_bytes(b"\xff\xfe"),
    "a number of many digits": text('{"state": ' + "9" * 10_000 + "}"),
    "a huge file": huge,
    "a pipe": pipe,
    "a folder": Path.mkdir,
    "a link to nothing": link("nothing"),
    "a link to itself": link("status.json"),
    "a link to a device": link("/dev/zero"),
}
STATUSES = {
    "a state of another type": {"state": ["finished"]},
    "no such state": {"state": "splendid"},
    "a state that is never recorded": {"state": "deleted"},
    "a PID that is none": {"state": "running", "pid": -1},
    "a time that is none": {"state": "finished", "started": "now"},
    "a time before all times": {"state": "failed", "started": "0001-01-01T00:00:00+14:00"},
    "options that are none": {"state": "failed", "overrides": {"a": 1}},
}


@pytest.mark.parametrize("file", ["status.json", "metrics.json", "data.json", "config.yaml", "metrics.csv"])
@pytest.mark.parametrize("content", CONTENTS)
def test_a_damaged_file_is_a_note_in_its_row(capsys, file, content):
    folder = make_run("runs/damaged")
    make_run("runs/whole")
    (folder / file).unlink()
    CONTENTS[content](folder / file)
    if file == "metrics.csv":
        (folder / "metrics.json").unlink()
    for words in ([], ["--sort", "elbo"]):
        code, out, _ = command(capsys, *words)
        assert code == 0
        assert "Traceback" not in out
    rows = {each["run"]: each for each in json.loads(command(capsys, "--json")[1])}
    assert rows["outputs/runs/whole"]["note"] == ""
    damaged = rows["outputs/runs/damaged"]
    is_state = file == "status.json"
    assert damaged["state"] == ("unknown" if is_state else "finished")
    if is_state:
        assert damaged["note"].startswith("status.json can't be read: ")
    code, out, _ = command(capsys, "best")
    assert (code, out in ("outputs/runs/whole\n", "outputs/runs/damaged\n")) == (0, True)


@pytest.mark.parametrize("content", CONTENTS)
def test_a_damaged_plan_of_a_sweep_is_a_line(capsys, caplog, content):
    """Its jobs are listed; one is deleted only if the sweep can know of it ever after."""
    plan = make_job(0).parent / "jobs.json"
    plan.unlink()
    CONTENTS[content](plan)
    code, out, _ = command(capsys)
    assert (code, "outputs/sweeps/a/0" in out) == (0, True)
    said = [record.message for record in caplog.records]
    is_file = plan.is_file()
    assert len(said) == is_file
    assert not is_file or "jobs.json is damaged (" in said[0]
    assert command(capsys, "delete", "outputs/sweeps/a/0", "--yes")[0] == is_file
    assert (plan.parent / "0").exists() == is_file


@pytest.mark.parametrize("content", STATUSES)
def test_a_status_with_strange_entries_is_listed(capsys, content):
    folder = make_run("runs/damaged")
    (folder / "status.json").write_text(json.dumps(STATUSES[content]))
    for words in ([], ["--since", "1d"], ["--older-than", "1d"], ["--sort", "time"]):
        assert command(capsys, *words)[0] == 0
    (row,) = json.loads(command(capsys, "--json")[1])
    assert row["state"] in ("unknown", "failed")


@pytest.mark.parametrize("when", [0, 2**33, 2**40, -(2**33)])
def test_files_of_any_time_are_listed(capsys, when):
    folder = make_run("runs/killed", "running", pid=2**22 + 1)
    for path in folder.iterdir():
        os.utime(path, (when, when))
    (row,) = json.loads(command(capsys, "--json")[1])
    assert row["state"] == "killed"
    assert command(capsys, "--older-than", "1d")[0] == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "-1", [1], {"a": 1}, True, 10**400])
def test_an_elbo_that_is_no_number_is_none(capsys, value):
    folder = make_run("runs/damaged")
    content = {"val/elbo": value, "training_seconds": value, "pixels": value}
    (folder / "metrics.json").write_text(json.dumps(content))
    (row,) = json.loads(command(capsys, "--json")[1])
    assert row["val/elbo"] is None
    assert command(capsys, "--sort", "elbo")[0] == 0
    assert command(capsys, "best")[:2] == (1, "")


@pytest.mark.parametrize(
    "config",
    [
        "title: [1, 2]\ndata: 3\nlikelihood: null",
        "title: !!python/object/apply:os.system ['touch canary']",
        "data: {source: {_target_: [1]}}\nlikelihood: {_target_: 5}",
        "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\ntitle: [*b, *b, *b, *b, *b, *b]",
        "title: &t {t: *t}",
        "title: 'unfinished",
        "title: " + "{a: " * 100,
        "? [1]\n: 2\ntitle: x",
        yaml.safe_dump({"title": {"_target_": "os.system", "command": f"touch {CANARY}"}}),
        "data: {exclude_labels: 5, shape: x, source: {_target_: src.data.sources.mnist}}\nlikelihood: {_target_: A}",
    ],
)
def test_a_strange_configuration_is_listed_and_executes_nothing(capsys, config):
    folder = make_run("runs/damaged")
    (folder / "config.yaml").write_text(config)
    for words in ([], ["--sort", "elbo"], ["--where", "data=mnist"], ["--where", "title=x"], ["best"]):
        code, out, err = command(capsys, *words)
        assert code in (0, 1)
        assert "Traceback" not in out + err
    assert not Path(CANARY).exists()


def test_no_text_of_a_folder_controls_the_terminal(capsys):
    evil = "\x1b[2J\x1b]0;title\x07\r\u202egnp.\u2028\x9b31m"
    make_run("runs/a", title=evil)
    folder = make_run(f"runs/{evil}", "failed")
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | {"reason": evil, "host": evil}))
    for words in ([], ["--json"], ["best"], ["delete", "--state", "failed"], [f"outputs/{evil}"], ["--where", evil]):
        _, out, err = command(capsys, *words)
        assert not set(evil) - set(evil.encode("ascii", "ignore").decode()) & set(out + err)
        assert "\x1b" not in out + err
        assert "\x07" not in out + err
        assert "\r" not in out + err


def test_a_path_that_no_terminal_shows_is_no_result_for_the_shell(capsys):
    make_run("runs/a\nb")
    code, out, err = command(capsys, "best")
    assert (code, out) == (1, "")
    assert "rename it" in err


def test_a_run_within_a_run_is_said(capsys):
    make_run("runs/outer")
    make_run("runs/outer/inner")
    (row,) = json.loads(command(capsys, "--json")[1])
    assert row["note"] == "holds the run outputs/runs/outer/inner"


def test_links_to_folders_are_not_followed(capsys, tmp_path):
    run = make_run("runs/a").rename(tmp_path / "elsewhere")
    Path("outputs/runs/link").symlink_to(run)
    Path("outputs/loop").symlink_to("..")
    assert json.loads(command(capsys, "--json")[1]) == []


def test_a_deep_folder_is_listed_and_its_deletion_says_what_is_left(capsys):
    folder = make_run("runs/deep", "failed")
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(1050):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    try:
        (row,) = json.loads(command(capsys, "--json")[1])
        assert row["size"] > 0
        code, _, err = command(capsys, "delete", "--state", "failed", "--yes")
        assert "Traceback" not in err
        assert (code == 0) == ("deleted: outputs/runs/deep\n" in err)
        assert (code == 1) == ("holds too many folders in one another: rm -r removes it" in err)
    finally:
        subprocess.run(["rm", "-rf", "outputs"], check=True)  # pytest, like shutil, can't


def test_values_that_json_can_not_hold_are_texts(capsys):
    make_run("runs/a")
    with Path("outputs/runs/a/config.yaml").open("a") as file:
        file.write("day: 2026-11-26\nmost: .inf\n3: [.nan, 2026-11-26, {a: 1}]\ntext: !!binary aGVsbG8=\n")
    (row,) = json.loads(command(capsys, "--json")[1], parse_constant=pytest.fail)
    options = {name: row["options"][name] for name in ("day", "most", "3", "text")}
    assert options == {"day": "2026-11-26", "most": "inf", "3": ["nan", "2026-11-26", "{'a': 1}"], "text": "b'hello'"}
