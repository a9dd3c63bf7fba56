"""Anomaly scores: how unlike its training images a VAE finds an image, in nats; and how well they tell anomalies.

Larger is more anomalous, and infinite where a score is no finite number, NaN or of either sign: on an image that makes
the model overflow it has no more to say than that it is unlike all others. The baselines know two means of the training
images, and nothing of the VAE.
"""

import io
import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from src.build import Run
from src.data.pixels import Pixels, as_input
from src.inference.importance import elbo, nll, refine
from src.inference.proposals import propose
from src.models.gaussians import DiagonalGaussian
from src.models.vae import VAE
from src.support import noise
from src.training.objectives import draw

SCORES = ("-elbo", "nll", "recon", "kl", "regret", "complexity")
BASELINES = ("mean_intensity", "png_size")
DRAWS = 8  # codes an image that recon, the ELBO and the regret are averaged over
CHUNK = 125  # images at once: with the samples of `refine`, what stays in a processor's cache

Columns = dict[str, np.ndarray]


def evaluated(run: Run, images: np.ndarray, names: Sequence[str], samples: int, steps: int, bar: tqdm) -> Columns:
    """The scores `names` of images (N, C, H, W) that are prepared for the run, then the baselines; (N,) each, float64,
    finite or infinite.

    png_size and mean_intensity are distances from the mean of the run's training images: a file may be too short
    """
    everything, found = torch.from_numpy(images), []
    for rows in torch.arange(len(images)).split(CHUNK):
        x = as_input(everything[rows].to(run.device))
        found.append(scores(run.vae, x, rows, names, run.seed, samples, steps))
        bar.update(len(rows))
    columns = {name: torch.cat([part[name] for part in found]).double().cpu().numpy() for name in names}
    binary = run.data.pixels == Pixels.BINARY
    plain, usual = simple(images, binary), simple(run.data.train_subset.images, binary)
    if "complexity" in columns:
        density = math.log(256) * images[0].size if run.data.pixels == Pixels.DEQUANTIZED else 0
        columns["complexity"] += density - plain["png_size"]
    columns = {name: most_where_not_finite(values) for name, values in columns.items()}
    return columns | {name: np.abs(plain[name] - usual[name].mean()) for name in BASELINES}


def most_where_not_finite(values: np.ndarray) -> np.ndarray:
    """Scores (N,) with infinity, the most anomalous, in place of what is no finite number."""
    return np.where(np.isfinite(values), values, np.inf)


@torch.no_grad()
def scores(
    vae: VAE, x: Tensor, index: Tensor, names: Sequence[str], seed: int, samples: int, steps: int
) -> dict[str, Tensor]:
    """Those of SCORES among `names` of images x (B, C, H, W), (B,) each; index (B,) gives their noise its address.

    -elbo: recon + kl, from DRAWS codes
    nll: -log p(x), from `samples` codes of the mixture of proposals.py, refined for the image by `steps`: of an
        image unlike the training's the encoder's posterior alone makes it hundreds of nats too high
    regret: by how much the ELBO grows, with the same noise, when q is refined for the image by `steps` of Adam: the
        likelihood regret (Xiao et al., 2020), which refines the encoder's weights instead. In place of a flow it is a
        Gaussian that is refined, so the regret may be below zero
    complexity: -elbo, from which `evaluated` takes the length of the image's file (Serra et al., 2020)
    """
    drawn = noise.normal(noise.seed_of(seed, "scores"), index, (DRAWS, vae.latent_dim)).transpose(0, 1).to(x)
    terms = draw(vae, x, drawn)
    recon, kl = terms.recon(), terms.kl("closed")
    found = {"-elbo": recon + kl, "recon": recon, "kl": kl, "complexity": recon + kl}
    if "nll" in names:
        found["nll"] = nll(vae, x, index, samples, seed, propose(vae, x, index, seed, steps).mixture)[0]
    if "regret" in names:
        richer = not isinstance(terms.q, DiagonalGaussian)
        found["regret"] = elbo(vae, x, refine(vae, x, index, seed, steps, full=richer), drawn) + recon + kl
    return {name: found[name] for name in names}


def png_nats(images: np.ndarray, binary: bool) -> np.ndarray:
    """The length of each image (N, C, H, W) as a PNG file, in nats (N,): one bit a pixel for `binary` ones of one
    channel, else bytes; images in [0, 1) as the levels that they were drawn from."""
    levels = images if images.dtype == np.uint8 else (images * 256).astype(np.uint8)
    binary = binary and levels.shape[1] == 1

    def size(image: np.ndarray) -> int:
        picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
        file = io.BytesIO()
        (picture.convert("1") if binary else picture).save(file, "PNG", optimize=True)
        return file.tell()

    return 8 * math.log(2) * np.array([size(image) for image in levels], dtype=float)


def simple(images: np.ndarray, binary: bool) -> dict[str, np.ndarray]:
    """What the baselines look at, (N,) each: the mean intensity of images (N, C, H, W) in 0 to 1, and `png_nats`."""
    scale = 255 if images.dtype == np.uint8 else 1
    return {"mean_intensity": images.mean((1, 2, 3), dtype=float) / scale, "png_size": png_nats(images, binary)}


def detection(normal: np.ndarray, anomalous: np.ndarray) -> dict[str, float]:
    """How well a score tells anomalies, the positive class, from normal images; what is not finite ranks highest.

    auroc: P(an anomaly scores above a normal image), ties counting half, with its standard error (DeLong et al., 1988)
    aupr: average precision; chance gives the share of anomalies
    fpr95: the share of normal images that are flagged where 95 % of the anomalies are
    """
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    normal, anomalous = most_where_not_finite(normal), most_where_not_finite(anomalous)
    truth = np.repeat([0, 1], [len(normal), len(anomalous)])
    # the order alone counts, and scikit-learn takes no infinity
    score = np.unique(np.concatenate([normal, anomalous]), return_inverse=True)[1]
    fpr, tpr, _ = roc_curve(truth, score, drop_intermediate=False)
    spread = [np.var(below(a, b), ddof=1) / len(a) for a, b in ((normal, anomalous), (anomalous, normal))]
    return {
        "auroc": roc_auc_score(truth, score),
        "auroc_se": math.sqrt(sum(spread)),
        "aupr": average_precision_score(truth, score),
        "fpr95": fpr[np.argmax(tpr >= 0.95)],
    }


def below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of `others` (M,) below each of `values` (N,), ties counting half; (N,)."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(others))
