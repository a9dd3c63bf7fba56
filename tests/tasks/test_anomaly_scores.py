"""The scores of task=anomaly, and its measures of detection."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributions import kl_divergence
from tqdm import tqdm

from src.build import open_run
from src.data.pixels import dequantize
from src.models.gaussians import DiagonalGaussian
from src.support.noise import Noise
from src.tasks.anomaly.scores import (
    BASELINES,
    SCORES,
    auroc_interval,
    detection,
    evaluate_scores,
    make_scores,
    png_nats,
)
from tests.helpers.batches import as_batch
from tests.helpers.models import linear_gaussian

NAN, INF = math.nan, math.inf


def scores_of(vae, x, names, samples, steps):
    """The scores `names` of images x (B, C, H, W), by name."""
    scores = make_scores(names, samples, steps)
    with torch.no_grad():
        return {name: score(vae, as_batch(x), Noise(0)) for name, score in scores.items()}


def test_with_the_true_posterior_every_likelihood_score_is_log_p(float64):
    vae, truth = linear_gaussian()
    x = truth.sample((400,))[:, None, None]
    scores = scores_of(vae, x, SCORES, 3, 20)
    log_p = truth.log_prob(x[:, 0, 0])
    nll = scores_of(vae, x, ["nll"], 300, 20)["nll"]
    torch.testing.assert_close(nll.mean(), -log_p.mean(), atol=0.01, rtol=0)
    assert (nll + log_p).std() < 0.1
    error = scores["-elbo"] + log_p
    assert abs(error.mean()) < 4 * error.std() / 20
    assert torch.allclose(scores["recon"] + scores["kl"], scores["-elbo"])
    assert abs(scores["regret"].mean()) < 0.05


def test_regret_is_the_kl_from_the_encoders_posterior_to_the_best_one(float64):
    vae, truth = linear_gaussian(error=0.3)
    x = truth.sample((300,))[:, None, None]
    w, b = vae.decoder[0].weight.detach(), vae.decoder[0].bias.detach()
    precision = 1 + w.square().sum(0) / 0.16
    best = DiagonalGaussian((x[:, 0, 0] - b) @ w / 0.16 / precision, precision.rsqrt().expand(300, 3))
    with torch.no_grad():
        lacking = kl_divergence(vae.encode(x), best)
    regret = scores_of(vae, x, ["regret"], 3, 200)["regret"]
    assert lacking.mean() > 0.2
    assert regret.mean() == pytest.approx(lacking.mean().item(), rel=0.15)
    assert np.corrcoef(regret, lacking)[0, 1] > 0.9


def test_chunks_change_no_score(finished):
    run = open_run(finished)
    images, scores = run.data.test.images[:20], make_scores(SCORES, 5, 2)
    with tqdm(disable=True) as bar:
        whole = evaluate_scores(run, images, scores, bar)
        parts = evaluate_scores(run, images, scores, bar, chunk=7)
    assert list(whole) == [*SCORES, *BASELINES]
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-3, atol=1e-2, err_msg=name)


def test_complexity_is_the_length_of_a_png():
    random = np.random.default_rng(0)
    greys = random.integers(0, 256, (3, 1, 28, 28)).astype(np.uint8)
    binary = np.where(greys > 127, 255, 0).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(binary[0, 0]).convert("1").save(file, "PNG", optimize=True)
    assert png_nats(binary, True)[0] == pytest.approx(8 * math.log(2) * len(file.getvalue()))
    assert np.array_equal(png_nats(dequantize(greys, 1), False), png_nats(greys, False))
    flat, colours = np.zeros((1, 1, 28, 28), np.uint8), random.integers(0, 256, (1, 3, 28, 28)).astype(np.uint8)
    assert png_nats(flat, True) < png_nats(binary, True).min() < png_nats(greys, False).min()
    assert png_nats(greys, False).min() < png_nats(colours, False)
    together = np.concatenate([binary, greys])
    assert np.array_equal(png_nats(together, False)[:3], png_nats(binary, False))  # whatever the other images are


def test_detection_equals_its_definitions():
    random = np.random.default_rng(0)
    normal, anomalous = random.normal(0, 1, 80).round(1), random.normal(1, 1, 40).round(1)
    rates = detection(normal, anomalous)
    pairs = np.sign(anomalous[:, None] - normal) / 2 + 0.5
    assert rates["auroc"].mean == pytest.approx(pairs.mean())
    threshold = max(t for t in np.unique([*normal, *anomalous]) if (anomalous >= t).mean() >= 0.95)
    assert rates["fpr95"] == (normal >= threshold).mean()
    assert detection(np.zeros(5), np.ones(5)) == {"auroc": auroc_interval(1, 5, 5), "aupr": 1, "fpr95": 0}
    chance = detection(np.zeros(30), np.zeros(10))
    assert (chance["auroc"].mean, chance["aupr"], chance["fpr95"]) == (0.5, 0.25, 1)


def test_the_standard_error_of_auroc_is_its_standard_deviation():
    random = np.random.default_rng(0)
    rates = [detection(random.normal(0, 1, 60), random.normal(1, 2, 30)) for _ in range(300)]
    spread = np.std([each["auroc"].mean for each in rates])
    assert np.mean([each["auroc"].se for each in rates]) == pytest.approx(spread, rel=0.12)


def test_scores_that_are_not_finite_rank_highest():
    normal, anomalous = np.array([1.0, 2, 3, NAN]), np.array([INF, -INF, NAN, 2.5])
    rates = detection(normal, anomalous)
    pairs = [1, 1, 1, 0.5] * 3 + [1, 1, 0, 0]  # of each anomaly with each normal image
    assert rates["auroc"].mean == pytest.approx(np.mean(pairs))
    assert detection(np.full(4, NAN), np.full(4, INF))["auroc"].mean == 0.5
    finite = detection(np.array([1.0, 2, 3, 9]), np.array([9, 9, 9, 2.5]))
    assert rates == finite
