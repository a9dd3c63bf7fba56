"""What papers report of a VAE: bounds and estimates of log p(x), use of the code, quality of what it makes."""

import contextlib
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from src.build import Run
from src.data.batches import Batch
from src.data.pixels import Pixels, as_input
from src.data.selection import evenly_spread_rows
from src.data.sources import Split
from src.evaluation import quality, samplers
from src.figures.animation import write_image
from src.inference import aggregate, decomposition, importance, metrics, proposals
from src.models.divergences import factors
from src.support import noise
from src.support.files import whole
from src.support.folders import ResultsFolder
from src.support.ranges import Several, Whole
from src.tasks.evaluate import pictures as evaluation

AGGREGATE = 5000  # images, evenly spread, whose posteriors make up the aggregate posterior
FITTED = 20_000  # codes of training images, evenly spread, that a density is fitted to
MIXTURE = "a mixture made for each image"
Terms = dict[str, np.ndarray]

log = logging.getLogger(__name__)


def evaluate(
    run: Run,
    folder: Path,
    split: Literal["test", "val"],
    samples: Whole,
    images: Several | None,
    tight_images: Literal[0] | Several,
    precision: Literal["32-true", "bf16-mixed"],
    sample_quality: bool,
) -> dict[str, Any]:
    """Leaves evaluation.png, and terms.npz with recon, kl and estimates of each image; returns the numbers.

    All are of the first `images` of a split, in nats per image:
    elbo, recon, kl   from one sample an image: the noise of the evaluation in training, where that takes one too
    nll_K             -log p(x) from K = `samples` of the encoder's posterior: the number that papers report, which is
                      too high where the encoder misses an image's codes
    nll_tight         from as many of the mixture of proposals.py, made for each image, on `tight_images` of them:
                      the one to trust; nll_K_same is nll_K on these, nll_tight_below how far it is above
    of each of the two the median of the effective samples, and the share of images that have fewer than 20
    and those of `latent`: what the code says of the image, and the total correlation of its dimensions
    but for the quality of samples, which are always compared with as many test images as there are.
    """
    chosen, greys = (getattr(source, split).take(slice(images)) for source in (run.data, run.data.source))
    terms = metrics.elbo_terms(run.vae, run.batches(chosen), run.seed)
    codes, per_dim = metrics.dimensions(run.vae, run.batches(chosen))
    curves: Terms = {}
    if samples:
        found, curves["the encoder's posterior"] = likelihood(run, chosen, samples, precision)
        terms |= found
    if samples and tight_images:
        few = chosen.take(slice(tight_images))
        found, curves[MIXTURE] = likelihood(run, few, samples, precision, tight=True)
        terms |= found
    numbers = summary(terms, samples)
    warn(numbers, samples)
    if run.data.pixels != Pixels.BINARY:
        numbers |= bits(numbers, run.data.pixels == Pixels.DEQUANTIZED, chosen.images[0].size)
    numbers |= latent(run, chosen, terms["kl"], codes) | reconstruction(run, chosen, greys)
    numbers |= representation(run, codes, chosen.labels)
    if sample_quality:
        numbers |= generation(run)
    shown = min((values.shape[1] for values in curves.values()), default=0)  # the images that all curves have
    means = {name: values[:, :shown].mean(1) for name, values in curves.items()}
    if "nll_tight" in terms:  # fewer samples than the strata of a mixture are no estimate with it
        means[MIXTURE][[k < min(samples, len(proposals.ORDER)) for k in importance.ladder(samples)]] = np.nan
    caption = f"{len(chosen.images):,} {split} images of {run.config.data.name}"
    figure = evaluation.draw(run.config.title, caption, importance.ladder(samples), means, shown, per_dim)
    write_image(figure, folder / "evaluation.png", scale=2)
    with whole(ResultsFolder(folder).terms) as path:
        np.savez(path, index=np.arange(len(chosen.images)), **terms)
    return numbers


def likelihood(run: Run, images: Split, samples: int, precision: str, tight: bool = False) -> tuple[Terms, np.ndarray]:
    """nll and effective samples of each image (N,), and its nll_k for k of importance.ladder(K), (rungs, N); `tight`
    ones with a proposal made for each image."""
    nll, effective, curves = [], [], []
    for batch in progress(run, images, "nll_tight" if tight else f"nll_{samples}"):
        proposal = proposals.propose(run.vae, batch.x, batch.index, run.seed).mixture if tight else None
        with torch.autocast(run.device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            log_w = importance.log_weights(run.vae, batch.x, batch.index, samples, run.seed, proposal)
        nll.append(importance.nll_of(log_w))
        effective.append(importance.effective_samples(log_w))
        curves.append(importance.convergence(log_w))
    kind = "_tight" if tight else ""
    return {f"nll{kind}": joined(nll), f"effective{kind}": joined(effective)}, joined(curves, 1)


def summary(terms: Terms, samples: int) -> dict[str, float]:
    """The means of the terms (N,) of each image, and their standard errors."""
    numbers: dict[str, float] = {"images": len(terms["elbo"])}
    for name in ("elbo", "recon", "kl"):
        numbers |= metrics.estimate(name, terms[name])
    if "nll" in terms:
        numbers |= metrics.estimate(f"nll_{samples}", terms["nll"])
        numbers |= importance.effective_summary(terms["effective"])
    if "nll_tight" in terms:
        same = terms["nll"][: len(terms["nll_tight"])]
        numbers |= metrics.estimate("nll_tight", terms["nll_tight"])
        numbers[f"nll_{samples}_same"] = float(same.mean())
        numbers |= metrics.estimate("nll_tight_below", same - terms["nll_tight"])
        tight = importance.effective_summary(terms["effective_tight"])
        numbers |= {f"nll_tight_{name}": value for name, value in tight.items()}
    return numbers


def warn(numbers: dict[str, float], samples: int) -> None:
    """Says on the console which estimate rests on few effective samples for too many images."""
    for name, kind in ((f"nll_{samples}", ""), ("nll_tight", "nll_tight_")):
        few = numbers.get(f"{kind}effective_samples_under_{importance.FEW}", 0.0)
        if few > importance.TOLERATED:
            trust = (
                "; nll_tight is more reliable" if not kind and "nll_tight" in numbers else "; task.samples raises it"
            )
            log.warning(
                "%s: %.0f %% of the images have fewer than %d effective samples; for them it is too high in the mean%s",
                name, 100 * few, importance.FEW, trust,
            )  # fmt: skip


def progress(run: Run, images: Split, name: str) -> Iterable[Batch]:
    """Batches of as many images as share their noise, with a bar that tells the time left."""
    batches = run.batches(images, noise.BLOCK)
    return tqdm(batches, name, unit=f"x{noise.BLOCK} images", disable=None, leave=False, delay=1)


def joined(parts: list[Tensor], dim: int = 0) -> np.ndarray:
    """The parts of batches in one array."""
    return torch.cat(parts, dim).cpu().numpy()


def bits(numbers: dict[str, float], density: bool, pixels: int) -> dict[str, float]:
    """What the bound and the estimates of log p(x) among `numbers` come to, in bits a pixel."""
    nats = {"elbo": -numbers["elbo"]} | {k: v for k, v in numbers.items() if re.fullmatch(r"nll_(\d+|tight)", k)}
    return {f"bits_per_dim_{name}": metrics.bits_per_dim(value, pixels, density) for name, value in nats.items()}


@torch.no_grad()
def latent(run: Run, images: Split, kl: np.ndarray, means: np.ndarray) -> dict[str, Any]:
    """What the code says of the image: active units, mutual information, aggregate posterior and total correlation,
    the last three from both sides as src/inference/aggregate.py says, from AGGREGATE images; nats.

    r is a mixture of Gaussians fitted to codes of training images. total_correlation is a bound from below;
    total_correlation_gaussian is what correlations make by themselves; total_correlation_at_most is one from above,
    which reads total_correlation_at_most_if_independent when the dimensions are shuffled over the images, so that the
    true one is 0: the estimate of `objective=beta_tc`, from a batch, is of this kind, and higher.
    """
    rows = evenly_spread_rows(len(images.images), AGGREGATE)
    few, kl = images.take(rows), kl[rows]
    x = torch.cat([batch.x for batch in run.batches(few)])
    q, p, found = run.vae.encode(x), run.vae.prior(), {"active_units": metrics.active_units(means)}
    z, log_q = q.rsample_and_log_prob(noise.normal(run.seed, torch.arange(len(x)), (run.vae.latent_dim,)).to(x))
    log_qz = None
    with contextlib.suppress(TypeError):  # a flow knows the density of its own samples alone
        log_qz = metrics.aggregate_log_prob(q, z)
    train, codes = samplers.codes(run).double().cpu().numpy(), z.double().cpu().numpy()
    train = train[evenly_spread_rows(len(train), FITTED)]  # the first are of the first training images alone
    gain = decomposition.fitted(train, run.seed).score_samples(codes) - p.log_prob(z).double().cpu().numpy()
    said = None if log_qz is None else (log_q.double() - log_qz).cpu().numpy()
    found |= aggregate.information(kl, gain, said)
    dependence, at_most = aggregate.dependence(train, codes, run.seed), {}
    with contextlib.suppress(TypeError):  # of a prior that is no product its KL is no bound
        factors(q, p)
        at_most["total_correlation_at_most"] = found["aggregate_kl_at_most"]
    if log_qz is not None and len(x) > 1:
        least = min(at_most.get("total_correlation_at_most", np.inf), aggregate.dependence_at_most(q, z, log_qz))
        mixed, shuffled = aggregate.shuffled(q, z, run.seed)
        none = aggregate.dependence_at_most(mixed, shuffled, metrics.aggregate_log_prob(mixed, shuffled))
        at_most = {"total_correlation_at_most": least, "total_correlation_at_most_if_independent": none}
    found |= aggregate.bounded("total_correlation", dependence.least, at_most.get("total_correlation_at_most", np.inf))
    return found | {"total_correlation_gaussian": dependence.gaussian} | at_most


def reconstruction(run: Run, images: Split, greys: Split) -> dict[str, float]:
    """Mean squared error and structural similarity of reconstructions and grey images, in units of the grey range."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    squares, similar = [], []
    for batch in run.batches(images):
        grey = as_input(torch.from_numpy(greys.images[batch.index.cpu().numpy()])).to(batch.x)
        mean = run.vae.reconstruct(batch.x).clamp(0, 1)
        squares.append((mean - grey).square().flatten(1).mean(1))
        window = min(11, *(side - 1 + side % 2 for side in mean.shape[-2:]))  # odd, and no larger than the image
        similar.append(
            structural_similarity_index_measure(
                mean, grey, gaussian_kernel=False, kernel_size=window, data_range=1.0, reduction="none"
            )
        )
    return metrics.estimate("reconstruction_mse", joined(squares)) | metrics.estimate("ssim", joined(similar))


def representation(run: Run, means: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """What posterior means (N, D) know of the classes (N,): accuracy of a linear probe and of 10 neighbours, fitted to
    the training images; of k-means with as many clusters as classes, the agreement with them. Nothing where there is
    one class."""
    if len(np.unique(truth)) < 2:
        return {}
    from sklearn.cluster import KMeans
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.neighbors import KNeighborsClassifier

    codes, labels = run.codes(run.train), run.train.labels
    centre, spread = codes.mean(0), codes.std(0) + 1e-6
    codes, own = (codes - centre) / spread, (means - centre) / spread
    probe = LogisticRegression(max_iter=500).fit(codes, labels)
    near = KNeighborsClassifier(min(10, len(codes))).fit(codes, labels)
    clusters = KMeans(len(np.unique(labels)), n_init=5, random_state=run.seed).fit(codes).predict(own)
    return {
        "linear_probe_accuracy": float(probe.score(own, truth)),
        "knn_accuracy": float(near.score(own, truth)),
        "clusters_nmi": float(normalized_mutual_info_score(truth, clusters)),
        "clusters_ari": float(adjusted_rand_score(truth, clusters)),
    }


def generation(run: Run) -> dict[str, Any]:
    """The quality of samples from the prior, beside that of training images: src/evaluation/quality.py."""
    if why := quality.obstacle(run):
        return {"sample quality": f"not measured: {why}"}
    made = samplers.generate(run, samplers.prior(run), quality.count(run), "prior")
    return quality.sample_quality(run, made.means, made.draws)
