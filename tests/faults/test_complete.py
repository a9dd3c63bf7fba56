"""A run that is killed at the end of its training, or while its figures are drawn, and resumed, is complete."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src import figures
from src.run.trace import Trace
from tests.helpers.kills import kill_at
from tests.helpers.runs import identical, train_run, weights
from tests.helpers.traces import ANIMATIONS, STILLS, TSNE

WATCHED = ["callbacks=default", "~callbacks.progress", "callbacks.recorder.images=24", "latent_dim=3"]
DRAWN = STILLS | ANIMATIONS | TSNE
NOT_ALIKE = {"metrics.csv", "status.json", "metrics.json", "config.yaml"}  # they hold times, or the folder's name


@pytest.fixture(scope="module")
def options(small: list[str]) -> list[str]:
    """The options of a watched run."""
    names = {word.partition("=")[0] for word in WATCHED}
    return [*(word for word in small if word.partition("=")[0] not in names), *WATCHED]


@pytest.fixture(scope="module")
def whole(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not interrupted, computed as the tests compute: see tests/conftest.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)
        return train_run(options, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(whole, tmp_path / "copy")


def check_alike(folder: Path, whole: Path) -> None:
    """Assert that both runs hold the same files, and the same but for times in them."""
    names = {str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file()}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == names
    for name in names:
        if Path(name).name not in NOT_ALIKE and not name.endswith(".ckpt"):
            assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    for which in ("best", "last"):
        assert identical(weights(folder, which), weights(whole, which))
    a, b = (json.loads((each / "metrics.json").read_text()) for each in (folder, whole))
    times = ("training_seconds", "images_per_second", "data")
    assert {k: v for k, v in a.items() if k not in times} == {k: v for k, v in b.items() if k not in times}


@pytest.mark.parametrize(
    ("event", "name", "count"),
    [
        ("os.rename", "last.ckpt", 2),  # the trace has an epoch that no checkpoint has
        ("os.rename", "latent.gif", 1),
        pytest.param("call", "src.figures.embedding.embed_backwards", 1, marks=pytest.mark.slow),
        *(
            pytest.param("os.rename", *point, marks=pytest.mark.slow)
            for point in (
                ("trace.npz", 3),
                ("samples.npz", 1),
                ("best.ckpt", 2),
                ("trace.npz", 4),
                ("loss.png", 1),
                ("samples.gif", 1),
                ("reconstructions.gif", 1),
                ("latent_tsne.gif", 1),
                ("latent_tsne.png", 1),
                ("test_terms.npz", 1),
                ("metrics.json", 1),
                ("status.json", 2),
            )
        ),
    ],
)
def test_a_run_that_is_killed_at_its_end_is_complete_after_the_resume(
    options, whole, resume, tmp_path, event, name, count
):
    folder = tmp_path / "run"
    kill_at(lambda: train_run(options, folder), event, name, count)
    check_alike(resume(folder), whole)


@pytest.mark.parametrize(
    "name",
    [
        "latent_tsne.gif",
        "trace.npz",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("loss.png", "samples.npz")),
    ],
)
def test_a_finished_run_that_is_resumed_has_all_its_figures(copy, whole, resume, name):
    """Files that were deleted or cut short are written again. Of the training, a lost trace knows the last epoch."""
    path = copy / "figures" / name
    path.write_bytes(path.read_bytes()[:1000]) if name == "loss.png" else path.unlink()
    resume(copy)
    if name == "trace.npz":
        trace = Trace.load(path)
        assert trace.epochs["epoch"].tolist() == trace.frames["epoch"].tolist() == [2]
        assert {file.name for file in (copy / "figures").iterdir()} >= DRAWN
        known = Trace.load(whole / "figures" / name)
        for key, frames in trace.frames.items():
            assert np.array_equal(frames[-1], known.frames[key][-1]), key
        assert all(np.array_equal(array, known.last[key]) for key, array in trace.last.items())
    else:
        check_alike(copy, whole)


def test_a_finished_run_without_one_of_its_figures_is_not_taken_as_complete(copy, whole, options, command):
    line = [*options, f"hydra.run.dir={copy}", "resume=auto"]
    (copy / "figures" / "latent.gif").unlink()
    assert "finished already" not in command(*line)[1]
    assert (copy / "figures" / "latent.gif").read_bytes() == (whole / "figures" / "latent.gif").read_bytes()
    assert "finished already" in command(*line)[1]


def test_a_finished_run_with_a_damaged_trace_says_so_and_ends(copy, resume, caplog):
    path = copy / "figures" / "trace.npz"
    path.write_bytes(path.read_bytes()[:5000])
    resume(copy)
    assert "pictures begin anew" in caplog.text
    assert "Traceback" not in caplog.text
    assert Trace.load(path).frames["epoch"].tolist() == [2]
    assert json.loads((copy / "status.json").read_text())["state"] == "finished"
    with Image.open(copy / "figures" / "latent_tsne.gif") as animation:
        animation.verify()


def test_a_run_that_ends_earlier_on_resume_is_recorded_at_its_new_end(options, resume, tmp_path):
    """The eleventh epoch has no frame unless it is the last."""
    quiet = [*options, "~callbacks.pictures", "model.encoder.hidden=[8]", "model.decoder.hidden=[8]"]
    longer = [word for word in quiet if not word.startswith("trainer.max_epochs")]
    folder = tmp_path / "run"
    kill_at(lambda: train_run([*longer, "trainer.max_epochs=12"], folder), "os.rename", "last.ckpt", 12)
    resume(folder, "trainer.max_epochs=11")
    whole = train_run([*longer, "trainer.max_epochs=11", "lr_schedule=constant"], tmp_path / "whole")
    frames = Trace.load(folder / "figures" / "trace.npz").frames["epoch"].tolist()
    assert frames == Trace.load(whole / "figures" / "trace.npz").frames["epoch"].tolist() == list(range(12))


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 0, "drawing interrupted; python -m src.figures .*/mine draws the rest"),
        (signal.SIGTERM, 143, "interrupted; to go on after the last whole epoch"),
    ],
)
def test_a_signal_while_the_last_figures_are_drawn(command, options, monkeypatch, number, code, said):
    """Ctrl-C ends the drawing alone, any other signal the command."""
    monkeypatch.setattr(figures, "draw_final", lambda *_: os.kill(os.getpid(), number) or time.sleep(60))
    ended, output = command(*options, "hydra.run.dir=mine", "trainer.max_epochs=1")
    assert ended == code
    assert re.search(said, output)
    assert (Path("mine") / "metrics.json").is_file() == (code == 0)


def test_a_sweep_that_is_stopped_while_its_job_draws_goes_on_with_the_drawing(command, options, monkeypatch):
    """The job took the signal that its sweep passed on for a Ctrl-C, was finished, and had no animations."""
    line = ["-m", *options, "trainer.max_epochs=1", "seed=0,1", "sweep_name=mine"]
    job, drawn = Path("outputs/sweeps/mine/0"), Path("drawn").absolute()
    with monkeypatch.context() as patch:
        patch.setattr(figures, "draw_final", lambda *_: os.kill(os.getppid(), signal.SIGTERM) or time.sleep(60))
        ended, output = command(*line)
    assert ended == 143
    assert "stopped; to go on" in output
    assert json.loads((job / "status.json").read_text())["state"] == "interrupted"
    monkeypatch.setattr(figures, "draw_final", lambda *_: drawn.touch() or [])
    assert command(*line)[0] == 0
    assert drawn.is_file()
    assert json.loads((job / "status.json").read_text())["state"] == "finished"
