"""Which weights are measured, and in which mode of the networks."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from src import build
from src.support.errors import UserError
from src.support.noise import Noise
from src.training.objectives import ELBO
from tests.helpers.own_parts import OWN_ENCODER
from tests.helpers.runs import identical, rows, weights


def best_terms(folder, split):
    """The terms of a run's best checkpoint, measured by hand."""
    state = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    config = OmegaConf.create(state["run"]["config"])
    vae = build.load(folder)
    x = torch.from_numpy(getattr(build.data(config, vae), split).images).float() / 255
    drawn = Noise(config.seed).normal(torch.arange(len(x)), 1, config.latent_dim, like=x)
    with torch.no_grad():
        return ELBO(config.beta)(vae, x, drawn)


def test_ema_is_what_is_measured_seen_and_kept(run, resume):
    """Decay of nearly one: the average stays with the first step's weights, while they go on; both are kept."""
    options = ["trainer.ema=0.999999", "optimizer.lr=1e-3"]
    folder = run(*options, "posterior=full", "callbacks=default", "~callbacks.pictures", "~callbacks.progress")
    elbo = [float(row["val/elbo"]) for row in rows(folder)]
    assert abs(elbo[-1] - elbo[0]) < 3
    assert float(rows(run("optimizer.lr=1e-3", folder="plain"))[-1]["val/elbo"]) > elbo[-1] + 20
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    key = "vae.encoder.layers.0.weight"
    assert (state["current_model_state"][key] - state["state_dict"][key]).abs().max() > 1e-3
    np.testing.assert_allclose(np.load(folder / "val_terms.npz")["recon"], best_terms(folder, "val").recon, rtol=1e-5)
    with np.load(folder / "figures" / "trace.npz") as trace, torch.no_grad():
        pixels = torch.from_numpy(trace["fixed/pixels"]).float() / 255
        codes = build.load(folder, "last").encode(pixels).mean
        np.testing.assert_allclose(trace["frames/codes"][-1], codes, atol=1e-5)
    with pytest.raises(UserError, match=r"the run averages its weights: give trainer.ema="):
        resume(folder, "trainer.max_epochs=3", "trainer.ema=null")


def test_bf16_trains_and_is_evaluated_in_full_precision(run):
    folder = run("trainer.precision=bf16-mixed")
    elbo = [float(row["val/elbo"]) for row in rows(folder)]
    assert elbo[-1] > elbo[0] + 50
    np.testing.assert_allclose(np.load(folder / "val_terms.npz")["recon"], best_terms(folder, "val").recon, rtol=1e-5)


def test_a_network_of_ones_own_is_used_and_resumed_with_its_dropout(run, resume, interrupt, monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(OWN_ENCODER)
    monkeypatch.syspath_prepend(tmp_path)
    mine = "model.encoder._target_=mine.Encoder"
    whole = run(mine, folder="whole")
    interrupt(run, mine, at=1, folder="part")
    part = resume(tmp_path / "part")
    assert identical(weights(part), weights(whole))
    for split in ("val", "test"):  # without dropout, with the running statistics of the batches
        np.testing.assert_allclose(
            np.load(whole / f"{split}_terms.npz")["loss"], best_terms(whole, split).loss, rtol=1e-5
        )
    assert [type(layer).__name__ for layer in build.load(part).encoder] == [
        "Flatten",
        "Dropout",
        "BatchNorm1d",
        "Linear",
    ]
