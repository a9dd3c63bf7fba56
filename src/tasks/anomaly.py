"""Anomalies: test images against other images, or a user's own, by scores of the VAE."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from src import foreign
from src.anomaly import others, prepared_for, spread
from src.build import Run
from src.data import as_bytes, as_input
from src.errors import UserError
from src.figures import anomaly as figures
from src.figures.animation import write_still
from src.figures.grids import sheet
from src.figures.page import number
from src.files import whole
from src.scores import SCORES, Columns, below, detection, evaluated
from src.tasks import check_counts

SHOWN = 12  # of a user's images


def anomaly(
    run: Run,
    folder: Path,
    against: str | Sequence[str],
    input: str | None,
    invert: bool | Literal["auto"],
    white: float | Literal["auto"],
    scores: Sequence[str],
    images: int,
    samples: int,
    steps: int,
) -> dict[str, Any]:
    """How anomalous other images are beside `images` test images, by each of `scores` and the baselines.

    against: names of DATA and CORRUPTIONS, `held_out`, or `auto`; input: a file or a folder, in place of it
    invert, white: of `input`, what src/foreign.py makes of dark on light, and the level that is white
    Writes histograms.png, images.png, and scores.npz, SET/SCORE (N,) each, or scores.csv of `input`.
    """
    if isinstance(scores, str) or not scores or not all(name in SCORES for name in scores):
        raise UserError(f"task.scores must be some of [{','.join(SCORES)}], got {scores}")
    check_counts(images=(images, 2), samples=(samples, 1), steps=(steps, 1))
    options = {"names": list(scores), "samples": samples, "steps": steps}
    if input is not None:
        return own(run, folder, foreign_images(run, input, invert, white), images, options)
    sets = {"test": spread(run.data.test.images, images)} | others(run, against, images)
    columns = scored(run, sets, options)
    with whole(folder / "scores.npz") as partial:
        np.savez(partial, **{f"{name}/{score}": v for name, found in columns.items() for score, v in found.items()})
    rates = {
        (name, score): detection(columns["test"][score], columns[name][score])
        for name in list(columns)[1:]
        for score in columns[name]
    }
    aurocs = {key: rate["auroc"] for key, rate in rates.items()}
    write_still(figures.histograms(run.config.title, columns, aurocs), folder / "histograms.png", scale=1)
    shown = {name: (visible(sets[name]), columns[name][scores[0]]) for name in sets}
    write_still(figures.extremes(run.config.title, scores[0], shown), folder / "images.png", scale=1)
    return {f"{name} {score}/{key}": v for (name, score), rate in rates.items() for key, v in rate.items()}


def scored(run: Run, sets: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Columns]:
    """The scores of prepared images, set by set."""
    total = sum(map(len, sets.values()))
    with tqdm(total=total, desc="scores", unit="image", disable=None, leave=False, delay=1) as bar:
        return {name: evaluated(run, images, bar=bar, **options) for name, images in sets.items()}


def foreign_images(run: Run, input: str, invert: bool | Literal["auto"], white: float | Literal["auto"]) -> foreign.Own:
    """A user's own images, fitted to the run's."""
    ground = foreign.border(run.data.source.train.images).mean()
    return foreign.read(input, tuple(run.config.data.shape), ground, invert, white)


def own(run: Run, folder: Path, mine: foreign.Own, images: int, options: dict[str, Any]) -> dict[str, Any]:
    """A user's own images, scored beside the test images."""
    seen = prepared_for(run, "input", mine.images)
    columns = scored(run, {"test": spread(run.data.test.images, images), "yours": seen}, options)
    names, test, yours = options["names"], columns["test"], columns["yours"]
    percentiles = {name: 100 * below(yours[name], test[name]) for name in names}
    write_table(folder / "scores.csv", mine, {name: yours[name] for name in names}, percentiles[names[0]])
    write_still(figures.histograms(run.config.title, columns, {}), folder / "histograms.png", scale=1)
    figure = most_anomalous(run, mine, seen, names[0], yours[names[0]], percentiles[names[0]])
    write_still(figure, folder / "images.png", scale=1)
    numbers = {"images": len(seen), "inverted": int(mine.inverted.sum())}
    for name in names:
        numbers |= {f"{name}/median of test": np.median(test[name]), f"{name}/median of yours": np.median(yours[name])}
        numbers[f"{name}/yours above 95 % of test"] = (percentiles[name] > 95).mean()
    return numbers


def write_table(path: Path, mine: foreign.Own, scores: Columns, percentile: np.ndarray) -> None:
    """A row for each image: its file, its scores, the share of test images (%) below the first, whether inverted."""
    with whole(path) as partial, partial.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", *scores, f"percentile of {next(iter(scores))}", "inverted"])
        for i, name in enumerate(mine.names):
            values = [f"{values[i]:.3f}" for values in scores.values()]
            table.writerow([name, *values, f"{percentile[i]:.2f}", str(bool(mine.inverted[i])).lower()])


def most_anomalous(
    run: Run, mine: foreign.Own, seen: np.ndarray, score: str, scores: np.ndarray, percentile: np.ndarray
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
    notes = [f"{number(scores[i])}\n{percentile[i]:.1f} %" for i in worst]
    return sheet(run.config.title, f"{counts}: {score} in nats, % of test images below", rows, notes)


def visible(images: np.ndarray) -> np.ndarray:
    """Prepared images as uint8."""
    return as_bytes(as_input(torch.from_numpy(images)))
