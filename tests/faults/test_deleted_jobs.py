"""Jobs of sweeps and trials of searches that `python -m src.runs delete` has removed: known, and not trained again."""

import json
import re
from pathlib import Path

import pytest

from src import runs, search
from src.reporting.runs import read
from src.run.jobs_file import Entry, read_jobs, write_jobs
from src.run.status import State
from src.sweeps import jobs, numbering
from tests.helpers.reports import make_report
from tests.helpers.sweeps import modification_times

SWEEP = Path("outputs/sweeps/a")
DELETE = ["delete", "--yes"]


def test_a_sweep_does_not_train_its_deleted_jobs_again(sweep, capfd):
    options = ("beta=1,4", "trainer.max_epochs=1", "sweep_name=a")
    assert sweep(*options) == 0
    assert runs.main([*DELETE, "outputs/sweeps/a/1"]) == 0
    before = modification_times(SWEEP / "0")
    capfd.readouterr()
    assert sweep(*options) == 0  # it is no failure
    said = capfd.readouterr().out
    assert "sweep_name=a: 2 jobs, 1 of them done before, 1 deleted" in said
    assert "job 1 of" not in said
    assert "1 of 2 jobs finished" in said
    assert "   1  beta=4  deleted: python -m src.runs replan outputs/sweeps/a/1 has its sweep train it again" in said
    assert modification_times(SWEEP / "0") == before
    assert not (SWEEP / "1").exists()
    page, table = make_report(SWEEP)
    assert {row["run"]: row["status"] for row in table} == {"0": "finished", "1": "deleted"}
    assert re.search(r'<span class="badge deleted">', page)

    assert runs.main(["replan", "outputs/sweeps/a/1"]) == 0
    assert sweep(*options) == 0
    assert json.loads((SWEEP / "1" / "status.json").read_text())["state"] == "finished"
    assert not any(job.deleted for job in read_jobs(SWEEP).values())


def test_a_deleted_job_that_jobs_json_has_lost_is_known_by_the_configuration_in_its_folder(finished):
    folder = SWEEP / "3"
    folder.mkdir(parents=True)
    for name in ("config.yaml", "status.json"):
        (folder / name).write_text((finished / name).read_text())
    write_jobs(SWEEP, {"another": Entry(0, ["beta=2"], True)})
    fingerprint = numbering.training_of_folder(folder).fingerprint
    assert runs.main([*DELETE, str(folder)]) == 0
    entries = read_jobs(SWEEP)
    assert (entries[fingerprint].number, entries[fingerprint].deleted) == (3, True)
    assert entries["another"] == Entry(0, ["beta=2"], True)


def test_the_number_of_a_deleted_job_is_given_to_no_other(composed):
    """Not even to one that could be the same job as an earlier version has planned it."""
    SWEEP.mkdir(parents=True)
    write_jobs(SWEEP, {"old": Entry(0, ["beta=4"], True, deleted=True)})
    assert numbering.assign_numbers(SWEEP, [["beta=4", "seed=1"]], [composed("beta=4", "seed=1")]) == [1]
    assert read_jobs(SWEEP)["old"] == Entry(0, ["beta=4"], wanted=False, deleted=True)


def test_a_folder_that_is_there_again_is_a_job_again(composed):
    cfg = composed("seed=0")
    name = numbering.fingerprint(cfg)
    SWEEP.mkdir(parents=True)
    write_jobs(SWEEP, {name: Entry(0, [], True, deleted=True)})
    assert [job["state"] for job in jobs.job_states(SWEEP).values()] == [State.DELETED]
    assert jobs.progress(SWEEP) == "0 of 1 done, 1 deleted"
    assert read(SWEEP / "0", "0").status == State.DELETED
    numbering.assign_numbers(SWEEP, [["seed=0"]], [cfg])
    assert read_jobs(SWEEP)[name].deleted
    (SWEEP / "0").mkdir()
    (SWEEP / "0" / "config.yaml").write_text("not read")
    assert not numbering.is_deleted(SWEEP, read_jobs(SWEEP)[name])


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("outputs/sweeps/a/1", "is no deleted job"),
        ("outputs/runs/1", "is no sweep"),
        ("outputs/sweeps/b/1", "a search"),
    ],
)
def test_only_a_deleted_job_is_planned_again(capsys, folder, message):
    for name in ("sweeps/a", "sweeps/b", "runs"):
        Path("outputs", name).mkdir(parents=True)
    write_jobs(SWEEP, {"x": Entry(0, [], True, deleted=True), "y": Entry(1, [], True)})
    Path("outputs/sweeps/b/search.yaml").touch()
    before = (SWEEP / "jobs.json").read_bytes()
    assert runs.main(["replan", folder]) == 1
    assert message in capsys.readouterr().err
    assert (SWEEP / "jobs.json").read_bytes() == before


def test_an_old_file_of_jobs_is_read():
    SWEEP.mkdir(parents=True)
    (SWEEP / "jobs.json").write_text('{"x": {"number": 0, "options": [], "wanted": true}}')
    assert read_jobs(SWEEP) == {"x": Entry(0, [], True, deleted=False)}


def test_a_deleted_trial_is_not_trained_again(small, capfd, monkeypatch):
    """Trial 0 was finished, trial 1 was stopped: the study would go on with it."""
    words = [word for word in small if not word.startswith(("latent_dim", "trainer.max_epochs"))]
    options = ["name=a", "trials=2", "beta=interval(0.5,8)", *words, "trainer.max_epochs=1"]
    trained = []

    def train(cfg: object, folder: Path, *others: object) -> dict:
        trained.append(folder.name)
        if folder.name == "1":
            raise SystemExit(130)
        return original(cfg, folder, *others)

    original = search.train
    monkeypatch.setattr(search, "train", train)
    with pytest.raises(SystemExit):
        search.search(options)
    (SWEEP / "1" / "status.json").write_text(
        (SWEEP / "0" / "status.json").read_text().replace("finished", "interrupted")
    )
    assert runs.main([*DELETE, "--where", "sweep=a"]) == 0
    assert sorted(path.name for path in SWEEP.iterdir() if path.is_dir()) == []
    capfd.readouterr()
    search.search(options[:2])
    said = capfd.readouterr().out
    assert trained == ["0", "1"]
    assert re.search(r"^0 +-[\d.]+ .*best, deleted$", said, flags=re.MULTILINE)
    assert re.search(r"^1 +[\d.]+ +deleted$", said, flags=re.MULTILINE)
    _, table = make_report(SWEEP)
    assert [row["status"] for row in table] == ["deleted", "deleted"]
