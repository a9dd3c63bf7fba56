"""Anomalies: test images against other images, or a user's own, by scores of the VAE."""

import csv
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import MinLen
from matplotlib.figure import Figure
from tqdm import tqdm

from src.build import Run
from src.data import image_files
from src.data.pixels import as_bytes, as_input
from src.figures.animation import write_image
from src.figures.grids import sheet
from src.support.files import atomic_path
from src.support.ranges import Count, Positive, Several
from src.tasks.anomaly import pictures as figures
from src.tasks.anomaly.scores import Columns, below, detection, evaluated
from src.tasks.anomaly.sets import others, prepared_for, spread

log = logging.getLogger(__name__)
SHOWN = 12  # of a user's images


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
    """How anomalous other images are beside `images` test images, by each of `scores` and the baselines.

    against: names of DATA and CORRUPTIONS, `held_out`, or `auto`; input: a file or a folder, in place of it
    invert, white: of `input`, what src/data/image_files.py makes of dark on light, and the level that is white
    Writes histograms.png, images.png, and scores.npz, SET/SCORE (N,) each, or scores.csv of `input`. Scores that are no
    finite number are infinite there, and counted as `not_finite`.
    """
    options = {"names": list(scores), "samples": samples, "steps": steps}
    if input is not None:
        return own(run, folder, user_images(run, input, invert, white), images, options)
    sets = {"test": spread(run.data.test.images, images)} | others(run, against, images)
    columns = scored(run, sets, options)
    with atomic_path(folder / "scores.npz") as partial:
        np.savez(partial, **{f"{name}/{score}": v for name, found in columns.items() for score, v in found.items()})
    rates = {
        (name, score): detection(columns["test"][score], columns[name][score])
        for name in list(columns)[1:]
        for score in columns[name]
    }
    aurocs = {key: rate["auroc"] for key, rate in rates.items()}
    write_image(figures.histograms(run.config.title, columns, aurocs), folder / "histograms.png", scale=1)
    shown = {name: (visible(sets[name]), columns[name][scores[0]]) for name in sets}
    write_image(figures.extremes(run.config.title, scores[0], shown), folder / "images.png", scale=1)
    numbers = {f"{name} {score}/{key}": v for (name, score), rate in rates.items() for key, v in rate.items()}
    counts = {(name, score): n for name in columns for score, n in not_finite(name, columns[name]).items()}
    return numbers | {f"{name} {score}/not_finite": n for (name, score), n in counts.items()}


def not_finite(name: str, columns: Columns) -> dict[str, int]:
    """How many of a set's scores are no finite number, by score, where some are; they rank as the most anomalous, which
    is said."""
    counts = {score: int(np.isinf(values).sum()) for score, values in columns.items()}
    counts = {score: count for score, count in counts.items() if count}
    if counts:
        words = ", ".join(f"{score} of {count:,}" for score, count in counts.items())
        size = len(next(iter(columns.values())))
        log.warning("%s: of %d images no finite number is %s: these rank as the most anomalous", name, size, words)
    return counts


def scored(run: Run, sets: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Columns]:
    """The scores of prepared images, set by set."""
    total = sum(map(len, sets.values()))
    with tqdm(total=total, desc="scores", unit="image", disable=None, leave=False, delay=1) as bar:
        return {name: evaluated(run, images, bar=bar, **options) for name, images in sets.items()}


def user_images(
    run: Run, input: str, invert: bool | Literal["auto"], white: float | Literal["auto"]
) -> image_files.UserImages:
    """A user's own images, fitted to the run's."""
    ground = image_files.border(run.data.source.train.images).mean()
    return image_files.read(input, tuple(run.config.data.shape), ground, invert, white)


def own(run: Run, folder: Path, mine: image_files.UserImages, images: int, options: dict[str, Any]) -> dict[str, Any]:
    """A user's own images, scored beside the test images."""
    seen = prepared_for(run, "input", mine.images)
    columns = scored(run, {"test": spread(run.data.test.images, images), "yours": seen}, options)
    names, test, yours = options["names"], columns["test"], columns["yours"]
    percentiles = {name: 100 * below(yours[name], test[name]) for name in names}
    write_table(folder / "scores.csv", mine, {name: yours[name] for name in names}, percentiles[names[0]])
    write_image(figures.histograms(run.config.title, columns, {}), folder / "histograms.png", scale=1)
    figure = most_anomalous(run, mine, seen, names[0], yours[names[0]], percentiles[names[0]])
    write_image(figure, folder / "images.png", scale=1)
    numbers: dict[str, Any] = {"images": len(seen), "inverted": int(mine.inverted.sum())}
    for name in names:
        numbers |= {f"{name}/median of {who}": median(each[name]) for who, each in (("test", test), ("yours", yours))}
        numbers[f"{name}/yours above 95 % of test"] = (percentiles[name] > 95).mean()
    for who in columns:
        numbers |= {f"{name}/{who} not finite": count for name, count in not_finite(who, columns[who]).items()}
    return numbers


def median(scores: np.ndarray) -> float | str:
    """The median of scores, in words where it is no finite number: JSON has none."""
    found = float(np.median(scores))
    return found if np.isfinite(found) else "not finite"


def write_table(path: Path, mine: image_files.UserImages, scores: Columns, percentile: np.ndarray) -> None:
    """A row for each image: its file, its scores, the share of test images (%) below the first, whether inverted."""
    with atomic_path(path) as partial, partial.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", *scores, f"percentile of {next(iter(scores))}", "inverted"])
        for i, name in enumerate(mine.names):
            values = [f"{values[i]:.3f}" for values in scores.values()]
            table.writerow([name, *values, f"{percentile[i]:.2f}", str(bool(mine.inverted[i])).lower()])


def most_anomalous(
    run: Run, mine: image_files.UserImages, seen: np.ndarray, score: str, scores: np.ndarray, percentile: np.ndarray
) -> Figure:
    """A user's most anomalous images: fitted, prepared, and reconstructed."""
    worst = np.argsort(-scores, kind="stable")[:SHOWN]
    x = as_input(torch.from_numpy(seen[worst]))
    turned = mine.inverted[worst, None, None, None]
    rows = [
        ("your image", np.where(turned, 255 - mine.images[worst], mine.images[worst])),
        ("as the VAE sees it", as_bytes(x)),
        ("reconstruction", as_bytes(run.vae.reconstruct(x.to(run.device)))),
    ]
    counts = f"the most anomalous of {len(seen):,} ({int(mine.inverted.sum()):,} inverted)"
    notes = [f"{figures.worded(scores[i])}\n{percentile[i]:.1f} %" for i in worst]
    return sheet(run.config.title, f"{counts}: {score} in nats, % of test images below", rows, notes)


def visible(images: np.ndarray) -> np.ndarray:
    """Prepared images as uint8."""
    return as_bytes(as_input(torch.from_numpy(images)))
