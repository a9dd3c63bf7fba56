"""Figures of synthetic traces: clusters that separate over the epochs."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from src import figures
from src.figures import __main__ as command
from src.figures import animation, curves, grids, latent, page
from src.run.trace import Trace
from src.support.folders import RunFolder

STILLS = {"samples.png", "reconstructions.png", "latent.png", "loss.png", "kl_per_dim.png"}
FILMS = {"samples.gif", "reconstructions.gif", "latent.gif"}
TSNE = {"latent_tsne.gif", "latent_tsne.png"}


def a_trace(points=40, dimensions=4, epochs=3, shape=(1, 8, 6), samples=9, classes=4) -> Trace:
    rng = np.random.default_rng(1)
    labels, noise = np.arange(points) % classes, rng.normal(size=(points, dimensions))

    def images(count: int) -> np.ndarray:
        return rng.integers(0, 256, (count, *shape), dtype=np.uint8)

    trace = Trace(
        fixed={
            "title": np.array("mlp d=4 beta=1 on clusters"),
            "classes": np.array([f"class {i}" for i in range(classes)]),
            "pixels": images(points),
            "labels": labels,
        },
        last={
            "worst_x": images(8),
            "worst_mean": images(8),
            "worst_elbo": -np.linspace(300, 200, 8),
            "samples_z": rng.normal(size=(samples, dimensions)),
        },
    )
    for epoch in range(epochs + 1):
        loss = 100 + 400 / (1 + 3 * epoch)
        terms = {"loss": loss, "elbo": -loss, "recon": loss - 20, "kl": 20}
        trace.append(
            "epochs",
            epoch=epoch,
            images_seen=4000 * epoch,
            beta=1.0,
            lr=1e-3,
            **{f"{split}/{name}": value for split in ("train", "val") for name, value in terms.items()},
            **{"val/kl_per_dim": np.arange(dimensions) + 0.1 * epoch, "val/active_units": dimensions},
        )
        trace.append(
            "frames",
            epoch=epoch,
            codes=0.3 * noise + 0.2 * (1 + epoch) * labels[:, None],
            samples_mean=images(samples),
            samples_draw=images(samples),
            recon_mean=images(6),
            recon_draw=images(6),
        )
    return trace


def names(paths: list[Path]) -> set[str]:
    return {path.name for path in paths}


def count_frames(path: Path) -> int:
    with Image.open(path) as image:
        return image.n_frames


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """The folder with every figure of an ordinary trace."""
    folder = tmp_path_factory.mktemp("drawn") / "figures"
    paths = figures.draw_final(a_trace(), folder)
    assert names(paths) == STILLS | FILMS | TSNE
    return folder


def test_every_picture_opens_and_nothing_else_is_left(drawn):
    assert names(drawn.iterdir()) == STILLS | FILMS | TSNE
    for path in drawn.iterdir():
        with Image.open(path) as image:
            image.load()
            assert image.width >= 400 and image.convert("RGB").getpixel((0, 0)) == (255, 255, 255), path.name
        assert path.stat().st_size < 1_500_000


def test_animations_show_each_recorded_epoch_in_one_palette_and_hold_the_last(drawn):
    for name in FILMS | {"latent_tsne.gif"}:
        durations, colours = [], set()
        with Image.open(drawn / name) as film:
            for frame in range(film.n_frames):
                film.seek(frame)
                durations.append(film.info["duration"])
                colours |= {colour for _, colour in film.convert("RGB").getcolors(film.width * film.height)}
            assert film.info["loop"] == 0
        assert durations == [animation.STEP] * 3 + [animation.HOLD], name
        assert len(colours) <= animation.COLOURS, name


def test_the_same_trace_gives_the_same_files(drawn, tmp_path):
    a_trace().save(tmp_path / "trace.npz")
    for path in figures.draw_final(Trace.load(tmp_path / "trace.npz"), tmp_path):
        assert path.read_bytes() == (drawn / path.name).read_bytes(), path.name


def test_latest_figures_are_the_images(tmp_path):
    paths = figures.draw_latest(a_trace(), tmp_path / "new" / "folder")
    assert names(paths) == STILLS == names((tmp_path / "new" / "folder").iterdir())


def test_a_failed_write_leaves_the_old_file(drawn, tmp_path, monkeypatch):
    old = tmp_path / "loss.png"
    old.write_bytes(b"old")

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        animation.write_image(curves.loss(a_trace()), old, scale=1)
    assert old.read_bytes() == b"old"


def test_nearest_training_images_only_when_there(tmp_path):
    trace = a_trace()
    without, _ = grids.samples(trace, nearest=True)
    trace.last["samples_nearest"] = trace.frames["samples_mean"][-1]
    with_them, _ = grids.samples(trace, nearest=True)
    assert len(with_them.artists) == len(without.artists) + 1
    assert len(grids.samples(trace)[0].artists) == len(without.artists)


def test_worst_images_carry_their_elbo():
    trace = a_trace()
    figure, _ = grids.reconstructions(trace, worst=True)
    words = [text.get_text() for text in figure.texts]
    assert "\N{MINUS SIGN}300.0" in words and "\N{MINUS SIGN}200.0" in words
    figure, _ = grids.reconstructions(trace)
    assert not any("300.0" in text.get_text() for text in figure.texts)


def test_captions_name_epoch_and_elbo():
    trace = a_trace()
    figure, show = latent.plane(trace, [0, 3])
    show(3)
    words = [text.get_text() for text in figure.texts]
    assert "mlp d=4 beta=1 on clusters" in words
    assert "epoch 3 · ELBO \N{MINUS SIGN}140.0 nats" in words


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 5, 11), (3, 64, 40)])
def test_images_of_any_shape(tmp_path, shape):
    trace = a_trace(points=20, epochs=1, shape=shape)
    trace.last["samples_nearest"] = trace.frames["samples_mean"][-1]
    for figure, show in (grids.samples(trace, nearest=True), grids.reconstructions(trace, worst=True)):
        path = animation.write_animation(figure, show, [0, 1], tmp_path / "animation.gif")
        with Image.open(path) as film:
            assert film.n_frames == 2 and 440 <= film.width <= 1400


def test_tiles_hold_the_pixels_between_lines():
    images = np.arange(2 * 3 * 2 * 2, dtype=np.uint8).reshape(2, 3, 2, 2)
    sheet = grids.tile(images, columns=2)
    assert sheet.shape == (4, 7, 3)
    assert (sheet[1:3, 1:3] == images[0].transpose(1, 2, 0)).all()
    assert (sheet[1:3, 4:6] == images[1].transpose(1, 2, 0)).all()
    assert (sheet[0] == grids.SEPARATOR).all() and (sheet[:, 3] == grids.SEPARATOR).all()
    assert grids.tile(images[:, :1], columns=1).shape == (7, 4, 3)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_plane_replaces_tsne_of_few_dimensions(tmp_path, dimensions):
    assert names(figures.draw_final(a_trace(dimensions=dimensions, epochs=1), tmp_path)) == STILLS | FILMS


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_plane_shows_draws_of_a_learned_prior_instead_of_contours(dimensions):
    trace = a_trace(dimensions=dimensions, epochs=1)
    trace.frames["prior_codes"] = np.random.default_rng(0).normal(size=(2, 30, dimensions))
    figure, show = latent.plane(trace, [0, 1])
    show(1)
    axes = figure.axes[-1]
    crosses, points = sorted(axes.collections, key=lambda drawn: drawn.get_zorder())[:2]
    np.testing.assert_allclose(crosses.get_offsets()[:, 0], trace.frames["prior_codes"][1][:, 0])
    np.testing.assert_allclose(points.get_offsets()[:, 0], trace.frames["codes"][1][:, 0])
    assert not axes.patches and len(axes.lines) == 0
    assert any("draws from the prior, which is\nlearned" in text.get_text() for text in figure.texts)
    trace.frames["prior_codes"][1] = trace.frames["prior_codes"][0]
    assert any("draws from the prior." in text.get_text() for text in latent.plane(trace, [0, 1])[0].texts)


def test_the_loss_plot_shows_what_is_scheduled():
    trace = a_trace()
    assert "β" in {text.get_text() for text in curves.loss(trace).texts}
    trace.epochs["capacity"] = trace.epochs.pop("beta") * 25
    words = {text.get_text() for text in curves.loss(trace).texts}
    assert "C (nats)" in words
    assert "β" not in words
    del trace.epochs["capacity"]
    assert len(curves.loss(trace).axes) == 4


def test_the_plane_shows_the_dimensions_with_the_largest_kl():
    trace = a_trace(dimensions=5)
    trace.epochs["val/kl_per_dim"][-1] = [0.1, 3, 0.2, 0, 4]
    assert latent.most_active(trace, 3) == [1, 4]
    del trace.epochs["val/kl_per_dim"]
    trace.frames["codes"][-1][:, [0, 2]] *= 100
    assert latent.most_active(trace, 3) == [0, 2]


def test_prior_contours_hold_their_mass():
    z = np.random.default_rng(0).normal(size=(200_000, 2))
    for mass, radius in latent.CIRCLES.items():
        assert (np.linalg.norm(z, axis=1) < radius).mean() == pytest.approx(mass, abs=0.004)
    for mass, half in latent.INTERVALS.items():
        assert (np.abs(z[:, 0]) < half).mean() == pytest.approx(mass, abs=0.004)


def test_no_kl_per_dimension_without_its_numbers(tmp_path):
    trace = a_trace(points=20, epochs=1)
    del trace.epochs["val/kl_per_dim"]
    assert names(figures.draw_latest(trace, tmp_path)) == STILLS - {"kl_per_dim.png"}


@pytest.mark.parametrize("dimensions", [1, 128])
def test_heat_map_of_any_height_sorts_by_the_last_epoch(dimensions):
    trace = a_trace(points=20, dimensions=dimensions, epochs=1)
    figure = curves.kl_per_dim(trace)
    heat = figure.axes[0].images[0].get_array()
    assert heat.shape == (dimensions, 2) and (np.diff(heat[:, -1]) <= 0).all()
    labels = figure.axes[0].get_yticklabels()
    assert labels[0].get_text() == str(dimensions - 1) and len(labels) <= 43


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_short_run(tmp_path, epochs):
    trace = a_trace(points=20, epochs=epochs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names(figures.draw_final(trace, tmp_path)) == STILLS | FILMS | TSNE
    assert count_frames(tmp_path / "latent_tsne.gif") == epochs + 1


def test_before_anything_is_recorded_nothing_is_drawn(tmp_path):
    assert figures.draw_final(Trace(), tmp_path) == []


def test_a_diverged_run_is_drawn_up_to_its_last_finite_frame(tmp_path):
    trace = a_trace(points=20)
    trace.frames["codes"][3, 0, 0] = np.nan
    for name, values in trace.epochs.items():
        if "/" in name and values.dtype.kind == "f":
            values[3] = np.nan
    assert figures.finite_frames(trace).tolist() == [0, 1, 2]
    assert names(figures.draw_final(trace, tmp_path)) == STILLS | FILMS | TSNE
    assert count_frames(tmp_path / "latent_tsne.gif") == 3
    assert curves.best_epoch(trace) == 2
    trace.frames["codes"][:] = np.nan
    assert names(figures.draw_latest(trace, tmp_path / "none")) == {"loss.png", "kl_per_dim.png"}


def test_codes_that_coincide(tmp_path):
    trace = a_trace(points=20, epochs=1)
    trace.frames["codes"][0] *= 1e-9
    trace.frames["codes"][1] = 0.5
    assert names(figures.draw_final(trace, tmp_path)) == STILLS | FILMS | TSNE


def test_frames_evenly_in_log():
    assert animation.evenly_in_log(np.array([0])).tolist() == [0]
    assert animation.evenly_in_log(np.array([0, 5])).tolist() == [0, 1]
    chosen = animation.evenly_in_log(4000 * np.arange(301))
    assert len(chosen) <= 30 and chosen[0] == 0 and chosen[-1] == 300
    ratios = chosen[8:][1:] / chosen[8:][:-1]
    assert ratios.max() / ratios.min() < 1.15
    assert chosen[:5].tolist() == [0, 1, 2, 3, 4]


def test_loss_axes_ignore_the_untrained_model_but_show_the_best_epoch():
    epochs = np.arange(41)
    curve = np.concatenate([[5000.0, 300], np.linspace(200, 100, 39)])
    low, high = curves.readable_limits(epochs, [curve], best=40)
    assert low < 100 and 190 < high < 210
    assert curves.readable_limits(epochs, [curve[::-1]], best=1)[0] < 100
    assert curves.readable_limits(np.array([0]), [np.array([np.nan])], best=0) == (0, 1)


def test_colours_are_distinct_for_any_number_of_classes():
    for count in (2, 10, 47):
        assert len(set(page.class_colours(count))) == count


def test_command_draws_a_run_again(tmp_path, capsys):
    (tmp_path / "figures").mkdir()
    a_trace(points=20, dimensions=2, epochs=1).save(tmp_path / "figures" / "trace.npz")
    assert command.main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out.split()
    assert {Path(line).name for line in printed} == STILLS | FILMS
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


@pytest.mark.parametrize("kind", ["tsne", "plane"])
def test_active_units_are_those_that_were_recorded(kind):
    """The drawn codes are of some images only, which may have other active units."""
    trace = a_trace(epochs=2)
    trace.epochs["val/active_units"] = np.array([0, 2, 1])
    if kind == "tsne":
        planes = {frame: np.zeros((len(trace.fixed["labels"]), 2)) for frame in range(3)}
        figure, show = latent.tsne(trace, planes, planes[0])
    else:
        figure, show = latent.plane(trace, range(3))
    for frame, count in enumerate((0, 2, 1)):
        show(frame)
        dimensions = trace.frames["codes"].shape[2]
        assert f"{count} of {dimensions}" in [text.get_text() for text in figure.findobj(Text)]


def test_the_best_epoch_is_that_of_the_checkpoint():
    """The checkpoint is chosen in float32: of two losses that are equal there, the first."""
    trace = a_trace(epochs=3)
    trace.epochs["val/loss"] = np.array([500, 206.3385523, 206.3385521, 206.4])
    assert np.float32(206.3385523) == np.float32(206.3385521)
    assert curves.best_epoch(trace) == 1


def test_the_plane_counts_the_codes_outside_of_its_frame():
    trace = a_trace(points=200, dimensions=2)
    trace.frames["codes"][1][:3] = 1000
    figure, show = latent.plane(trace, range(4))
    show(1)
    assert "3 of 200 outside of the frame" in [text.get_text() for text in figure.findobj(Text)]
    show(2)
    assert not any("outside" in text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize(("untrained", "extend"), [(9.0, "max"), (0.1, "neither")])
def test_the_heat_map_says_where_the_untrained_model_exceeds_its_colours(untrained, extend):
    trace = a_trace(dimensions=2, epochs=2)
    trace.epochs["val/kl_per_dim"] = np.array([[untrained, 0], [0.5, 0.1], [0.6, 0.2]])
    (bar,) = (axes for axes in curves.kl_per_dim(trace).axes if hasattr(axes, "_colorbar"))
    assert bar._colorbar.extend == extend


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
    a_trace(dimensions=3, epochs=1).save(RunFolder(tmp_path).trace)
    env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent)}
    command = [sys.executable, "-c", LOADED, str(tmp_path)]
    printed = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=True).stdout
    modules = json.loads(printed.splitlines()[-1])
    assert "openTSNE" in modules  # all figures were drawn
    assert not {name.split(".")[0] for name in modules} & {"torch", "lightning", "torchvision", "wandb", "callbacks"}
    assert not {"src.models.vae", "src.build", "src.training.module"} & set(modules)
