"""Watching a training: it changes nothing, and leaves what it should."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributions import Independent, StudentT

from callbacks.pictures import Pictures
from callbacks.recorder import evaluation_mode, is_recorded
from src import build, figures
from src.figures.moments import smooth
from src.inference.metrics import nearest
from src.models.adapters import code_distribution
from src.models.vae import VAE
from src.run.trace import Trace
from tests.helpers.own_parts import OWN_ENCODER
from tests.helpers.runs import identical, train_run, weights
from tests.helpers.traces import ANIMATIONS, TSNE

WATCHED = ["callbacks=default", "callbacks.recorder.images=40", "~callbacks.progress"]
PICTURES = {
    "samples.png",
    "reconstructions.png",
    "latent.png",
    "loss.png",
    "kl_per_dim.png",
    "samples.npz",
    "trace.npz",
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory, images):
    """A run of three epochs with every callback."""
    root = tmp_path_factory.mktemp("watched")
    arrays = {"images": images.train.images, "labels": images.train.labels}
    np.savez(root / "blobs.npz", **arrays)
    options = ["data=npz", f"data.path={root}/blobs.npz", "data.batch_size=32", "trainer.max_epochs=3", "latent_dim=4"]
    return train_run([*options, "logger=csv", "trainer.accelerator=cpu", *WATCHED], root / "run")


def test_pictures_and_animations(watched):
    folder = watched / "figures"
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == PICTURES | ANIMATIONS | TSNE
    for name in ANIMATIONS | {"latent_tsne.gif"}:
        with Image.open(folder / name) as film:
            assert film.n_frames == len(smooth(range(4))), name  # the untrained model and three epochs
            assert min(film.size) > 200
    for name in PICTURES | TSNE:
        if name.endswith(".png"):
            with Image.open(folder / name) as picture:
                picture.verify()


def test_what_the_trace_holds(watched):
    trace = Trace.load(watched / "figures" / "trace.npz")
    assert trace.epochs["epoch"].tolist() == trace.frames["epoch"].tolist() == [0, 1, 2, 3]
    assert trace.epochs["images_seen"].tolist() == [0, 224, 448, 672]
    assert trace.fixed["pixels"].shape == (30, 1, 28, 28)  # all validation images there are
    assert np.unique(trace.fixed["labels"], return_counts=True)[1].min() >= 7
    assert trace.frames["codes"].shape == (4, 30, 4)
    assert trace.frames["samples_mean"].shape == trace.frames["samples_draw"].shape == (4, 36, 1, 28, 28)
    assert set(np.unique(trace.frames["samples_draw"])) <= {0, 255}  # draws of a Bernoulli
    assert trace.epochs["val/kl_per_dim"].shape == (4, 4)
    np.testing.assert_allclose(trace.epochs["val/kl_per_dim"].sum(1), trace.epochs["val/kl"], rtol=1e-5)

    vae = build.load(watched, "last")
    with torch.no_grad():
        codes = vae.encode(torch.from_numpy(trace.fixed["pixels"]).float() / 255).mean
        means = vae.decode(torch.from_numpy(trace.last["samples_z"])).mean
    np.testing.assert_allclose(trace.frames["codes"][-1], codes, atol=1e-5)
    np.testing.assert_allclose(trace.frames["samples_mean"][-1], means * 255, atol=1)

    terms = np.load(watched / "val_terms.npz")  # of the best checkpoint, which is the last here
    worst = np.sort(-(terms["recon"] + terms["kl"]))[:8]
    np.testing.assert_allclose(trace.last["worst_elbo"], worst, rtol=1e-5)


def test_the_trace_holds_the_gray_levels_of_binary_images(watched):
    trace = Trace.load(watched / "figures" / "trace.npz")
    levels = build.open_run(watched).data.source.val.images.reshape(30, -1).tolist()
    assert trace.fixed["originals"].shape == trace.frames["recon_mean"].shape[1:]
    for originals, seen in (
        (trace.fixed["originals"], trace.fixed["pixels"][: len(trace.fixed["originals"])]),
        (trace.last["worst_original"], trace.last["worst_x"]),
    ):
        assert all(image in levels for image in originals.reshape(len(originals), -1).tolist())
        assert (seen[originals == 0] == 0).all() and (seen[originals == 255] == 255).all()


def test_samples_file(watched):
    samples = np.load(watched / "figures" / "samples.npz")
    trace = Trace.load(watched / "figures" / "trace.npz")
    assert set(samples.files) == {"z", "mean", "draw", "nearest"}
    assert np.array_equal(samples["mean"], trace.frames["samples_mean"][-1])
    assert np.array_equal(samples["nearest"], trace.last["samples_nearest"])


def test_figures_drawn_again_from_the_trace_are_the_same(watched, tmp_path):
    drawn = figures.draw_final(Trace.load(watched / "figures" / "trace.npz"), tmp_path)
    assert {path.name for path in drawn} == PICTURES - {"samples.npz", "trace.npz"} | ANIMATIONS | TSNE
    for path in drawn:
        assert path.read_bytes() == (watched / "figures" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli"])
def test_watching_changes_no_weight(run, likelihood, monkeypatch, tmp_path):
    """With dropout and batch statistics, which a look in training mode, or at the process's random state, changes."""
    (tmp_path / "mine.py").write_text(OWN_ENCODER)
    monkeypatch.syspath_prepend(tmp_path)
    options = [f"likelihood={likelihood}", "model.encoder._target_=mine.Encoder"]
    unwatched = run(*options, folder="unwatched")
    state = torch.get_rng_state()
    seen = run(*options, *WATCHED, folder="watched")
    assert identical(weights(unwatched), weights(seen))
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(*(np.load(f / "test_terms.npz")["loss"] for f in (unwatched, seen)))


def test_a_resume_from_the_best_checkpoint_forgets_what_came_after(run, tmp_path, small):
    recorded = ["callbacks=default", "~callbacks.progress", "callbacks.recorder.images=40", "optimizer.lr=0"]
    folder = run(*recorded, "trainer.max_epochs=3")
    train_run([f"ckpt_path={folder}/checkpoints/best.ckpt", "trainer.max_epochs=2"], folder)
    trace = Trace.load(folder / "figures" / "trace.npz")
    assert trace.epochs["epoch"].tolist() == trace.frames["epoch"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("damage", ["cut short", "other samples", "other schedule"])
def test_a_trace_that_does_not_fit_costs_no_resume(run, resume, caplog, damage):
    recorded = ["callbacks=default", "~callbacks.progress", "~callbacks.pictures", "callbacks.recorder.images=40"]
    folder = run(*recorded)
    path = folder / "figures" / "trace.npz"
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:5000])
    changed = {"other samples": ["callbacks.recorder.samples=9"], "other schedule": ["objective=capacity"]}
    resume(folder, "trainer.max_epochs=3", *changed.get(damage, []))
    assert "pictures begin anew" in caplog.text
    assert Trace.load(path).frames["epoch"].tolist() == [3]
    assert path.with_name("trace_before.npz").is_file()


@pytest.mark.parametrize("prior", ["mixture", "vamp", "flow"])
def test_samples_of_a_learned_prior_keep_their_base_noise(run, prior):
    """Nothing is learned, so nothing moves, the draws from the prior included."""
    quiet = ["callbacks=default", "~callbacks.progress", "~callbacks.pictures", "optimizer.lr=0"]
    frames = Trace.load(run(f"prior={prior}", *quiet) / "figures" / "trace.npz").frames
    for name in ("samples_mean", "samples_draw", "prior_codes"):
        assert np.array_equal(frames[name][0], frames[name][2]), name
    assert frames["prior_codes"].shape == (3, 500, 3)


def test_draws_of_a_fixed_prior_of_ones_own_are_recorded_and_a_trace_without_them_goes_on(run, resume, monkeypatch):
    """Circles of N(0, I) were drawn for it."""
    heavy = code_distribution(Independent(StudentT(torch.full((3,), 5.0), torch.full((3,), 3.0)), 1))
    monkeypatch.setattr(VAE, "prior", lambda vae: heavy)
    quiet = ["callbacks=default", "~callbacks.progress", "~callbacks.pictures", "latent_dim=3"]
    folder = run(*quiet, "trainer.max_epochs=1")
    trace = Trace.load(folder / "figures" / "trace.npz")
    codes = trace.frames.pop("prior_codes")
    assert codes.shape == (2, 500, 3)
    assert np.array_equal(codes[0], codes[1])
    trace.save(folder / "figures" / "trace.npz")
    resume(folder, "trainer.max_epochs=2")
    assert np.array_equal(Trace.load(folder / "figures" / "trace.npz").frames["prior_codes"], codes[[0, 0, 0]])


def test_watching_puts_the_random_state_and_the_mode_back(composed):
    vae = build.vae(composed("model.encoder.hidden=[4]", "model.decoder.hidden=[4]"))
    before = torch.get_rng_state()
    with evaluation_mode(vae, seed=0):
        first = torch.rand(3)
        assert not vae.training
        assert not torch.is_grad_enabled()
    with evaluation_mode(vae, seed=0):
        assert torch.equal(first, torch.rand(3))
    assert torch.equal(before, torch.get_rng_state())
    assert vae.training


def test_a_failure_to_draw_costs_no_run(run, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("no space for a picture")

    monkeypatch.setattr(figures, "draw_final", fail)
    folder = run(*WATCHED)
    assert (folder / "metrics.json").is_file()
    assert "no space for a picture" in caplog.text
    assert "python -m src.figures" in caplog.text


def test_interrupting_the_last_drawing_keeps_the_numbers(run, monkeypatch, caplog):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(figures, "draw_final", interrupt)
    assert (run(*WATCHED) / "metrics.json").is_file()
    assert "interrupted" in caplog.text


def test_share_is_checked():
    with pytest.raises(ValueError, match="from 0 to 1"):
        Pictures(share=2)


def test_frames_are_spread_over_log_epochs():
    recorded = [epoch for epoch in range(101) if is_recorded(epoch)]
    assert recorded[:11] == list(range(11))
    assert 25 < len(recorded) < 40
    steps = np.diff(np.log(recorded[10:]))
    assert steps.max() < 0.2


def test_nearest_against_brute_force():
    random = np.random.default_rng(0)
    images, among = (random.integers(0, 256, (n, 1, 5, 5), np.uint8) for n in (7, 6000))
    distance = ((images[:, None].astype(float) - among[None]) ** 2).sum((2, 3, 4))
    assert np.array_equal(nearest(images, among), distance.argmin(1))
