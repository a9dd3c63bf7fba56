"""The states of runs, and the warnings about those that finished but learned nothing."""

import json
import logging

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli

from src import build, report
from src.inference.metrics import code_gain, mean_image_cost, unexplained_share
from src.reporting.runs import infer_state, read
from src.run import status
from src.run.status import State
from src.support.errors import DivergedError
from src.support.folders import RunFolder
from src.support.noise import Noise

DEAF = """
import torch
from torch import nn

class Decoder(nn.Module):  # the same for every code
    def __init__(self, in_features, shape, hidden, activation, residual):
        super().__init__()
        self.image = nn.Parameter(torch.zeros(shape))

    def forward(self, z):
        return self.image.expand(*z.shape[:-1], *self.image.shape)
"""


def rows(*losses, active=3):
    return [{"epoch": float(e), "val/loss": loss, "val/active_units": active} for e, loss in enumerate(losses)]


def measured(**numbers):
    found = {"loss": 100.0, "elbo": -100.0, "kl": 20.0, "active_units": 3, "mean_image": 206.0}
    return {
        f"val/{name}": value for name, value in (found | {"code_gain": 200.0, "unexplained": 0.5} | numbers).items()
    }


@pytest.mark.parametrize(
    ("epochs", "numbers", "words"),
    [
        (rows(500, 200, 100), {}, []),
        (rows(500, 100), {}, []),  # one epoch has nothing to be better than
        (rows(500, 206.5, 206), {"active_units": 0, "kl": 0.0}, ["no latent dimension is active (KL 0.00 nats)"]),
        (rows(500, 200, 100), {"code_gain": 0.0}, ["the decoder ignores the code"]),
        (rows(500, 100, 90)[:2] + rows(0, 0, 90, active=0)[2:], {}, ["no latent dimension is active after the last"]),
        (
            rows(500, 206, 205),
            {"loss": 205.0, "elbo": -205.0},
            ["hardly better than the training images' mean, 206.00"],
        ),
        (
            rows(500, 400, 350),
            {"loss": 350.0, "elbo": -350.0},
            ["350.00 nats, is worse than the training images' mean, 206.00"],
        ),
        (rows(500, 300, 250), {"loss": 250.0}, []),  # of a beta above 1; the bound is better
        (rows(500, 90, 80), {"loss": 80.0, "elbo": -300.0}, []),  # of an autoencoder, beta 0
        (rows(500, 200, 100), {"unexplained": 1.01, "mean_image": None}, ["no nearer to the images"]),
        (rows(500, 500, 500), {}, ["never below the untrained model's, 500.00"]),
        (rows(500, 100, 101, 102), {}, ["best after the first of 3 epochs"]),
        (rows(500, 200, 100), {"loss": float("nan")}, []),
        ([], {}, []),
    ],
)
def test_quiet_endings(epochs, numbers, words):
    found = status.warnings(epochs, measured(**numbers))
    assert len(found) == len(words)
    for line, word in zip(found, words, strict=True):
        assert word in line
        assert "\n" not in line


def test_old_runs_are_judged_by_their_active_units():
    assert status.warnings(rows(500, 100), {"val/elbo": -100.0, "val/active_units": 2}) == []
    assert "active" in status.warnings(rows(500, 206), {"val/active_units": 0})[0]
    assert "test/recon" in status.warnings([], {"test/recon": float("inf"), "test/kl": 1.0, "data": {}})[0]


def test_a_single_validation_image_is_no_evidence_of_collapse():
    one = [{"epoch": i, "val/loss": 500.0 - i, "val/active_units": 0, "train/elbo_se": 0.5} for i in range(3)]
    assert status.warnings(one, {"val/active_units": 0}) == []
    two = [row | {"val/elbo_se": 1.0} for row in one]
    assert "no latent dimension is active" in status.warnings(two, {"val/active_units": 0})[0]


def test_a_collapsed_run_is_finished_and_says_so(run, caplog):
    caplog.set_level(logging.WARNING)
    folder = run("beta=1000", "optimizer.lr=0.01", "trainer.max_epochs=4")
    told = json.loads((folder / "status.json").read_text())
    assert told["state"] == "finished"
    assert "no latent dimension is active" in told["warning"]
    assert "finished, but no latent dimension is active" in caplog.text
    shown = read(folder, "run")
    assert shown.is_ranked
    assert shown.explanation == told["warning"]
    assert report.main([str(folder)]) == 0
    assert (folder / "report.html").read_text().count("no latent dimension is active") >= 2  # its row, what is selected


def test_a_decoder_that_ignores_its_code_is_a_warning(run, monkeypatch, tmp_path):
    (tmp_path / "deaf.py").write_text(DEAF)
    monkeypatch.syspath_prepend(tmp_path)
    folder = run("objective=mmd", "beta=0", "model.decoder._target_=deaf.Decoder", "trainer.max_epochs=3")
    told, metrics = (json.loads((folder / f"{name}.json").read_text()) for name in ("status", "metrics"))
    assert metrics["val/active_units"] > 0  # the penalty makes codes as wide as the prior
    assert metrics["val/code_gain"] == 0
    assert told["warning"].startswith("the decoder ignores the code")


def test_a_run_that_learns_has_no_warning(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert "warning" not in json.loads((finished / "status.json").read_text())
    assert metrics["val/code_gain"] > 20
    assert metrics["val/unexplained"] < 0.9
    data = build.open_run(finished).data
    mean = torch.from_numpy(data.source.train.images.mean(0, dtype=np.float64) / 255)
    pixels = torch.from_numpy(data.val.images / 255)
    smooth = (328 * mean + 0.5) / 329
    cost = -Bernoulli(smooth).log_prob(pixels).sum((1, 2, 3)).mean()
    assert metrics["val/mean_image"] == pytest.approx(cost.item())


def test_the_mean_image_is_measured_without_infinities():
    train = np.zeros((10, 1, 2, 2), np.uint8)
    white = np.full((4, 1, 2, 2), 255, np.uint8)
    assert mean_image_cost(train, white) == pytest.approx(4 * np.log(22))
    assert mean_image_cost(white, white) == pytest.approx(-4 * np.log(4.5 / 5))


def test_the_gain_of_a_code(finished):
    run = build.open_run(finished)
    (batch,) = run.batches(run.data.val)
    assert code_gain(run.vae, batch, Noise(0)).shape == (41,)
    same = batch._replace(x=batch.x[:1].expand(41, -1, -1, -1))
    assert abs(code_gain(run.vae, same, Noise(0)).mean()) < 0.1 * code_gain(run.vae, batch, Noise(0)).mean()
    assert unexplained_share(run.vae, batch, run.vae.reconstruct(batch.x)) == 1
    assert np.isnan(unexplained_share(run.vae, batch, batch.x))


def test_states_are_plain_text_on_disk(tmp_path):
    with status.record_status(tmp_path, ["beta=4"]):
        assert json.loads(RunFolder(tmp_path).status.read_text())["state"] == "running"
    recorded = json.loads(RunFolder(tmp_path).status.read_text())
    assert (recorded["state"], recorded["reason"], recorded["overrides"]) == ("finished", None, ["beta=4"])


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (KeyboardInterrupt(), State.INTERRUPTED, None),
        (SystemExit(1), State.INTERRUPTED, None),
        (DivergedError("the loss is nan"), State.DIVERGED, "the loss is nan"),
        (RuntimeError("out of\nmemory"), State.FAILED, "RuntimeError: out of"),
    ],
)
def test_an_error_sets_the_state_and_its_reason(tmp_path, error, state, reason):
    with pytest.raises(type(error)), status.record_status(tmp_path, []):
        raise error
    recorded = status.read(tmp_path)
    assert (recorded["state"], recorded["reason"]) == (state, reason)


@pytest.mark.parametrize("recorded", ["asleep", "waiting", "killed", ["finished"], None, 3])
def test_a_state_that_is_never_recorded_is_unknown(recorded):
    assert infer_state({"state": recorded}, {}, [])[0] == State.UNKNOWN
