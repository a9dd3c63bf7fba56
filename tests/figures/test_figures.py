"""The figures of a training, drawn from synthetic traces."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src import figures
from src.figures import __main__ as command
from src.figures import animation, curves
from src.figures.moments import smooth as moments_of
from src.run.trace import Trace
from src.support.folders import RunFolder
from tests.helpers.processes import run_code
from tests.helpers.traces import ANIMATIONS, STILLS, TSNE, make_trace, names_of


def count_frames(path: Path) -> int:
    with Image.open(path) as image:
        return image.n_frames


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """The folder with every picture of an ordinary trace."""
    folder = tmp_path_factory.mktemp("drawn") / "figures"
    paths = figures.draw_final(make_trace(), folder)
    assert names_of(paths) == STILLS | ANIMATIONS | TSNE
    return folder


def test_every_picture_opens_and_nothing_else_is_left(drawn):
    assert names_of(drawn.iterdir()) == STILLS | ANIMATIONS | TSNE
    for path in drawn.iterdir():
        with Image.open(path) as image:
            image.load()
            assert image.width >= 400 and image.convert("RGB").getpixel((0, 0)) == (255, 255, 255), path.name
        assert path.stat().st_size < 1_500_000


def test_animations_pass_each_recorded_epoch_in_one_palette_and_hold_the_last(drawn):
    moments = moments_of(range(4))
    for name in ANIMATIONS | {"latent_tsne.gif"}:
        durations, colours = [], set()
        with Image.open(drawn / name) as film:
            for frame in range(film.n_frames):
                film.seek(frame)
                durations.append(film.info["duration"])
                colours |= {colour for _, colour in film.convert("RGB").getcolors(film.width * film.height)}
            assert film.info["loop"] == 0
        assert (
            durations == durations[:1] * (len(moments) - 1) + [animation.HOLD] and durations[0] <= animation.SLOWEST
        ), name
        assert len(colours) <= animation.COLOURS, name


def test_the_same_trace_gives_the_same_files(drawn, tmp_path):
    make_trace().save(tmp_path / "trace.npz")
    for path in figures.draw_final(Trace.load(tmp_path / "trace.npz"), tmp_path):
        assert path.read_bytes() == (drawn / path.name).read_bytes(), path.name


def test_latest_figures_are_the_images(tmp_path):
    paths = figures.draw_latest(make_trace(), tmp_path / "new" / "folder")
    assert names_of(paths) == STILLS == names_of((tmp_path / "new" / "folder").iterdir())


def test_a_failed_write_leaves_the_old_file(drawn, tmp_path, monkeypatch):
    old = tmp_path / "loss.png"
    old.write_bytes(b"old")

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        animation.write_image(curves.loss(make_trace()), old, scale=1)
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_short_run(tmp_path, epochs):
    trace = make_trace(points=20, epochs=epochs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names_of(figures.draw_final(trace, tmp_path)) == STILLS | ANIMATIONS | TSNE
    assert count_frames(tmp_path / "latent_tsne.gif") == len(moments_of(range(epochs + 1)))


def test_before_anything_is_recorded_nothing_is_drawn(tmp_path):
    assert figures.draw_final(Trace(), tmp_path) == []


def test_a_diverged_run_is_drawn_up_to_its_last_finite_frame(tmp_path):
    trace = make_trace(points=20)
    trace.frames["codes"][3, 0, 0] = np.nan
    for name, values in trace.epochs.items():
        if "/" in name and values.dtype.kind == "f":
            values[3] = np.nan
    assert figures.finite_frames(trace).tolist() == [0, 1, 2]
    assert names_of(figures.draw_final(trace, tmp_path)) == STILLS | ANIMATIONS | TSNE
    assert count_frames(tmp_path / "latent_tsne.gif") == len(moments_of(range(3)))
    assert curves.best_epoch(trace) == 2
    trace.frames["codes"][:] = np.nan
    assert names_of(figures.draw_latest(trace, tmp_path / "none")) == {"loss.png", "kl_per_dim.png"}


def test_codes_that_coincide(tmp_path):
    trace = make_trace(points=20, epochs=1)
    trace.frames["codes"][0] *= 1e-9
    trace.frames["codes"][1] = 0.5
    assert names_of(figures.draw_final(trace, tmp_path)) == STILLS | ANIMATIONS | TSNE


def test_command_draws_a_run_again(tmp_path, capsys):
    (tmp_path / "figures").mkdir()
    make_trace(points=20, dimensions=2, epochs=1).save(tmp_path / "figures" / "trace.npz")
    assert command.main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out.split()
    assert {Path(line).name for line in printed} == STILLS | ANIMATIONS
    assert all(Path(line).is_file() for line in printed)


@pytest.mark.parametrize("content", [None, b"", b"not a zip file", b"PK\x03\x04 cut short"])
def test_command_names_a_trace_it_cannot_read(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "figures").mkdir()
        (tmp_path / "figures" / "trace.npz").write_bytes(content)
    assert command.main([str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "trace.npz" in captured.err


def test_command_explains_itself(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0 and "RUN_FOLDER" in capsys.readouterr().out


LOADED = """
import json, runpy, sys
sys.argv[1:] = [sys.argv[1]]
try:
    runpy.run_module("src.figures", run_name="__main__")
finally:
    print(json.dumps(list(sys.modules)))
"""


def test_the_command_loads_neither_torch_nor_lightning(tmp_path):
    RunFolder(tmp_path).figures.mkdir()
    make_trace(dimensions=3, epochs=1).save(RunFolder(tmp_path).trace)
    modules = run_code(LOADED, tmp_path, str(tmp_path))
    assert "openTSNE" in modules  # all figures were drawn
    assert not {name.split(".")[0] for name in modules} & {"torch", "lightning", "torchvision", "wandb", "callbacks"}
    assert not {"src.models.vae", "src.build", "src.training.module"} & set(modules)
