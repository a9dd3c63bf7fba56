"""SWEEP/jobs.json lost, damaged or another sweep's: what was trained in a folder is decided by its configuration."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from src import report
from src.run import status
from src.run.jobs_file import read_jobs
from src.support.errors import UserError
from src.sweeps import jobs, numbering
from tests.helpers.sweeps import modification_times

SWEEP = Path("outputs/sweeps/a")
NUMBERS = ["../../../victim", "3", 1.5, True, -1, 10**30, None, [0], float("nan")]
CONTENTS = ["", "[]", "null", "{}x", '"text"', "7", '{"a": 7}', '{"a": []}', '{"a": {"number": 0}}', "[" * 10_000]
ENTRY = {"number": 0, "options": ["seed=0"], "wanted": True}


def begin(folder: Path, cfg, number: int, state: str = "finished") -> Path:
    """Make the folder of a job that was trained with a configuration."""
    run = folder / str(number)
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.yaml").write_text(yaml.safe_dump(OmegaConf.to_container(cfg, resolve=True)))
    (run / "metrics.json").write_text('{"val/elbo": -100.0}')
    status.write(run, {"state": state, "started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:01:00+00:00"})
    return run


@pytest.fixture
def grid(composed):
    """grid(0, 1): the overrides and the configurations of jobs with these seeds."""

    def make(*seeds: int) -> tuple[list[list[str]], list]:
        overrides = [[f"seed={seed}"] for seed in seeds]
        return overrides, [composed(*each) for each in overrides]

    return make


def test_a_sweep_without_its_jobs_file_trains_nothing_again(sweep):
    words = ["seed=0,1", "trainer.max_epochs=1", "sweep_name=a"]
    assert sweep(*words) == 0
    before = [modification_times(SWEEP / number) for number in "01"]
    jobs_file = SWEEP / "jobs.json"
    plan = json.loads(jobs_file.read_text())
    jobs_file.unlink()
    assert sweep(*words) == 0
    assert [modification_times(SWEEP / number) for number in "01"] == before
    assert json.loads(jobs_file.read_text()) == plan


def test_the_jobs_file_of_another_grid_moves_no_job(grid, tmp_path):
    """Its numbers are those of other jobs, or of the same jobs in another order."""
    for number, cfg in enumerate(grid(2, 3, 4, 5)[1]):
        begin(tmp_path, cfg, number)
    before = [modification_times(tmp_path / number) for number in "0123"]
    (tmp_path / "other").mkdir()
    numbering.assign_numbers(tmp_path / "other", *grid(0, 1, 2, 3, 9, 4, 5))
    other = json.loads((tmp_path / "other" / "jobs.json").read_text())
    for entries in (other, dict(zip(other, reversed(other.values()), strict=True))):
        content = json.dumps(entries)
        (tmp_path / "jobs.json").write_text(content)
        assert numbering.assign_numbers(tmp_path, *grid(2, 3, 4, 5)) == [0, 1, 2, 3]
        assert {job["state"] for job in jobs.job_states(tmp_path).values()} == {"finished"}
        (tmp_path / "jobs.json").write_text(content)
        new = numbering.assign_numbers(tmp_path, *grid(0, 5, 7))
        assert new[1] == 3
        assert not {new[0], new[2]} & {0, 1, 2, 3}
    assert [modification_times(tmp_path / number) for number in "0123"] == before


def test_a_folder_with_another_configuration_is_no_job_of_this_sweep(sweep, small, composed):
    """It is neither counted as finished nor emptied, and the job is trained under another number."""
    words = ["seed=0,1", "trainer.max_epochs=1", "sweep_name=a"]
    for state in ("failed", "finished"):
        run = begin(SWEEP, composed(*small, "seed=0", "latent_dim=5"), 0, state)
        before = modification_times(run)
        assert sweep(*words) == 0
        assert modification_times(run) == before
    assert sorted(entry.number for entry in read_jobs(SWEEP).values() if entry.wanted) == [1, 2]
    assert (SWEEP / "2" / "checkpoints" / "last.ckpt").is_file()


def test_results_without_a_configuration_belong_to_no_job(grid, tmp_path):
    overrides, configs = grid(0, 1)
    assert numbering.assign_numbers(tmp_path, overrides, configs) == [0, 1]
    run = begin(tmp_path, configs[0], 0)
    for content in (b"", b"\0\0", b"seed: [", b"- 1\n", b"data: {source: 3}", b"a: 2020-01-01"):
        (run / "config.yaml").write_bytes(content)
        assert numbering.assign_numbers(tmp_path, overrides, configs) == [2, 1]
    assert (run / "metrics.json").is_file()


def test_the_configuration_in_a_folder_is_not_resolved(grid, tmp_path, monkeypatch):
    monkeypatch.setenv("SEED", "0")
    overrides, configs = grid(0)
    config = OmegaConf.to_container(configs[0], resolve=True) | {"seed": "${oc.decode:${oc.env:SEED}}"}
    (begin(tmp_path, configs[0], 0) / "config.yaml").write_text(yaml.safe_dump(config))
    assert numbering.assign_numbers(tmp_path, overrides, configs) == [1]


@pytest.mark.parametrize("number", NUMBERS, ids=str)
def test_a_number_is_whole_and_leads_nowhere_else(number, sweep, tmp_path, capfd):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("keep me")
    SWEEP.mkdir(parents=True)
    (SWEEP / "jobs.json").write_text(json.dumps({"a": ENTRY | {"number": number}}))
    said = sweep("seed=0,1", "sweep_name=a")
    assert "jobs.json is damaged (number: " in said
    assert "\n" not in said
    assert "delete it and start the sweep again" in said
    assert [path.name for path in victim.iterdir()] == ["precious"]
    assert report.main([str(SWEEP)]) == 2
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("content", CONTENTS, ids=lambda text: text[:20])
def test_a_damaged_jobs_file_is_one_line_with_the_remedy(content, sweep, grid, capfd):
    SWEEP.mkdir(parents=True)
    (SWEEP / "jobs.json").write_text(content)
    said = sweep("seed=0,1", "sweep_name=a")
    assert said.startswith("outputs/sweeps/a/jobs.json is damaged (")
    assert "\n" not in said
    for read in (read_jobs, jobs.job_states, jobs.progress):
        with pytest.raises(UserError, match="delete it and start the sweep again"):
            read(SWEEP)
    begin(SWEEP, grid(0)[1][0], 0)
    capfd.readouterr()
    assert report.main([str(SWEEP)]) == 0  # the runs that are there are reported
    printed = "".join(capfd.readouterr())
    assert printed.count(said) == printed.count("jobs.json") == 1


def test_two_jobs_with_one_number_are_refused(tmp_path):
    (tmp_path / "jobs.json").write_text(json.dumps({"a": ENTRY, "b": ENTRY}))
    with pytest.raises(UserError, match="several jobs have the number 0"):
        read_jobs(tmp_path)


def test_a_link_in_place_of_a_job_is_left_alone(grid, tmp_path):
    overrides, configs = grid(0, 1)
    victim = begin(tmp_path / "elsewhere", configs[0], 0, "failed")
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / "0").symlink_to(victim, target_is_directory=True)
    (sweep / "1").symlink_to(tmp_path / "nowhere")
    assert numbering.assign_numbers(sweep, overrides, configs) == [2, 3]
    plan = json.loads((sweep / "jobs.json").read_text())
    moved = {name: job | {"number": job["number"] - 2} for name, job in plan.items()}
    (sweep / "jobs.json").write_text(json.dumps(moved))
    with pytest.raises(UserError, match="0 is a link"):
        numbering.assign_numbers(sweep, overrides, configs)


def test_emptying_a_folder_removes_links_and_not_what_they_lead_to(tmp_path):
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "precious").write_text("keep me")
    run = tmp_path / "0"
    run.mkdir()
    (run / "checkpoints").symlink_to(tmp_path / "victim", target_is_directory=True)
    (run / "metrics.json").symlink_to(tmp_path / "victim" / "precious")
    jobs.remove_results(run)
    assert not list(run.iterdir())
    assert (tmp_path / "victim" / "precious").read_text() == "keep me"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "number": st.integers(-2, 3) | ANYTHING,
        "options": st.lists(st.text(max_size=5)) | ANYTHING,
        "wanted": st.booleans() | ANYTHING,
    },
)
FILES = st.one_of(
    st.binary(max_size=50),
    ANYTHING.map(lambda content: json.dumps(content).encode()),
    st.dictionaries(st.text(max_size=5), ENTRIES, max_size=3).map(lambda content: json.dumps(content).encode()),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=FILES)
def test_any_jobs_file_is_read_or_refused_in_one_line(content, tmp_path):
    (tmp_path / "jobs.json").write_bytes(content)
    try:
        entries = read_jobs(tmp_path)
    except UserError as error:
        assert str(error).isprintable()
        return
    numbers = [entry.number for entry in entries.values()]
    assert len(set(numbers)) == len(numbers)
    for entry in entries.values():
        assert type(entry.number) is int
        assert (tmp_path / str(entry.number)).parent == tmp_path
        assert all(isinstance(option, str) for option in entry.options)
        assert isinstance(entry.wanted, bool)
