"""Anomaly scores: how much less likely than its training images a VAE finds an image, in nats; and how well scores
separate anomalies from normal images.

A larger score is more anomalous. Where the model overflows on an image, the result is NaN or infinite of either sign.
It is replaced by infinity, the most anomalous, since the image is unlike all others. The baselines are computed from
the images alone, without the VAE.
"""

import io
import logging
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from src.build import Run
from src.data.batches import Batch
from src.data.pixels import Pixels, as_input
from src.evaluation.labels import log_prior
from src.inference.importance import elbo, encoder_parameters, nll, refine
from src.inference.labels import label_posterior, log_marginal, with_each_label
from src.inference.proposals import BalancedMixture, propose
from src.models.draws import Draws
from src.models.vae import VAE
from src.support.console import stages
from src.support.noise import Noise
from src.support.statistics import Estimate, Interval

SCORES = ("-elbo", "nll", "recon", "kl", "regret", "complexity")
BASELINES = ("mean_intensity", "png_size")
Z95 = 1.959964  # standard errors of a normal distribution on either side that hold 95 % of it
EDGE = 1e-9  # distance from 0 and 1 from which on an interval's end is searched
DRAWS = 8  # codes of an image over which recon, the ELBO and the regret are averaged
CHUNK = 125  # images at once: with the samples of `refine` they stay in the cache of a processor

log = logging.getLogger(__name__)
Columns = dict[str, np.ndarray]
Score = Callable[[VAE, Batch, Noise], Tensor]


def make_scores(names: Sequence[str], samples: int, steps: int) -> dict[str, Score]:
    """The named ones of SCORES, as functions of a VAE, a batch and the noise that return (B,).

    -elbo: recon + kl, from DRAWS codes
    nll: -log p(x), from `samples` codes of the mixture of proposals.py, which is refined for the image by `steps`. For
        an image unlike those of the training, codes of the encoder's posterior alone give a value hundreds of nats too
        high
    regret: the likelihood regret, refined by `steps`
    complexity: -elbo, from which `evaluate_scores` subtracts the length of the image's file (Serra et al., 2020)
    """
    scores: dict[str, Score] = {
        "-elbo": negative_elbo,
        "nll": lambda vae, batch, noise: nll(vae, batch, samples, noise, proposal(vae, batch, noise, steps))[0],
        "recon": lambda vae, batch, noise: draw(vae, batch, noise).recon(),
        "kl": lambda vae, batch, noise: draw(vae, batch, noise).kl("closed"),
        "regret": lambda vae, batch, noise: regret(vae, batch, noise, steps),
        "complexity": negative_elbo,
    }
    return {name: scores[name] for name in names}


def proposal(vae: VAE, batch: Batch, noise: Noise, steps: int) -> BalancedMixture | None:
    """The mixture of proposals.py; None of a hierarchy, whose posterior is no Gaussian: it is the proposal."""
    return None if vae.levels else propose(vae, batch, noise, steps).mixture


def draw(vae: VAE, batch: Batch, noise: Noise) -> Draws:
    """Draw DRAWS samples from the posterior of each image."""
    return vae.given(batch.y).draw(batch.x, score_noise(vae, batch, noise))


def score_noise(vae: VAE, batch: Batch, noise: Noise) -> Tensor:
    """The noise from which `draw` makes its samples, (DRAWS, B, D)."""
    return noise.at("scores").normal(batch.index, DRAWS, vae.latent_dim, like=batch.x)


def negative_elbo(vae: VAE, batch: Batch, noise: Noise) -> Tensor:
    """recon + kl, (B,)."""
    draws = draw(vae, batch, noise)
    return draws.recon() + draws.kl("closed")


def regret(vae: VAE, batch: Batch, noise: Noise, steps: int) -> Tensor:
    """The likelihood regret (Xiao et al., 2020), (B,): the increase of the ELBO, under the same noise, when q is
    refined for the image by `steps` of Adam.

    The paper refines the weights of the encoder instead. A posterior that is no Gaussian is replaced by a Gaussian, so
    that its regret may be negative.
    """
    draws = draw(vae, batch, noise)
    start = encoder_parameters(vae, batch, noise)
    start = start[:2] if draws.q.gaussian_covariance == "diagonal" else start
    refined = elbo(vae, batch, refine(vae, batch, noise, start, steps), score_noise(vae, batch, noise))
    return refined + draws.recon() + draws.kl("closed")


def evaluate_scores(
    run: Run, images: np.ndarray, scores: Mapping[str, Score], bar: tqdm, chunk: int = CHUNK
) -> Columns:
    """The scores of images (N, C, H, W) that are prepared for the run, then the baselines; (N,) each, float64, finite
    or infinite.

    The baselines png_size and mean_intensity are distances from the mean of the run's training images, since files of
    anomalies may also be shorter. A conditional model scores by p(x), whatever labels the images have.
    """
    pixels, parts, noise = torch.from_numpy(images), [], Noise(run.seed)
    log_py = None if run.vae.condition is None else log_prior(run)
    for rows in torch.arange(len(images)).split(chunk):
        x, index = (each.to(run.device) for each in (pixels[rows], rows))
        batch = Batch(as_input(x), torch.zeros_like(index), index)
        with torch.no_grad():
            if log_py is None:
                parts.append({name: score(run.vae, batch, noise) for name, score in scores.items()})
            else:
                parts.append(marginal_scores(run.vae, batch, noise, scores, log_py))
        bar.update(len(rows))
    columns = {name: torch.cat([part[name] for part in parts]).double().cpu().numpy() for name in scores}
    binary = run.data.pixels == Pixels.BINARY
    own, usual = image_statistics(images, binary), image_statistics(run.data.train_subset.images, binary)
    if "complexity" in columns:
        density = math.log(256) * images[0].size if run.data.pixels == Pixels.DEQUANTIZED else 0
        columns["complexity"] += density - own["png_size"]
    columns = {name: infinite_unless_finite(values) for name, values in columns.items()}
    return columns | {name: np.abs(own[name] - usual[name].mean()) for name in BASELINES}


def marginal_scores(
    vae: VAE, batch: Batch, noise: Noise, scores: Mapping[str, Score], log_py: Tensor
) -> dict[str, Tensor]:
    """The scores (B,) of images without labels by a conditional model, from those of each label and log p(y) (labels,).

    Bounds of log p(x|y) become one of log p(x) = log sum_y p(y) p(x|y), the regret is the difference of two of these,
    and recon and kl are means over p(y|x).
    """
    each = {
        name: with_each_label(lambda vae, batch, score=score: score(vae, batch, noise), vae, batch, log_py)
        for name, score in ({"-elbo": negative_elbo} | dict(scores)).items()
    }
    bound, share = log_marginal(-each["-elbo"], log_py), label_posterior(-each["-elbo"], log_py)
    combine: dict[str, Callable[[Tensor], Tensor]] = {
        "regret": lambda regret: log_marginal(regret - each["-elbo"], log_py) - bound,
        **dict.fromkeys(("recon", "kl"), lambda nats: (share * nats).sum(0)),
        **dict.fromkeys(("-elbo", "nll", "complexity"), lambda nats: -log_marginal(-nats, log_py)),
    }
    return {name: combine[name](each[name]) for name in scores}


def score_sets(
    run: Run, sets: Mapping[str, np.ndarray], scores: Mapping[str, Mapping[str, Score]]
) -> dict[str, Columns]:
    """The scores of sets of prepared images, those that `scores` has for each set, by set."""
    sizes = {f"{name}, {len(images):,} images": len(images) for name, images in sets.items()}
    with tqdm(total=sum(sizes.values()), desc="scores", unit="image", disable=None, leave=False, delay=1) as bar:
        steps = zip(stages(sizes), sets.items(), strict=True)
        return {name: evaluate_scores(run, images, scores[name], bar) for _, (name, images) in steps}


def count_not_finite(name: str, columns: Columns) -> dict[str, int]:
    """Count the values of each score of a set that are not finite, for the scores that have any, and log a warning.

    Such values rank as the most anomalous.
    """
    counts = {score: int(np.isinf(values).sum()) for score, values in columns.items()}
    counts = {score: count for score, count in counts.items() if count}
    if counts:
        shares = ", ".join(f"{score} of {count:,}" for score, count in counts.items())
        size = len(next(iter(columns.values())))
        text = "%s: of %d images these scores are not finite and rank as the most anomalous: %s"
        log.warning(text, name, size, shares)
    return counts


def infinite_unless_finite(values: np.ndarray) -> np.ndarray:
    """Scores (N,) with infinity, the most anomalous, in place of those that are not finite."""
    return np.where(np.isfinite(values), values, np.inf)


def png_nats(images: np.ndarray, binary: bool) -> np.ndarray:
    """The length of each image (N, C, H, W) as a PNG file, in nats, (N,).

    Binary images of one channel are written with one bit a pixel, all others with bytes; images in [0, 1) as the levels
    that they were drawn from.
    """
    levels = images if images.dtype == np.uint8 else (images * 256).astype(np.uint8)
    binary = binary and levels.shape[1] == 1

    def size(image: np.ndarray) -> int:
        picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
        file = io.BytesIO()
        (picture.convert("1") if binary else picture).save(file, "PNG", optimize=True)
        return file.tell()

    return 8 * math.log(2) * np.array([size(image) for image in levels], dtype=float)


def image_statistics(images: np.ndarray, binary: bool) -> dict[str, np.ndarray]:
    """Statistics from which the baselines are computed, (N,) each.

    They are the mean intensity of images (N, C, H, W), from 0 to 1, and `png_nats`.
    """
    scale = 255 if images.dtype == np.uint8 else 1
    return {"mean_intensity": images.mean((1, 2, 3), dtype=float) / scale, "png_size": png_nats(images, binary)}


def detection(normal: np.ndarray, anomalous: np.ndarray) -> dict[str, float | Estimate | Interval]:
    """Measure how well a score separates anomalies, the positive class, from normal images.

    Values that are not finite rank highest.

    auroc: P(an anomaly scores above a normal image), ties counting half, with its standard error (DeLong et al., 1988);
        with a 95 % interval where that is 0, as for a perfect separation, or not known, of a single image
    aupr: average precision; chance gives the share of anomalies
    fpr95: the share of normal images that are flagged at the threshold that flags 95 % of the anomalies
    """
    from sklearn.metrics import average_precision_score, roc_curve

    normal, anomalous = infinite_unless_finite(normal), infinite_unless_finite(anomalous)
    truth = np.repeat([0, 1], [len(normal), len(anomalous)])
    # only the order counts, and scikit-learn rejects infinite scores
    score = np.unique(np.concatenate([normal, anomalous]), return_inverse=True)[1]
    fpr, tpr, _ = roc_curve(truth, score, drop_intermediate=False)
    auroc, se = float(share_below(anomalous, normal).mean()), 0.0
    if min(len(normal), len(anomalous)) > 1:
        pairs = ((normal, anomalous), (anomalous, normal))
        se = math.sqrt(sum(np.var(share_below(a, b), ddof=1) / len(a) for a, b in pairs))
    return {
        "auroc": Estimate(auroc, se) if se else auroc_interval(auroc, len(normal), len(anomalous)),
        "aupr": round(float(average_precision_score(truth, score)), 12),  # its sums are off by 1e-16
        "fpr95": float(fpr[np.argmax(tpr >= 0.95)]),
    }


def auroc_interval(auroc: float, normal: int, anomalous: int) -> Interval:
    """The 95 % interval of an AUROC of so many images: the values from which it is 1.96 standard errors or less away.

    The standard error is that of Hanley and McNeil (1982) at each value, not at the estimate, whose error is 0 for an
    AUROC of 1 (Newcombe, 2006, method 5).
    """
    from scipy.optimize import brentq

    mean_size = (normal + anomalous) / 2

    def excess(value: float) -> float:
        spread = (1 - value) / (2 - value) + value / (1 + value)
        variance = value * (1 - value) * (1 + (mean_size - 1) * spread) / (normal * anomalous)
        return (value - auroc) ** 2 - Z95**2 * variance

    # 0 and 1 themselves solve the equation, too
    low = brentq(excess, 0, min(auroc, 1 - EDGE)) if auroc > 0 else 0.0
    high = brentq(excess, max(auroc, EDGE), 1) if auroc < 1 else 1.0
    return Interval(auroc, low, high)


def chance(normal: int, anomalous: int) -> dict[str, float]:
    """What `detection` of so many images gives on average for a score that says nothing about them."""
    return {"auroc": 0.5, "aupr": anomalous / (normal + anomalous), "fpr95": 0.95}


def share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of `others` (M,) below each of `values` (N,), ties counting half; (N,)."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(others))
