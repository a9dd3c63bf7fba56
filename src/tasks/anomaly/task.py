"""Anomaly detection: test images against other images, or against a user's own, by scores of the VAE."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import MinLen

from src.build import Run
from src.data.pixels import as_bytes, as_input
from src.figures.animation import write_image
from src.figures.grids import data_rows
from src.support.errors import UserError
from src.support.files import atomic_path
from src.support.ranges import Count, OpenShare, Several
from src.tasks.anomaly import pictures
from src.tasks.anomaly.own import score_own_images
from src.tasks.anomaly.scores import chance, count_not_finite, detection, make_scores, score_sets
from src.tasks.anomaly.sets import ImageSet, evenly_spread, make_sets
from src.tasks.examples import original_images
from src.tasks.own_images import Invert, White, read_own_images

log = logging.getLogger(__name__)


def anomaly(
    run: Run,
    folder: Path,
    against: str | Sequence[str],
    input: str | None,
    invert: Invert,
    white: White,
    skip_broken: bool,
    scores: Annotated[Sequence[Literal["-elbo", "nll", "recon", "kl", "regret", "complexity"]], MinLen(1)],
    images: Several,
    samples: Count,
    steps: Count,
    normal: str | int | Sequence[str | int],
    quantile: OpenShare,
) -> dict[str, Any]:
    """Compare other images with at most `images` test images by anomaly scores: each of `scores` and the baselines.

    against: names of DATA and CORRUPTIONS, `held_out`, or `auto`; input: a file or a folder to score instead
    invert, white, skip_broken: see read_own_images; normal: the classes of `input` that are no anomalies, or `auto`
    quantile: of the first score of validation images, above which an image of `input` is called anomalous
    Writes histograms.png, images.png, and scores.npz with arrays SET/SCORE (N,), or scores.csv and classes.csv of
    `input`. A score that is not finite is infinite in the files, and counted as `not_finite`.
    """
    functions = make_scores(without_refinement(scores) if run.vae.levels else scores, samples, steps)
    first = next(iter(functions))
    if input is not None:
        own = read_own_images(run, input, invert, white, skip_broken)
        return score_own_images(run, folder, own, functions, images, normal, quantile)
    levels, prepared = (evenly_spread(each.images, images) for each in (run.data.source.test, run.data.test))
    sets = {"test": ImageSet(levels, prepared)} | make_sets(run, against, images)
    columns = score_sets(run, {name: each.prepared for name, each in sets.items()}, dict.fromkeys(sets, functions))
    with atomic_path(folder / "scores.npz") as partial:
        np.savez(partial, **{f"{name}/{score}": v for name, values in columns.items() for score, v in values.items()})
    rates = {
        (name, score): detection(columns["test"][score], columns[name][score])
        for name in list(columns)[1:]
        for score in columns[name]
    }
    test, *others = columns.values()
    aurocs = {key: rate["auroc"].mean for key, rate in rates.items()}
    figure = pictures.histograms(run.config.title, test, dict(zip(list(sets)[1:], others, strict=True)), aurocs)
    write_image(figure, folder / "histograms.png", scale=1)
    ends = {
        name: (data_rows(image_bytes(prepared), original_images(run, levels)), columns[name][first])
        for name, (levels, prepared) in sets.items()
    }
    write_image(pictures.extremes(run.config.title, first, ends), folder / "images.png", scale=1)
    sizes = {name: len(each.prepared) for name, each in sets.items()}
    numbers: dict[str, Any] = {f"{name} images": size for name, size in sizes.items()}
    numbers |= {f"{name} chance": chance(sizes["test"], sizes[name]) for name in list(sizes)[1:]}
    numbers |= {f"{name} {score}": rate for (name, score), rate in rates.items()}
    for name in columns:
        for score, count in count_not_finite(name, columns[name]).items():
            numbers.setdefault(f"{name} {score}", {})["not_finite"] = count
    return numbers


def image_bytes(images: np.ndarray) -> np.ndarray:
    """Prepared images (N, C, H, W) as uint8."""
    return as_bytes(as_input(torch.from_numpy(images)))


def without_refinement(scores: Sequence[str]) -> list[str]:
    """The scores that a hierarchy has. Raises UserError where there are none."""
    if others := [name for name in scores if name != "regret"]:
        if "nll" in others:
            log.warning("nll has the encoder's posterior as its proposal, in a hierarchy of levels: it may be too high")
        if len(others) < len(scores):
            log.warning("regret is left out: it refines codes of one level, and this run has a hierarchy")
        return others
    raise UserError("task.scores=[regret] refines codes of one level, and this run has a hierarchy: try [-elbo,nll]")
