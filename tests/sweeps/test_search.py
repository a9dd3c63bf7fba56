"""python -m src.search: what may vary, what is kept, what is stopped and goes on."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from filelock import FileLock
from PIL import Image

from src import search
from src.run import epochs, status
from src.support.errors import UserError
from src.sweeps import pictures, study
from src.training.module import VAEModule
from tests.helpers.project import ROOT

SWEEPS = Path("outputs/sweeps")
SHORT = ["trainer.max_epochs=1"]
SPACE = ["beta=tag(log,interval(0.5,8))", "latent_dim=int(interval(2,6))"]


@pytest.fixture
def words(small):
    """Options of a search of small runs."""
    own = [word for word in small if not word.startswith(("latent_dim", "trainer.max_epochs", "data.batch_size"))]
    return [*own, "model.encoder.hidden=[16]"]


def told(name: str) -> list[optuna.trial.FrozenTrial]:
    """The trials that a search's study knows of."""
    storage = study.storage(SWEEPS / name)
    return optuna.load_study(study_name=name, storage=storage).get_trials()


def results(name: str) -> list[tuple]:
    return [(each.number, each.state.name, each.params, each.values, each.intermediate_values) for each in told(name)]


def test_the_search_finds_what_is_best_and_prunes(words, capsys, caplog):
    caplog.set_level("INFO")
    search.search(["name=first", "trials=5", *SPACE, *words, "startup=2", "warmup=0", "trainer.max_epochs=3"])
    trials = told("first")
    states = [each.state.name for each in trials]
    assert len(states) == 5
    assert states[:2] == ["COMPLETE"] * 2
    assert "PRUNED" in states
    for each in trials:
        folder = SWEEPS / "first" / str(each.number)
        ending = status.read(folder)
        if each.state.name == "COMPLETE":
            assert each.value == json.loads((folder / "metrics.json").read_text())["val/elbo"]
            assert ending["state"] == "finished"
            assert sorted(each.intermediate_values) == [1, 2, 3]
        else:
            assert ending["state"] == "pruned"
            assert ending["reason"] == each.user_attrs["reason"]
            last = max(each.intermediate_values)
            others = [t.intermediate_values[last] for t in trials[: each.number] if last in t.intermediate_values]
            assert max(each.intermediate_values.values()) < np.median(others)
            assert f"pruned after epoch {last}: val/elbo {each.intermediate_values[last]:.2f}" == ending["reason"]
            assert not (folder / "metrics.json").exists()
    best = max((each for each in trials if each.state.name == "COMPLETE"), key=lambda each: each.value)
    progress = [line for line in caplog.messages if re.match(r"  \d of 5 done", line)]
    assert [line.split(", ")[0] for line in progress] == [f"  {n} of 5 done" for n in range(1, 6)]
    assert all(", about " in line and line.endswith(" left") for line in progress[:-1])
    assert f"  val/elbo {best.value:.2f}" in caplog.messages
    said = capsys.readouterr().out
    assert said.count("  best\n") == 1
    assert f"trial {best.number}: python -m src.train " in said
    for each in trials:  # of a hidden layer of 16 units, some are no better than the mean image
        warning = status.read(SWEEPS / "first" / str(each.number)).get("warning")
        assert (f"trial {each.number} finished, but " in said) == bool(warning)
    config = (SWEEPS / "first" / str(best.number) / "config.yaml").read_text()
    assert f"\nbeta: {best.params['beta']:.4g}" in config
    assert Image.open(SWEEPS / "first" / "search.png").size[0] == 1920


def killed(words: list[str], when: Path) -> None:
    """A search in a process of its own, killed as soon as there is such a file."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (
        Path("log").open("w") as file,
        subprocess.Popen([sys.executable, "-m", "src.search", *words], env=env, stdout=file, stderr=file) as process,
    ):
        deadline = time.monotonic() + 120
        while not when.is_file():
            assert process.poll() is None and time.monotonic() < deadline, Path("log").read_text()
            time.sleep(0.01)
        process.kill()


def powerless(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that ends in its second trial's fourth epoch, with no time to say so."""

    class PowerCutError(BaseException):
        """Nobody catches it."""

    def cut(self):
        if self.current_epoch == 3 and study.current.get().number == 1:
            raise PowerCutError
        begin(self)

    begin = VAEModule.on_train_epoch_start
    with monkeypatch.context() as patched:
        patched.setattr(VAEModule, "on_train_epoch_start", cut)
        with pytest.raises(PowerCutError):
            search.search(words)


@pytest.mark.parametrize("how", ["a power cut", pytest.param("SIGKILL", marks=pytest.mark.slow)])
def test_a_killed_search_goes_on_as_if_nothing_had_been(words, monkeypatch, how, caplog):
    words, last = [*SPACE, *words, "startup=2", "trainer.max_epochs=6"], SWEEPS / "killed/1/checkpoints/last.ckpt"
    if how == "SIGKILL":
        killed(["name=killed", "trials=3", *words], last)
    else:
        powerless(["name=killed", "trials=3", *words], monkeypatch)
    assert [each.state.name for each in told("killed")] == ["COMPLETE", "RUNNING"]
    kept = {path: path.stat().st_mtime_ns for path in SWEEPS.glob("killed/0/**/*")}
    done = torch.load(last, weights_only=True)["epoch"] + 1
    assert done < 6
    with caplog.at_level("INFO", "src.sweeps.trials"):
        search.search(["name=killed", "trials=3"])
    assert [each for each in caplog.messages if "goes on" in each] == [f"  goes on after epoch {done}"]
    assert {path: path.stat().st_mtime_ns for path in SWEEPS.glob("killed/0/**/*")} == kept
    assert [row["epoch"] for row in epochs.read(SWEEPS / "killed/1").rows] == [0, 1, 2, 3, 4, 5, 6]
    search.search(["name=straight", "trials=3", *words])
    assert results("killed") == results("straight")


def test_what_was_finished_before_a_crash_is_not_trained_again(words, monkeypatch):
    search.search(["name=one", "trials=1", *SPACE, *words, *SHORT])
    value = told("one")[0].value
    lines = (SWEEPS / "one/study.journal").read_text().splitlines(keepends=True)
    (SWEEPS / "one/study.journal").write_text("".join(lines[:-1]) + lines[-1][:9])  # the last line says that it ended
    Path("outputs/sweeps/one/study.journal.lock").symlink_to("nobody")
    assert told("one")[0].state.name == "RUNNING"
    monkeypatch.setattr(search, "train", lambda *_: pytest.fail("trained again"))
    search.search(["name=one", "trials=1"])
    assert told("one")[0].value == value


def test_a_trial_that_diverges_or_raises_is_not_the_end(words, capsys):
    space = ["optimizer.lr=choice(1e9,0.001,0.002)", "data.white=choice(1,255,auto)"]
    search.search(["name=bad", "trials=8", *space, *words, *SHORT])
    said, seen = capsys.readouterr().out, set()
    for each in told("bad"):
        dark, fast = each.params["data.white"] == "1", float(each.params["optimizer.lr"]) > 1
        expected = ("FAIL", "failed") if dark else ("FAIL", "diverged") if fast else ("COMPLETE", "finished")
        ending = status.read(SWEEPS / "bad" / str(each.number))
        assert (each.state.name, ending["state"]) == expected
        assert (ending["reason"] or "") in said
        seen.add(expected)
    assert len(seen) == 3


def test_nothing_but_failures_ends_a_search(words):
    reason = "the last: data.exclude_labels: blobs has no label 7"
    with pytest.raises(UserError, match=f"5 trials failed and none succeeded; {reason}"):
        search.search(["name=none", "trials=9", *SPACE, *words, *SHORT, "data.exclude_labels=[7]"])
    assert len(told("none")) == 5


def test_rate_and_distortion_together(words, capsys):
    search.search(
        ["name=two", "trials=4", "metric=[val/recon,val/kl]", "beta=tag(log,interval(0.1,100))", *words, *SHORT]
    )
    trials = told("two")
    assert all(not each.intermediate_values for each in trials)
    for each in trials:
        metrics = json.loads((SWEEPS / "two" / str(each.number) / "metrics.json").read_text())
        assert each.values == [metrics["val/recon"], metrics["val/kl"]]
    beaten = [any(all(np.less(other.values, each.values)) for other in trials) for each in trials]
    said = capsys.readouterr().out
    assert said.count("on the front") == beaten.count(False)
    assert (SWEEPS / "two/search.png").is_file()


def test_a_search_keeps_its_plan(words, monkeypatch):
    search.search(["name=one", "trials=1", *SPACE, *words, *SHORT])
    with pytest.raises(UserError, match=r"is another search .its words in search.yaml.: .* name and trials alone"):
        search.search(["name=one", "trials=2", SPACE[0], *words, *SHORT])
    with pytest.raises(UserError, match="its metric, words in"):
        search.search(["name=one", "trials=2", "metric=val/kl"])
    with pytest.raises(UserError, match="its words in"):
        search.search(["name=one", "trials=2", "metric=val/elbo"])
    (SWEEPS / "other").mkdir()
    (SWEEPS / "other/jobs.json").touch()
    with pytest.raises(UserError, match="holds no search: give another name"):
        search.search(["name=other", *SPACE])
    assert len(told("one")) == 1


def test_a_trial_that_ends_worse_than_it_began_has_failed(words):
    diverging = ["+optimizer.maximize=true", "optimizer.lr=1e-4", "trainer.max_epochs=2"]
    for _ in range(2):
        search.search(["name=2024", "trials=1", *SPACE, *words, *diverging])
        (trial,) = told("2024")
        assert trial.state.name == "FAIL"
        assert "is above the untrained model's" in trial.user_attrs["reason"]
    assert status.read(SWEEPS / "2024" / "0")["state"] == "diverged"


def test_a_trial_that_came_to_little_stands_at_the_border_of_its_chart():
    values = [[-125.0], [-130.0], [-133.0], [-135.0], [-900.0], []]
    tried = [pictures.TrialPoint(i, value, {"beta": 1.0 + i}, False, i == 0) for i, value in enumerate(values)]
    drawn = pictures.draw_search("a", ["val/elbo"], True, {"beta": False}, tried)
    for axes in drawn.axes:
        low, high = axes.get_ylim()
        heights = [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "o"]
        assert len(heights) == 5
        assert min(heights) == low > -300
        assert max(heights) == -125 < high
        (failed,) = (line for line in axes.lines if line.get_marker() == "x")
        assert len(failed.get_xdata()) == 1
        assert "▾ 1 down to −900" in [text.get_text() for text in axes.texts]


def test_two_searches_of_one_name_are_refused(words):
    (SWEEPS / "one").mkdir(parents=True)
    message = "is searched already: wait for its end, stop it, or give another name"
    with FileLock(SWEEPS / "one/.lock"), pytest.raises(UserError, match=message):
        search.search(["name=one", "trials=1", *SPACE, *words, *SHORT])
    assert not (SWEEPS / "one/study.journal").exists()


def test_ctrl_c_says_how_to_go_on(words, monkeypatch, caplog):
    def stopped(*_):
        raise SystemExit(1)  # Lightning's answer

    monkeypatch.setattr(search, "train", stopped)
    with pytest.raises(SystemExit):
        search.search(["name=one", "trials=3", *SPACE, *words, *SHORT])
    assert "to go on: python -m src.search name=one trials=3" in caplog.text
    assert [each.state.name for each in told("one")] == ["RUNNING"]


def test_a_run_that_is_no_trial_is_left_alone(run):
    options = ["+callbacks.prune._target_=callbacks.prune.Prune", "+callbacks.prune.metric=val/elbo"]
    assert (run(*options) / "metrics.json").is_file()
