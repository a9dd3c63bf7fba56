"""Where the nats of a run go, what attacks each part of them, and whether its probabilities mean what they say."""

import logging
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from omegaconf import DictConfig
from tqdm import tqdm

from src.build import Run
from src.config.options import choice
from src.data.batches import Batch
from src.data.pixels import Pixels, as_input
from src.data.selection import random_rows
from src.data.sources import Split
from src.figures.animation import write_image
from src.inference.calibration import Reliability, inside, p_values, ranks, reliability
from src.inference.decomposition import at_least_zero, best_code, bounds, drawn_codes, fitted, gain_of, noise_floor
from src.inference.importance import FEW, TOLERATED, effective_summary
from src.inference.metrics import ACTIVE, elbo_terms, estimate
from src.support.errors import UserError
from src.support.files import whole
from src.support.ranges import Count, Several
from src.tasks.diagnose.pictures import calibration, waterfall

AT_ONCE = 50  # images whose posteriors are refined together
CODES = 20_000  # training images, at most, whose codes tell the aggregate posterior
EVALUATED = 10_000  # images of the training and of the validation, at most, whose ELBO is compared
COUNTED = 2_000  # validation images, at most, whose pixels are counted
SIGNIFICANT = 0.05  # divided by the number of dimensions that are tested

log = logging.getLogger(__name__)


def diagnose(
    run: Run, folder: Path, count: Several, samples: Count, steps: Count, simulations: Annotated[Count, Ge(100)]
) -> dict[str, Any]:
    """The table of decomposition.py: nats per image over `count` validation images with standard errors, and what
    attacks each; below their sum, `overfitting`, the training images' ELBO minus the validation images'.

    coverage_90: the share of true codes inside the central 90 % of q, for images drawn from the model; dimensions_off:
    those active dimensions whose ranks are not uniform; calibration_error: of the pixels' probabilities (Bernoulli).
    Writes nats.png, calibration.png and parts.npz (the parts of each image). Raises UserError for a bad option.
    """
    train, val = run.train, run.data.val
    if len(val.images) < 2:
        raise UserError("task=diagnose needs two validation images or more: there is one")
    rows = random_rows(len(val.images), count, run.seed, "diagnosed")
    parts, effective = parts_of(run, train, rows, samples, steps)
    table = {name: estimate("nats", nats) for name, nats in parts.items()}
    table["total"] = estimate("nats", sum(parts.values()))
    table["overfitting"] = overfitting(run, train)
    for name, option in remedies(run.config).items():
        if name in table:
            table[name]["attacked_by"] = option
    numbers = {f"{row}/{column}": value for row, columns in table.items() for column, value in columns.items()}
    numbers |= {"images": len(rows)} | effective_summary(effective)
    if (few := (effective < FEW).mean()) > TOLERATED:
        words = "%.0f %% of the images have fewer than %d effective samples: what their posteriors lose is too small"
        log.warning(words + "; raise task.samples", 100 * few, FEW)

    active = active_dimensions(run)
    found = ranks(run.vae, simulations, run.seed)[:, active]
    numbers |= estimate("coverage_90", inside(found))
    off = int((p_values(found) < SIGNIFICANT / len(active)).sum())
    numbers["dimensions_off"] = f"{off} of {len(active)}"
    counted = pixels_counted(run) if run.data.pixels == Pixels.BINARY else None
    if counted is not None:
        numbers["calibration_error"] = counted.error()
    caption = f"{len(rows)} validation images, nats per image; total and parts over the same images, ± standard error"
    write_image(waterfall(run.config.title, caption, table), folder / "nats.png", scale=1)
    page = calibration(run.config.title, found, active, numbers, counted)
    write_image(page, folder / "calibration.png", scale=1)
    with whole(folder / "parts.npz") as partial:
        np.savez(partial, index=rows, effective_samples=effective, **parts)
    return numbers


def parts_of(
    run: Run, train: Split, rows: np.ndarray, samples: int, steps: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The parts of -ELBO of the validation images `rows`, nats (N,) each, which sum to it; and how many samples of
    the estimates of log p(x) are effective, (N,)."""
    density = fitted(training_codes(run, train), run.seed)
    split, found = run.data.val.take(rows), []
    greys = torch.from_numpy(run.data.source.val.images[rows])
    batches = run.batches(split, AT_ONCE)
    for batch in tqdm(batches, desc="images", unit="batch", disable=None, leave=False, delay=1):
        found.append(parts_of_batch(run, density, batch, as_input(greys[batch.index.cpu()]), samples, steps))
    columns = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    effective, total = columns.pop("effective"), columns.pop("total")
    columns = at_least_zero(columns)
    columns["code"] = total - sum(columns.values())
    order = ("noise_floor", "decoder", "code", "prior", "posterior", "family", "amortisation")
    return {name: columns[name] for name in order if name in columns}, effective


def parts_of_batch(
    run: Run, density: Any, batch: Batch, greys: torch.Tensor, samples: int, steps: int
) -> dict[str, np.ndarray]:
    """All but `code`, and the `total`; the posterior's two parts in one where its family can't be refined."""
    vae, x, parts = run.vae, batch.x, {}
    greys = greys.to(x)
    found = bounds(vae, x, batch.index, run.seed, samples, steps)
    binary = run.data.pixels == Pixels.BINARY
    parts["decoder"] = best_code(vae, x, greys if binary else x)
    if binary:
        parts["noise_floor"] = noise_floor(greys)
        parts["decoder"] = parts["decoder"] - parts["noise_floor"]
    parts["prior"] = gain_of(density, vae, batch, run.seed)
    if found.refined is None:
        parts["posterior"] = found.encoder - found.nll
    else:
        parts["family"] = found.refined - found.nll
        parts["amortisation"] = found.encoder - found.refined
    parts |= {"total": found.encoder, "effective": found.effective}
    return {name: values.detach().double().cpu().numpy() for name, values in parts.items()}


def training_codes(run: Run, train: Split) -> np.ndarray:
    """One code (N, D) from the posterior of each of some training images."""
    batches = run.batches(train.take(random_rows(len(train.images), CODES, run.seed, "codes")))
    codes = [drawn_codes(run.vae, b, run.seed, 1)[0].double().cpu().numpy() for b in bar(batches, "training codes")]
    return np.concatenate(codes)


def overfitting(run: Run, train: Split) -> dict[str, float]:
    """The mean ELBO of training images minus that of as many validation images; they are others, so unpaired."""
    size, found = min(EVALUATED, len(train.images), len(run.data.val.images)), []
    for name, split in (("train", train), ("val", run.data.val)):
        batches = run.batches(split.take(random_rows(len(split.images), size, run.seed, name)))
        found.append(estimate("nats", elbo_terms(run.vae, bar(batches, f"ELBO, {name}"), run.seed)["elbo"]))
    ours, theirs = found
    error = float(np.hypot(ours["nats_se"], theirs["nats_se"]))
    return {"nats": ours["nats"] - theirs["nats"], "nats_se": error}


def active_dimensions(run: Run) -> np.ndarray:
    """The latent dimensions whose posterior mean varies with the image, by all validation images: as many as the
    `val/active_units` of the checkpoint; all where none does."""
    codes = run.codes(run.data.val)
    found = np.flatnonzero(codes.var(0, dtype=np.float64) > ACTIVE)
    return found if len(found) else np.arange(codes.shape[1])


@torch.no_grad()
def pixels_counted(run: Run) -> Reliability:
    """The decoder's probabilities at a code from each image's posterior, against its pixels."""
    val, probabilities, pixels = run.data.val, [], []
    batches = run.batches(val.take(random_rows(len(val.images), COUNTED, run.seed, "counted")))
    for batch in bar(batches, "pixels"):
        z = drawn_codes(run.vae, batch, run.seed, 1)[0]
        probabilities.append(run.vae.decode(z).mean.cpu().numpy())
        pixels.append(batch.x.cpu().numpy())
    return reliability(np.concatenate(probabilities), np.concatenate(pixels))


def bar(batches: Any, words: str) -> Any:
    """Batches with their progress."""
    return tqdm(batches, desc=words, unit="batch", disable=None, leave=False, delay=1)


def remedies(config: DictConfig) -> dict[str, str]:
    """The options that attack each part, beyond those that the run has."""
    prior, posterior = (choice(config[part]._target_) for part in ("prior", "posterior"))
    family = f"posterior.transforms={2 * config.posterior.transforms}" if posterior == "flow" else "posterior=flow"
    if posterior != "flow" and (prior == "vamp" or choice(config.objective._target_) == "beta_tc"):  # that refuse it
        family = "none: with these parts a full covariance is the most" if posterior == "full" else "posterior=full"
    return {
        "noise_floor": "none: no model foresees it",
        "decoder": f"latent_dim={2 * config.latent_dim}, larger model.decoder",
        "code": "beta: a trade with the decoder's part",
        "prior": f"prior.transforms={2 * config.prior.transforms}" if prior == "flow" else "prior=flow",
        "family": family,
        "posterior": family,
        "amortisation": "larger model.encoder, trainer.max_epochs",
        "overfitting": "more images, optimizer=adamw",
    }
