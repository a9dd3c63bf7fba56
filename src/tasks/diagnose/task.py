"""How many nats each part of a run costs, which options reduce it, and whether its probabilities are calibrated."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from src.build import Run
from src.config.names import option_name
from src.data.batches import Batch
from src.data.pixels import Pixels, as_input
from src.data.selection import random_rows
from src.data.sources import Split
from src.evaluation.samplers import draw_labels
from src.figures.animation import write_image
from src.inference.calibration import Reliability, coverage, p_values, ranks, reliability
from src.inference.decomposition import (
    Bounds,
    best_code_cost,
    bounds,
    clip_parts,
    fit_mixture,
    noise_floor,
    posterior_codes,
    prior_gain,
)
from src.inference.importance import FEW, TOLERATED, effective_summary
from src.inference.metrics import ACTIVE, elbo_terms
from src.support.errors import UserError
from src.support.files import atomic_path
from src.support.noise import Noise
from src.support.ranges import Count, Several
from src.support.statistics import Estimate, estimate
from src.tasks.conditional import given_labels, mark_conditional
from src.tasks.diagnose.pictures import calibration, waterfall

AT_ONCE = 50  # images whose posteriors are refined together
CODES = 20_000  # training images, at most, whose codes represent the aggregate posterior
EVALUATED = 10_000  # images of each split, at most, whose ELBOs are compared to measure overfitting
COUNTED = 2_000  # validation images, at most, whose pixels the reliability diagram counts
SIGNIFICANT = 0.05  # level of a test, to be divided by the number of dimensions that are tested
ORDER = ("noise_floor", "decoder", "code", "prior", "posterior", "family", "amortisation")

log = logging.getLogger(__name__)


def diagnose(
    run: Run, folder: Path, count: Several, samples: Count, steps: Count, simulations: Annotated[Count, Ge(100)]
) -> dict[str, Any]:
    """Measure the parts of -ELBO in nats per image (decomposition.py), and name the options that reduce each.

    The parts are means over `count` validation images. Below their sum, `overfitting` is the ELBO of training images
    minus that of validation images. Writes nats.png, calibration.png, and parts.npz with the parts of each image.

    coverage_90: the share of true codes in the central 90 % of q, for images drawn from the model
    dimensions_off: the number of active dimensions with ranks that are not uniform
    calibration_error: the error of the pixels' probabilities, for binary images only, whose pixels are independent
    """
    train, val = run.train, run.data.val
    if run.vae.levels:
        raise UserError(
            "task=diagnose needs codes of one level, and this run has a hierarchy: task=evaluate measures it"
        )
    if len(val.images) < 2:
        raise UserError("task=diagnose needs two validation images or more, and there is one: train with more images")
    rows = random_rows(len(val.images), count, run.seed, "diagnosed")
    parts, effective = elbo_parts(run, train, rows, samples, steps)
    table: dict[str, dict[str, Any]] = {name: {"nats": estimate(nats)} for name, nats in parts.items()}
    table["total"] = {"nats": estimate(sum(parts.values()))}
    table["overfitting"] = {"nats": overfitting(run, train)}
    for name, option in remedies(run.config).items():
        if name in table:
            table[name]["attacked_by"] = option
    numbers = table | {"images": len(rows)} | effective_summary(effective)
    if (share := (effective < FEW).mean()) > TOLERATED:
        log.warning(
            "%.0f %% of the images have fewer than %d effective samples: what their posteriors lose is too small; "
            "raise task.samples", 100 * share, FEW,
        )  # fmt: skip

    active = active_dimensions(run)
    active_ranks = ranks(run.vae, draw_labels(run, simulations, "calibration"), Noise(run.seed))[:, active]
    numbers["coverage_90"] = estimate(coverage(active_ranks))
    off = int((p_values(active_ranks) < SIGNIFICANT / len(active)).sum())
    numbers["dimensions_off"] = f"{off} of {len(active)}"
    pixels = pixel_reliability(run) if has_pixel_probabilities(run) else None
    if pixels is not None:
        numbers["calibration_error"] = pixels.error()
    images = f"{len(rows)} validation images{given_labels(run)}"
    caption = f"{images}, nats per image; total and parts over the same images, ± standard error"
    write_image(waterfall(run.config.title, caption, table), folder / "nats.png", scale=1)
    page = calibration(run.config.title, active_ranks, active, numbers["coverage_90"], pixels)
    write_image(page, folder / "calibration.png", scale=1)
    with atomic_path(folder / "parts.npz") as partial:
        np.savez(partial, index=rows, effective_samples=effective, **parts)
    return mark_conditional(run, numbers)


def elbo_parts(
    run: Run, train: Split, rows: np.ndarray, samples: int, steps: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The parts of -ELBO of the validation images `rows`, which sum to it, (N,) nats each.

    Also returns how many samples of each estimate of log p(x) are effective, (N,).
    """
    density = fit_mixture(training_codes(run, train), run.seed)
    grayscale = as_input(torch.from_numpy(run.data.source.val.images[rows]))
    batches, parts = run.batches(run.data.val.take(rows), AT_ONCE), []
    for batch in progress(batches, "images"):
        estimates = bounds(run.vae, batch, Noise(run.seed), samples, steps)
        columns = batch_parts(run, density, batch, grayscale[batch.index.cpu()].to(batch.x), estimates)
        parts.append({name: values.detach().double().cpu().numpy() for name, values in columns.items()})
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    effective, total = columns.pop("effective"), columns.pop("total")
    columns = clip_parts(columns)
    columns["code"] = total - sum(columns.values())
    return {name: columns[name] for name in ORDER if name in columns}, effective


def batch_parts(run: Run, density: Any, batch: Batch, grayscale: Tensor, estimates: Bounds) -> dict[str, Tensor]:
    """All parts but `code`, their `total`, and how many samples are `effective`, (B,) each.

    Family and amortisation are one part, `posterior`, where the posterior's family cannot be refined.

    density: fitted to codes of training images; grayscale: the images before binarisation
    """
    parts = {}
    if has_pixel_probabilities(run):
        parts["decoder"] = best_code_cost(run.vae, batch, grayscale)
        parts["noise_floor"] = noise_floor(grayscale)
        parts["decoder"] = parts["decoder"] - parts["noise_floor"]
    else:
        parts["decoder"] = best_code_cost(run.vae, batch, batch.x)
    parts["prior"] = prior_gain(density, run.vae, batch, Noise(run.seed))
    if estimates.refined is None:
        parts["posterior"] = estimates.encoder - estimates.nll
    else:
        parts["family"] = estimates.refined - estimates.nll
        parts["amortisation"] = estimates.encoder - estimates.refined
    return parts | {"total": estimates.encoder, "effective": estimates.effective}


def has_pixel_probabilities(run: Run) -> bool:
    """Whether the mean of p(x|z) is the probability of each binary pixel, whatever the others are."""
    return run.data.pixels == Pixels.BINARY and not run.vae.averages_draws


def training_codes(run: Run, train: Split) -> np.ndarray:
    """One sample of the posterior of each of at most CODES training images, (N, D)."""
    batches = run.batches(train.take(random_rows(len(train.images), CODES, run.seed, "codes")))
    codes = [posterior_codes(run.vae, batch, Noise(run.seed), 1)[0] for batch in progress(batches, "training codes")]
    return torch.cat(codes).double().cpu().numpy()


def overfitting(run: Run, train: Split) -> Estimate:
    """The mean ELBO of training images minus that of as many validation images; an unpaired difference."""
    size, elbos = min(EVALUATED, len(train.images), len(run.data.val.images)), []
    for name, split in (("train", train), ("val", run.data.val)):
        batches = run.batches(split.take(random_rows(len(split.images), size, run.seed, name)))
        terms = elbo_terms(run.vae, progress(batches, f"ELBO, {name}"), Noise(run.seed))
        elbos.append(estimate(terms["elbo"]))
    ours, theirs = elbos
    return Estimate(ours.mean - theirs.mean, float(np.hypot(ours.se, theirs.se)))


def active_dimensions(run: Run, threshold: float = ACTIVE) -> np.ndarray:
    """The latent dimensions whose posterior mean varies with the image, or all if none does.

    Computed from all validation images, so that they are as many as the checkpoint's `val/active_units`.
    """
    codes = run.codes(run.data.val)
    active = np.flatnonzero(codes.var(0, dtype=np.float64) > threshold)
    return active if len(active) else np.arange(codes.shape[1])


@torch.no_grad()
def pixel_reliability(run: Run) -> Reliability:
    """Compare the decoder's probabilities at a sample of each image's posterior with the image's pixels."""
    val, probabilities, pixels = run.data.val, [], []
    batches = run.batches(val.take(random_rows(len(val.images), COUNTED, run.seed, "counted")))
    for batch in progress(batches, "pixels"):
        z = posterior_codes(run.vae, batch, Noise(run.seed), 1)[0]
        probabilities.append(run.vae.given(batch.y).decode(z).mean.cpu().numpy())
        pixels.append(batch.x.cpu().numpy())
    return reliability(np.concatenate(probabilities), np.concatenate(pixels))


def progress(batches: Iterable[Batch], description: str) -> Iterable[Batch]:
    """The batches, with a progress bar."""
    return tqdm(batches, desc=description, unit="batch", disable=None, leave=False, delay=1)


def remedies(config: DictConfig) -> dict[str, str]:
    """The options that would reduce each part, beyond those of the run."""
    prior, posterior = (option_name(config[part]._target_) for part in ("prior", "posterior"))
    family = f"posterior.transforms={2 * config.posterior.transforms}" if posterior == "flow" else "posterior=flow"
    if posterior != "flow" and (
        prior == "vamp" or option_name(config.objective._target_) == "beta_tc"
    ):  # these parts reject a flow posterior
        family = "none: with these parts a full covariance is the most" if posterior == "full" else "posterior=full"
    richer = f"prior.transforms={2 * config.prior.transforms}" if prior == "flow" else "prior=flow"
    if (own := (config.get("condition") or {}).get("prior", "none")) != "none":
        richer = "condition.prior=flow" if own == "gaussian" else "none: condition.prior=flow is the richest"
    return {
        "noise_floor": "none: no model foresees it",
        "decoder": f"latent_dim={2 * config.latent_dim}, larger model.decoder",
        "code": "beta: a trade with the decoder's part",
        "prior": richer,
        "family": family,
        "posterior": family,
        "amortisation": "larger model.encoder, trainer.max_epochs",
        "overfitting": "more images, optimizer=adamw",
    }
