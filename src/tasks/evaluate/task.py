"""Numbers that papers report on a VAE: bounds and estimates of log p(x), use of the code, and quality of samples."""

import logging
import math
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
from src.inference import importance, metrics, proposals
from src.support.files import atomic_path
from src.support.folders import ResultsFolder
from src.support.noise import BLOCK, Noise
from src.support.ranges import Several, Whole
from src.support.statistics import Estimate, Noted, estimate, estimate_by
from src.tasks.conditional import given_labels, mark_conditional
from src.tasks.evaluate import pictures
from src.tasks.evaluate.labels import of_labels
from src.tasks.evaluate.latents import latent_use, representation

ENCODER, MIXTURE = "the encoder's posterior", "a mixture made for each image"
CAPPED = 0.1  # nats below log N, from which on an estimate of the mutual information says no more than log N
Terms = dict[str, np.ndarray]

log = logging.getLogger(__name__)


def evaluate(
    run: Run,
    folder: Path,
    split: Literal["test", "val"],
    samples: Whole,
    images: Several | None,
    nll_images: Several | None,
    tight_images: Literal[0] | Several,
    precision: Literal["32-true", "bf16-mixed"],
    sample_quality: bool,
) -> dict[str, Any]:
    """Write evaluation.png, and terms.npz with recon, kl and the estimates of each image; return the numbers.

    All numbers are of the first `images` of a split, in nats per image:
    elbo, recon, kl   from one sample of each image, with the noise of the evaluation during training, so that they are
                      the same where that takes one sample too
    nll_K             -log p(x) from K = `samples` of the encoder's posterior: the number that papers report, which is
                      too high where the encoder misses an image's codes
    nll_tight         from as many samples of the mixture of proposals.py, made for each image, for the first
                      `tight_images`: the more reliable one. nll_K_same is nll_K of the same images, nll_tight_below
                      the difference of the two
    nll_K_all, nll_tight_all   of all images where these are of some alone: their mean ELBO, corrected by the mean
                      difference on these. With `nll_images` those are evenly spread over the split
    The median of the effective samples of both, and the share of images that have fewer than 20, follow; then those of
    `latent_use`, `reconstruction` and `representation`. Only the quality of samples is always measured against as many
    test images as there are. A hierarchy has no nll_tight and no `latent_use`, but the KL of each level. Bounds of a
    conditional model are of log p(x|y), have names that end in `given_label`, and are followed by `of_labels`.
    """
    chosen, grayscale = (getattr(source, split).take(slice(images)) for source in (run.data, run.data.source))
    terms: Terms = metrics.elbo_terms(run.vae, run.batches(chosen), Noise(run.seed))
    means, kl_per_dim = metrics.dimensions(run.vae, run.batches(chosen))
    curves: Terms = {}
    rows = evenly_spread_rows(len(chosen.images), nll_images or len(chosen.images))
    if samples:
        estimates, curves[ENCODER] = likelihood(run, chosen.take(rows), samples, precision)
        terms |= estimates
    if run.vae.levels and tight_images:
        log.info("note: nll_tight refines Gaussians over codes of one level, and is left out")
    if samples and tight_images and not run.vae.levels:
        some = chosen.take(rows[:tight_images])
        estimates, curves[MIXTURE] = likelihood(run, some, samples, precision, tight=True)
        terms |= estimates
    numbers = summary(terms, rows, samples)
    warn(numbers, samples)
    if run.data.pixels != Pixels.BINARY:
        numbers |= bits(numbers, run.data.pixels == Pixels.DEQUANTIZED, chosen.images[0].size)
    if run.vae.levels:
        kl_per_dim = terms["kl_per_level"].mean(0)
        numbers |= {"active_units": metrics.active_units(means)} | level_costs(terms)
    else:
        numbers |= latent_use(run, chosen, terms["kl"], means)
    numbers |= {} if run.vae.averages_draws else reconstruction(run, chosen, grayscale)
    numbers |= representation(run, means, chosen.labels)
    if sample_quality:
        numbers |= generation(run)
    numbers |= {name: Noted(numbers[name], note) for name, note in notes(numbers, terms, samples).items()}
    if run.vae.condition is not None:
        numbers = mark_conditional(run, numbers) | of_labels(run, chosen, terms["elbo"])
    caption = f"{len(chosen.images):,} {split} images of {run.config.data.name}"
    caption += given_labels(run)
    convergence = mean_curves(curves, samples) if curves else None
    part = "level" if run.vae.levels else "dimension"
    figure = pictures.evaluation(run.config.title, caption, convergence, kl_per_dim, part)
    write_image(figure, folder / "evaluation.png", scale=2)
    with atomic_path(ResultsFolder(folder).terms) as path:
        np.savez(path, index=np.arange(len(chosen.images)), nll_index=rows, **terms)
    return numbers


def likelihood(run: Run, images: Split, samples: int, precision: str, tight: bool = False) -> tuple[Terms, np.ndarray]:
    """Estimate -log p(x) by importance sampling, with a proposal made for each image if `tight`.

    Returns `nll` and `effective` samples of each image, (N,), with the suffix `_tight` if so; and nll_k of each image
    for the k of importance.ladder(K), (rungs, N).
    """
    noise, nll, effective, curves = Noise(run.seed), [], [], []
    for batch in progress(run, images, "nll_tight" if tight else f"nll_{samples}"):
        proposal = proposals.propose(run.vae, batch, noise).mixture if tight else None
        with torch.autocast(run.device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            log_w = importance.log_weights(run.vae, batch, samples, noise, proposal)
        nll.append(-importance.log_mean_weight(log_w))
        effective.append(importance.effective_samples(log_w))
        curves.append(importance.convergence(log_w))
    suffix = "_tight" if tight else ""
    return {f"nll{suffix}": concatenate(nll), f"effective{suffix}": concatenate(effective)}, concatenate(curves, 1)


def mean_curves(curves: Terms, samples: int) -> pictures.Convergence:
    """The means of nll_k (rungs, N) by proposal, over the images that all proposals have."""
    rungs, images = importance.ladder(samples), min(values.shape[1] for values in curves.values())
    nll = {name: values[:, :images].mean(1) for name, values in curves.items()}
    if MIXTURE in nll:  # an estimate from fewer samples than the mixture has strata leaves some of its components out
        nll[MIXTURE][[k < min(samples, len(proposals.ORDER)) for k in rungs]] = np.nan
    return pictures.Convergence(rungs, nll, images)


def summary(terms: Terms, rows: np.ndarray, samples: int) -> dict[str, Any]:
    """The means of the terms (N,) of each image with their standard errors; `rows` are the images of the estimates."""
    numbers: dict[str, Any] = {"images": len(terms["elbo"])}
    numbers |= {name: estimate(terms[name]) for name in ("elbo", "recon", "kl")}
    if "nll" in terms:
        numbers[f"nll_{samples}"] = estimate(terms["nll"])
        numbers |= importance.effective_summary(terms["effective"])
    if "nll_tight" in terms:
        same = terms["nll"][: len(terms["nll_tight"])]
        numbers["nll_tight"] = estimate(terms["nll_tight"])
        numbers[f"nll_{samples}_same"] = float(same.mean())
        numbers["nll_tight_below"] = estimate(same - terms["nll_tight"])
        effective = importance.effective_summary(terms["effective_tight"])
        numbers |= {f"nll_tight_{name}": value for name, value in effective.items()}
    for name, key in ((f"nll_{samples}", "nll"), ("nll_tight", "nll_tight")):
        if key in terms and len(terms[key]) < len(terms["elbo"]):
            numbers[f"{name}_all"] = estimate_by(terms[key], rows[: len(terms[key])], -terms["elbo"])
    return numbers


def level_costs(terms: Terms) -> dict[str, Estimate]:
    """The KL of each level of a hierarchy, `kl_level_1` that of the top."""
    return {f"kl_level_{i}": estimate(column) for i, column in enumerate(terms["kl_per_level"].T, start=1)}


def notes(numbers: dict[str, Any], terms: Terms, samples: int) -> dict[str, str]:
    """What the console says beside numbers: of which images an estimate is, and the cap of the mutual information."""
    beside = {}
    if "nll_tight" in terms:
        count, tight = len(terms["nll"]), len(terms["nll_tight"])
        same = f"the first {tight:,} of them" if tight < count else "the same images"
        beside |= dict.fromkeys((name for name in numbers if name.endswith("_all")), "by the ELBO of all images")
        beside[f"nll_{samples}"] = f"{count:,} images"
        beside |= dict.fromkeys(("nll_tight", f"nll_{samples}_same", "nll_tight_below"), same)
    if "mutual_information" in numbers:
        cap = numbers["mutual_information_cap"]
        is_capped = numbers["mutual_information"].mean > cap - CAPPED
        logarithm = f"log {math.exp(cap):,.0f} = {cap:.2f}"
        beside["mutual_information"] = (
            f"at its cap, {logarithm}: ..._at_most bounds it" if is_capped else f"at most {logarithm}"
        )
    return beside


def warn(numbers: dict[str, Any], samples: int) -> None:
    """Log a warning for each estimate of -log p(x) with few effective samples for too many images."""
    for name, prefix in ((f"nll_{samples}", ""), ("nll_tight", "nll_tight_")):
        share = numbers.get(f"{prefix}effective_samples_under_{importance.FEW}", 0.0)
        if share > importance.TOLERATED:
            tight_helps = not prefix and "nll_tight" in numbers
            remedy = "nll_tight is more reliable" if tight_helps else "task.samples raises it"
            log.warning(
                "%s: %.0f %% of the images have fewer than %d effective samples; for them it is too high in the mean; "
                "%s", name, 100 * share, importance.FEW, remedy,
            )  # fmt: skip


def progress(run: Run, images: Split, name: str) -> Iterable[Batch]:
    """Batches of as many images as share a noise generator, with a progress bar."""
    batches = run.batches(images, BLOCK)
    return tqdm(batches, name, unit=f"x{BLOCK} images", disable=None, leave=False, delay=1)


def concatenate(parts: list[Tensor], dim: int = 0) -> np.ndarray:
    """The tensors of all batches as one array."""
    return torch.cat(parts, dim).cpu().numpy()


def bits(numbers: dict[str, Any], density: bool, pixels: int) -> dict[str, float]:
    """The bound and the estimates of -log p(x) among `numbers`, in bits per pixel."""
    nats = {"elbo": -numbers["elbo"].mean}
    nats |= {name: value.mean for name, value in numbers.items() if re.fullmatch(r"nll_(\d+|tight)", name)}
    return {f"bits_per_dim_{name}": metrics.bits_per_dim(value, pixels, density) for name, value in nats.items()}


def reconstruction(run: Run, images: Split, grayscale: Split) -> dict[str, Estimate]:
    """Mean squared error and structural similarity (SSIM) of reconstructions and the original images, levels in [0, 1].

    images: as the likelihood needs them; grayscale: the same images before binarisation or dequantisation
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    squares, similarities = [], []
    for batch in run.batches(images):
        target = as_input(torch.from_numpy(grayscale.images[batch.index.cpu().numpy()])).to(batch.x)
        mean = run.vae.given(batch.y).reconstruct(batch.x).clamp(0, 1)
        squares.append((mean - target).square().flatten(1).mean(1))
        window = min(11, *(side - 1 + side % 2 for side in mean.shape[-2:]))  # odd, and no larger than the image
        similarities.append(
            structural_similarity_index_measure(
                mean, target, gaussian_kernel=False, kernel_size=window, data_range=1.0, reduction="none"
            )
        )
    return {"reconstruction_mse": estimate(concatenate(squares)), "ssim": estimate(concatenate(similarities))}


def generation(run: Run) -> dict[str, Any]:
    """The quality of samples from the prior, beside that of training images (src/evaluation/quality.py)."""
    if why := quality.obstacle(run):
        return {"sample quality": f"not measured: {why}"}
    samples = samplers.generate(run, samplers.prior(run), quality.count(run), "prior")
    labels = None if run.vae.condition is None else samples.labels
    return quality.sample_quality(run, samples.means, samples.draws, labels)
