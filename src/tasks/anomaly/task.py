"""Anomaly detection: test images against other images, or against a user's own, by scores of the VAE."""

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import MinLen
from tqdm import tqdm

from src.build import Run
from src.data import image_files, raster
from src.data.image_files import UserImages
from src.data.pixels import as_bytes, as_input
from src.evaluation.samplers import draw_labels
from src.figures.animation import write_image
from src.figures.grids import data_rows, sheet
from src.support.console import stages
from src.support.files import atomic_path
from src.support.ranges import Count, Positive, Several
from src.tasks.anomaly import pictures
from src.tasks.anomaly.scores import Columns, Score, chance, detection, evaluate_scores, make_scores, share_below
from src.tasks.anomaly.sets import ImageSet, evenly_spread, make_sets, prepare_set
from src.tasks.examples import original_images

log = logging.getLogger(__name__)
WORST = 12  # number of a user's most anomalous images that are drawn


def anomaly(
    run: Run,
    folder: Path,
    against: str | Sequence[str],
    input: str | None,
    invert: bool | Literal["auto"],
    white: Positive | Literal["auto"],
    scores: Annotated[Sequence[Literal["-elbo", "nll", "recon", "kl", "regret", "complexity"]], MinLen(1)],
    images: Several,
    samples: Count,
    steps: Count,
) -> dict[str, Any]:
    """Compare other images with at most `images` test images by anomaly scores: each of `scores` and the baselines.

    against: names of DATA and CORRUPTIONS, `held_out`, or `auto`; input: a file or a folder to score instead
    invert, white: how src/data/image_files.py reads `input`: whether dark and light change places, and the white level
    Writes histograms.png, images.png, and scores.npz with arrays SET/SCORE (N,), or scores.csv of `input`. A score that
    is not finite is infinite in the files, and counted as `not_finite`.
    """
    functions = make_scores(scores, samples, steps)
    if input is not None:
        return score_own_images(run, folder, read_own_images(run, input, invert, white), functions, images)
    levels, prepared = (evenly_spread(each.images, images) for each in (run.data.source.test, run.data.test))
    sets = {"test": ImageSet(levels, prepared)} | make_sets(run, against, images)
    columns = score_sets(run, {name: each.prepared for name, each in sets.items()}, functions)
    with atomic_path(folder / "scores.npz") as partial:
        np.savez(partial, **{f"{name}/{score}": v for name, values in columns.items() for score, v in values.items()})
    rates = {
        (name, score): detection(columns["test"][score], columns[name][score])
        for name in list(columns)[1:]
        for score in columns[name]
    }
    figure = pictures.histograms(run.config.title, columns, {key: rate["auroc"].mean for key, rate in rates.items()})
    write_image(figure, folder / "histograms.png", scale=1)
    ends = {
        name: (data_rows(image_bytes(prepared), original_images(run, levels)), columns[name][scores[0]])
        for name, (levels, prepared) in sets.items()
    }
    write_image(pictures.extremes(run.config.title, scores[0], ends), folder / "images.png", scale=1)
    sizes = {name: len(each.prepared) for name, each in sets.items()}
    numbers: dict[str, Any] = {f"{name} images": size for name, size in sizes.items()}
    numbers |= {f"{name} chance": chance(sizes["test"], sizes[name]) for name in list(sizes)[1:]}
    numbers |= {f"{name} {score}": rate for (name, score), rate in rates.items()}
    for name in columns:
        for score, count in count_not_finite(name, columns[name]).items():
            numbers.setdefault(f"{name} {score}", {})["not_finite"] = count
    return numbers


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


def score_sets(run: Run, sets: Mapping[str, np.ndarray], scores: Mapping[str, Score]) -> dict[str, Columns]:
    """The scores of sets of prepared images, by set."""
    sizes = {f"{name}, {len(images):,} images": len(images) for name, images in sets.items()}
    with tqdm(total=sum(sizes.values()), desc="scores", unit="image", disable=None, leave=False, delay=1) as bar:
        steps = zip(stages(sizes), sets.items(), strict=True)
        return {name: evaluate_scores(run, images, scores, bar) for _, (name, images) in steps}


def read_own_images(run: Run, input: str, invert: bool | Literal["auto"], white: float | Literal["auto"]) -> UserImages:
    """A user's own images, resized to the shape of the run's."""
    ground = raster.border(run.data.source.train.images).mean()
    return image_files.read(input, tuple(run.config.data.shape), ground, invert, white)


def score_own_images(
    run: Run, folder: Path, own: UserImages, scores: Mapping[str, Score], images: int
) -> dict[str, Any]:
    """Score a user's own images and `images` test images; write scores.csv, histograms.png and images.png."""
    prepared = prepare_set(run, "input", own.images).prepared
    columns = score_sets(run, {"test": evenly_spread(run.data.test.images, images), "yours": prepared}, scores)
    test, yours = columns["test"], {name: columns["yours"][name] for name in scores}
    percentiles = {name: 100 * share_below(yours[name], test[name]) for name in scores}
    first = next(iter(scores))
    write_table(folder / "scores.csv", own, yours, percentiles[first])
    write_image(pictures.histograms(run.config.title, columns, {}), folder / "histograms.png", scale=1)

    worst = np.argsort(-yours[first], kind="stable")[:WORST]
    counts = f"the most anomalous of {len(prepared):,} ({int(own.inverted.sum()):,} inverted)"
    caption = f"{counts}: {first} in nats, % of test images below"
    notes = [f"{pictures.score_text(yours[first][i])}\n{percentiles[first][i]:.1f} %" for i in worst]
    figure = sheet(run.config.title, caption, rows_of_own_images(run, own, prepared, worst), notes)
    write_image(figure, folder / "images.png", scale=1)

    numbers: dict[str, Any] = {"images": len(prepared), "inverted": int(own.inverted.sum())}
    for name in scores:
        numbers[name] = {"median of test": median(test[name]), "median of yours": median(yours[name])}
        numbers[name]["yours above 95 % of test"] = (percentiles[name] > 95).mean()
    for who in columns:
        for name, count in count_not_finite(who, columns[who]).items():
            numbers.setdefault(name, {})[f"{who} not finite"] = count
    return numbers


def median(scores: np.ndarray) -> float | str:
    """The median of scores; "not finite" where it is infinite, which JSON can't express."""
    value = float(np.median(scores))
    return value if np.isfinite(value) else "not finite"


def write_table(path: Path, own: UserImages, scores: Columns, percentile: np.ndarray) -> None:
    """Write a row for each image: its file, its scores, the share of test images (%) below the first score, and whether
    it was inverted."""
    with atomic_path(path) as partial, partial.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", *scores, f"percentile of {next(iter(scores))}", "inverted"])
        for i, name in enumerate(own.names):
            values = [f"{values[i]:.3f}" for values in scores.values()]
            table.writerow([name, *values, f"{percentile[i]:.2f}", str(bool(own.inverted[i])).lower()])


def rows_of_own_images(
    run: Run, own: UserImages, prepared: np.ndarray, chosen: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    """Rows of those of a user's images that are chosen: resized, prepared for the VAE, and reconstructed."""
    x = as_input(torch.from_numpy(prepared[chosen]))
    inverted = own.inverted[chosen, None, None, None]
    vae = run.vae.given(draw_labels(run, len(x), "anomaly"))
    return [
        ("your image", np.where(inverted, 255 - own.images[chosen], own.images[chosen])),
        ("as the VAE sees it", as_bytes(x)),
        ("reconstruction", as_bytes(vae.reconstruct(x.to(run.device)))),
    ]


def image_bytes(images: np.ndarray) -> np.ndarray:
    """Prepared images (N, C, H, W) as uint8."""
    return as_bytes(as_input(torch.from_numpy(images)))
