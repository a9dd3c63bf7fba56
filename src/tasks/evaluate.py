"""What papers report of a VAE: bounds and estimates of log p(x), use of the code, quality of what it makes."""

import contextlib
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from src import decomposition, importance, metrics, noise, quality, samplers
from src.build import Run
from src.data import Batch, as_input, evenly
from src.distributions import FullGaussian
from src.errors import UserError
from src.figures import evaluation
from src.figures.animation import write_still
from src.files import whole
from src.sources import Split
from src.tasks import check_counts, check_truths

WIDER = 1.2  # the proposal's scale over that of the refined posterior, whose tails are too light
AGGREGATE = 5000  # images, evenly spread, whose posteriors make up the aggregate posterior
FITTED = 20_000  # codes of training images, evenly spread, that a density is fitted to
Terms = dict[str, np.ndarray]


def evaluate(
    run: Run,
    folder: Path,
    split: Literal["test", "val"],
    samples: int,
    images: int | None,
    tight_images: int,
    precision: Literal["32-true", "bf16-mixed"],
    sample_quality: bool,
) -> dict[str, Any]:
    """Leaves evaluation.png, and terms.npz with recon, kl and estimates of each image; returns the numbers.

    All are of the first `images` of a split, in nats per image:
    elbo, recon, kl   from one sample an image: the noise of the evaluation in training, where that takes one too
    nll_K             -log p(x) from K = `samples` of the encoder's posterior; how many of them are effective
    nll_tight         from as many of a full Gaussian that is refined for each image, on `tight_images` of them;
                      nll_K_same is nll_K on these, nll_tight_below how far it is above
    but for the quality of samples, which are always compared with as many test images as there are.
    """
    check(split, samples, images, tight_images, precision)
    check_truths(sample_quality=sample_quality)
    chosen, greys = (first(getattr(source, split), images) for source in (run.data, run.data.source))
    terms = metrics.elbo_terms(run.vae, run.batches(chosen), run.seed)
    codes, per_dim = metrics.dimensions(run.vae, run.batches(chosen))
    curves: Terms = {}
    if samples:
        found, curves["encoder's posterior"] = likelihood(run, chosen, samples, precision)
        terms |= found
    if samples and tight_images:
        few = first(chosen, tight_images)
        terms["nll_tight"], curves["refined for each image"] = tight(run, few, samples, precision)
    numbers = summary(terms, samples)
    if run.data.pixels != "binary":
        numbers |= bits(numbers, run.data.pixels == "dequantized", chosen.images[0].size)
    numbers |= latent(run, chosen, terms["kl"], codes) | reconstruction(run, chosen, greys)
    numbers |= representation(run, codes, chosen.labels)
    if sample_quality:
        numbers |= generation(run)
    shown = min((values.shape[1] for values in curves.values()), default=0)  # the images that all curves have
    means = {name: values[:, :shown].mean(1) for name, values in curves.items()}
    caption = f"{len(chosen.images):,} {split} images of {run.config.data.name}"
    figure = evaluation.draw(run.config.title, caption, importance.ladder(samples), means, shown, per_dim)
    write_still(figure, folder / "evaluation.png", scale=2)
    with whole(folder / "terms.npz") as path:
        np.savez(path, index=np.arange(len(chosen.images)), **terms)
    return numbers


def first(split: Split, count: int | None) -> Split:
    """The first `count` images; with None all."""
    return Split(split.images[:count], split.labels[:count])


def check(split: str, samples: int, images: int | None, tight_images: int, precision: str) -> None:
    """Raises UserError for an option out of range."""
    if split not in ("test", "val"):
        raise UserError(f"task.split must be test or val, got {split}")
    counts = [("samples", samples, 1), ("images", images, 2)]
    for name, value, least in [*counts, *([("tight_images", tight_images, 2)] if samples else [])]:
        none = None if name == "images" else 0
        if value != none and (type(value) is not int or value < least):
            given = "null" if none is None else none
            raise UserError(f"task.{name} must be {given} or a whole number, {least} or more, got {value}")
        if value != none:
            check_counts(**{name: (value, least)})
    if samples and precision not in ("32-true", "bf16-mixed"):
        raise UserError(f"task.precision must be 32-true or bf16-mixed, got {precision}")


def likelihood(run: Run, images: Split, samples: int, precision: str) -> tuple[Terms, np.ndarray]:
    """nll and effective samples of each image (N,), and its nll_k for k of importance.ladder(K), (rungs, N)."""
    nll, effective, curves = [], [], []
    for batch in progress(run, images, f"nll_{samples}"):
        with torch.autocast(run.device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            log_w = importance.log_weights(run.vae, batch.x, batch.index, samples, run.seed)
        nll.append(importance.nll_of(log_w))
        effective.append(importance.effective_samples(log_w))
        curves.append(importance.convergence(log_w))
    return {"nll": joined(nll), "effective": joined(effective)}, joined(curves, 1)


def tight(run: Run, images: Split, samples: int, precision: str) -> tuple[np.ndarray, np.ndarray]:
    """nll of each image (N,) from a proposal of its own, and its nll_k likewise."""
    nll, curves = [], []
    for batch in progress(run, images, "nll_tight"):
        q = importance.refine(run.vae, batch.x, batch.index, run.seed, full=True)
        proposal = FullGaussian(q.loc, WIDER * q.scale_tril)
        with torch.autocast(run.device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            log_w = importance.log_weights(run.vae, batch.x, batch.index, samples, run.seed, proposal)
        nll.append(importance.nll_of(log_w))
        curves.append(importance.convergence(log_w))
    return joined(nll), joined(curves, 1)


def summary(terms: Terms, samples: int) -> dict[str, float]:
    """The means of the terms (N,) of each image, and their standard errors."""
    numbers: dict[str, float] = {"images": len(terms["elbo"])}
    for name in ("elbo", "recon", "kl"):
        numbers |= metrics.estimate(name, terms[name])
    if "nll" in terms:
        numbers |= metrics.estimate(f"nll_{samples}", terms["nll"])
        numbers["effective_samples"] = float(np.median(terms["effective"]))
    if "nll_tight" in terms:
        same = terms["nll"][: len(terms["nll_tight"])]
        numbers |= metrics.estimate("nll_tight", terms["nll_tight"])
        numbers[f"nll_{samples}_same"] = float(same.mean())
        numbers |= metrics.estimate("nll_tight_below", same - terms["nll_tight"])
    return numbers


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
    """What the code says of the image: active units, mutual information and aggregate posterior, in nats.

    I(x; z) = E[KL(q(z|x), p)] - KL(q(z), p). The estimate from N posteriors is a lower bound of I and at most log N, so
    it bounds KL(q(z), p) from above; what a density fitted to codes of training images reaches on these codes bounds
    KL(q(z), p) from below, and I from above.
    """
    rows = evenly(len(images.images), AGGREGATE)
    few, kl = Split(*(array[rows] for array in images)), kl[rows]
    x = torch.cat([batch.x for batch in run.batches(few)])
    q, found = run.vae.encode(x), {"active_units": metrics.active_units(means)}
    z, log_q = q.rsample_and_log_prob(noise.normal(run.seed, torch.arange(len(x)), (run.vae.latent_dim,)).to(x))
    with contextlib.suppress(TypeError):  # a flow knows the density of its own samples alone
        information = metrics.mutual_information(q, z, log_q).cpu().numpy()
        found |= metrics.estimate("mutual_information", information)
        found["mutual_information_cap"] = math.log(len(x))
        found["aggregate_kl_at_most"] = float(kl.mean() - information.mean())
    codes = samplers.codes(run)
    codes = codes[evenly(len(codes), FITTED)]  # the first are of the first training images alone
    density = decomposition.fitted(codes.double().cpu().numpy(), run.seed)
    gain = density.score_samples(z.double().cpu().numpy()) - run.vae.prior().log_prob(z).double().cpu().numpy()
    found |= metrics.estimate("aggregate_kl_at_least", gain)
    found["mutual_information_at_most"] = float(kl.mean() - found["aggregate_kl_at_least"])
    return found


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
    """The quality of samples from the prior, beside that of training images: src/quality.py."""
    if why := quality.unmeasurable(run):
        return {"sample quality": f"not measured: {why}"}
    made = samplers.generate(run, samplers.prior(run), quality.count(run), "prior")
    return quality.sample_quality(run, made.means, made.draws)
