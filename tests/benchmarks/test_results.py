"""The rows of docs/results.md and the ablation: what they train, that it is done once, and the tables they print."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import ablation, results
from src.config.options import CONF
from src.support.errors import UserError
from tests.helpers.project import PAGES

TRAINED = {"parameters": 1200, "training_seconds": 90.0, "val/elbo": -95.0}
EVALUATED = {"elbo": -94.0, "elbo_se": 0.2, "nll_1000_all": 90.5, "nll_1000_all_se": 0.3}
EVALUATED |= {"nll_tight_all": 90.0, "nll_tight_all_se": 0.3}


def write(path: Path, numbers: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(numbers))


def write_run(run: Path, state: str = "finished") -> None:
    write(run / "metrics.json", TRAINED)
    write(run / "status.json", {"state": state})
    (run / "config.yaml").write_text("trainer: {max_epochs: 4}\n")


def write_jobs(sweep: Path, **wanted: bool) -> None:
    """jobs.json with a job for each fingerprint of `wanted`, numbered from 0."""
    entries = {
        name: {"number": i, "options": [], "wanted": is_wanted} for i, (name, is_wanted) in enumerate(wanted.items())
    }
    write(sweep / "jobs.json", entries)


@pytest.fixture
def calls(monkeypatch, tmp_path) -> list[tuple[str, ...]]:
    """What the commands were called with, which write what the true ones would."""
    monkeypatch.chdir(tmp_path)
    calls = []

    def do(module: str, *options: str) -> None:
        calls.append((module, *options))
        given = dict(option.split("=", 1) for option in options if "=" in option)
        if module == "src.apply":
            write(Path(given["run"], "tasks", "evaluate", given["name"], "metrics.json"), EVALUATED)
            return
        seeds, sweep = given["seed"].split(","), Path("outputs/sweeps", given["sweep_name"])
        for seed in seeds:
            write_run(sweep / seed)
        write_jobs(sweep, **{f"job{seed}": True for seed in seeds})

    monkeypatch.setattr(results, "do", do)
    return calls


def test_a_row_is_trained_evaluated_once_and_printed(calls, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["results", "minutes_3"])
    results.main()
    (train, *apply) = calls
    assert train == ("src.train", "-m", "experiment=minutes_3", "seed=0,1,2", "sweep_name=minutes_3", "logger=csv")
    assert [options[1] for options in apply] == [f"run=outputs/sweeps/minutes_3/{seed}" for seed in range(3)]
    assert all("task.tight_images=1000" in options for options in apply)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "minutes_3" in line]
    assert row.startswith("| `minutes_3` | 1,200 | 4 | 1.5 | -94.00 ± 0.00 | 90.50 ± 0.00 | 90.00 ± 0.00 | 3 |")
    calls.clear()
    results.main()
    assert [module for module, *_ in calls] == ["src.train"]  # which goes on with the sweep, and finds it finished
    assert row in capsys.readouterr().out.splitlines()


def test_runs_at_a_time_are_the_launchers(calls):
    results.train("burda", 2)
    assert calls[0][-2:] == ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def test_without_a_row_those_that_are_complete_are_printed(calls, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["results"])
    results.main()
    assert capsys.readouterr().out.startswith("no row is complete in outputs/sweeps: python -m benchmarks.results ROW")
    results.train("burda", 1)
    results.main()
    assert capsys.readouterr().out.startswith("no row is complete")
    results.evaluate(Path("outputs/sweeps/burda/0"), 1000)
    results.main()
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "`burda`" in line]
    assert "86.76, 3,280 epochs (Burda et al., 2016)" in row
    assert "-94.00 ± 0.20" in row  # of one run, the error over images


def test_an_unknown_row_is_refused(calls, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["results", "burda2"])
    with pytest.raises(SystemExit):
        results.main()
    assert "there is no row burda2: choose from minutes_1" in capsys.readouterr().err
    assert not calls


def test_a_number_that_runs_of_a_kind_do_not_have_is_a_dash():
    assert results.mean([{"nll_tight_all": 90.0, "nll_tight_all_se": 0.3}], "nll_tight_all") == "90.00 ± 0.30"
    assert results.mean([{}], "nll_tight_all") == "–"


def test_a_command_that_fails_ends_the_row():
    with pytest.raises(UserError, match=r"python -m src.nothing ended with exit code 1"):
        results.do("src.nothing")


def test_jobs_of_other_options_and_unfinished_ones_are_not_of_the_row(calls):
    """Such as those of an earlier version, whose defaults were others."""
    sweep = Path("outputs/sweeps/minutes_3")
    for number, state in enumerate(("finished", "finished", "diverged", "finished", "finished")):
        write_run(sweep / str(number), state)
    write_jobs(sweep, before=False, first=True, second=True, third=True, fourth=True)
    assert results.runs_of("minutes_3") == [sweep / number for number in ("1", "3", "4")]


def test_a_deleted_job_is_told(calls, monkeypatch):
    monkeypatch.setattr(results, "runs_of", lambda name: [])
    with pytest.raises(UserError, match=r"minutes_3 lacks jobs that were deleted: python -m src.runs replan"):
        results.train("minutes_3", 1)


def test_rows_are_experiments_and_documented():
    for name, row in results.ROWS.items():
        assert Path(CONF, "experiment", f"{name}.yaml").is_file()
        assert f"| `{name}` |" in PAGES["results.md"]
        assert row.published.partition(",")[0] in PAGES["results.md"]


@pytest.mark.parametrize("variant", ablation.VARIANTS)
def test_variants_compose(composed, variant):
    composed("data=mnist", "model=conv", *ablation.VARIANTS[variant].split())


def test_seeds_follow_where_the_first_is_near_the_base(monkeypatch, tmp_path, capsys):
    """ELBOs of -95 for the base and its seeds, -94.8 and -99 for others; an epoch of the second takes twice as long."""
    elbo = {"base": -95.0, "SiLU": -94.8, "8 latents": -99.0}
    trained = []

    def train(variant: str, epochs: int, seed: int, out: Path) -> ablation.Result:
        trained.append((variant, epochs, seed))
        return ablation.Result(epochs, epochs * (20.0 if variant == "SiLU" else 10.0), elbo[variant] + 0.1 * seed, 90)

    monkeypatch.setattr(ablation, "train", train)
    command = ["ablation", "--seconds", "60", "--jobs", "1", "--out", str(tmp_path), "--variants", "SiLU", "8 latents"]
    monkeypatch.setattr("sys.argv", command)
    ablation.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| base | 6 | 60 | -94.90 ± 0.10 | 90.00 ± 0.00 |  |  | 3 |")
    assert lines[3].startswith("| SiLU | 3 | 60 | -94.70 ± 0.10 | 90.00 ± 0.00 | +0.20 ± 0.00 | +0.00 ± 0.00 | 3 |")
    assert lines[4].startswith("| 8 latents | 6 | 60 | -99.00 | 90.00 | -4.00 | +0.00 | 1 |")
    assert ("SiLU", 3, 2) in trained and ("8 latents", 6, 1) not in trained


def test_what_was_trained_is_not_trained_again(monkeypatch, tmp_path):
    calls = []

    def do(module: str, *options: str) -> None:
        calls.append(module)
        if module == "src.train":
            (folder,) = (
                option.partition("=")[2].strip("'") for option in options if option.startswith("hydra.run.dir=")
            )
            write_run(Path(folder))
        else:
            (folder,) = (option.partition("=")[2].strip("'") for option in options if option.startswith("run="))
            write(Path(folder, "tasks/evaluate/nll/metrics.json"), {"nll_100_all": 91.0})

    monkeypatch.setattr(ablation, "do", do)
    for _ in range(2):
        assert ablation.train("IWAE, K = 5", 2, 0, tmp_path) == (2, 90.0, -95.0, 91.0)
    assert calls == ["src.train", "src.apply"]
    write(tmp_path / "IWAE_K_5_2_0" / "status.json", {"state": "diverged"})
    ablation.train("IWAE, K = 5", 2, 0, tmp_path)
    assert calls == ["src.train", "src.apply", "src.train", "src.apply"]
    monkeypatch.setitem(ablation.VARIANTS, "IWAE, K = 5", "objective=iwae objective.samples=50")
    with pytest.raises(UserError, match="has other options than 'IWAE, K = 5' has now: give another --out"):
        ablation.train("IWAE, K = 5", 2, 0, tmp_path)


def test_a_command_that_is_killed_is_told(monkeypatch):
    monkeypatch.setattr(ablation.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], -9, "", ""))
    with pytest.raises(UserError, match="seed=1 ended with exit code -9: no word"):
        ablation.do("src.train", "seed=1")


def test_every_variant_has_a_folder_of_its_own_that_train_accepts(composed):
    names = ["_".join(re.findall(r"\w+", variant)) for variant in ablation.VARIANTS]
    assert len(set(names)) == len(names)
    composed("hydra.run.dir='a folder/IWAE_K_5'")
