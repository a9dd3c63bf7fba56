"""Scores of a user's own images, a verdict for each, and how well both agree with the user's classes."""

import csv
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.build import Run
from src.data.image_files import UserImages
from src.data.pixels import as_bytes, as_input
from src.evaluation.labels import infer_labels
from src.figures.animation import write_image
from src.figures.grids import sheet
from src.figures.page import shorten
from src.support.files import atomic_path
from src.support.statistics import flatten
from src.tasks.anomaly import pictures
from src.tasks.anomaly.scores import (
    Columns,
    Score,
    chance,
    count_not_finite,
    detection,
    score_sets,
    share_below,
)
from src.tasks.anomaly.sets import evenly_spread
from src.tasks.anomaly.verdicts import LISTED, LONGEST, Truth, Verdicts, find_truth, images_for, judge, rates
from src.tasks.own_images import own_picture_rows, prepare_own_images

log = logging.getLogger(__name__)
WORST = 12  # number of a user's most anomalous images that are drawn
ROWS = 12  # classes whose histograms are drawn


def score_own_images(
    run: Run,
    folder: Path,
    own: UserImages,
    scores: Mapping[str, Score],
    images: int,
    normal: str | int | Sequence[str | int],
    quantile: float,
) -> dict[str, Any]:
    """Score a user's own images and `images` test images; write scores.csv, histograms.png, images.png and, where the
    user's images have classes, classes.csv.

    The threshold of the verdicts comes from validation images alone.
    """
    truth = find_truth(own, normal)
    prepared, first = prepare_own_images(run, own), next(iter(scores))
    validation = evenly_spread(run.data.val.images, images)
    sets = {"validation": validation, "test": evenly_spread(run.data.test.images, images), "yours": prepared}
    columns = score_sets(run, sets, {**dict.fromkeys(sets, scores), "validation": {first: scores[first]}})
    test, yours = columns["test"], {name: columns["yours"][name] for name in scores}
    percentiles = {name: 100 * share_below(yours[name], test[name]) for name in scores}
    verdicts = judge(yours[first], columns["validation"][first], quantile)
    log.info(
        "%d of %d of your images are anomalous (%s above %s nats, %s)",
        *(verdicts.anomalous.sum(), len(prepared), first, pictures.score_text(verdicts.threshold), verdicts.criterion),
    )
    write_table(folder / "scores.csv", own, yours, percentiles[first], verdicts, truth)
    draw_histograms(run, folder / "histograms.png", own, columns, truth, verdicts)
    draw_images(run, folder / "images.png", own, prepared, yours, percentiles[first], verdicts)

    numbers: dict[str, Any] = {"images": len(prepared), "inverted": int(own.inverted.sum())}
    numbers |= {"anomalous": int(verdicts.anomalous.sum()), f"threshold of {first}": as_number(verdicts.threshold)}
    numbers |= {"validation images": verdicts.count}
    numbers |= {} if verdicts.are_sound else {"validation images needed": verdicts.fewest, "verdicts": "unsound"}
    numbers |= rates(verdicts, truth) if truth else {}
    for name in scores:
        numbers[name] = {"median of test": median(test[name]), "median of yours": median(yours[name])}
        if len(test[name]) >= images_for(0.95):
            numbers[name]["yours above 95 % of test"] = (percentiles[name] > 95).mean()
    if truth and truth.anomalies:
        for name, values in yours.items():
            numbers[name] |= detection(values[~truth.anomalous], values[truth.anomalous])
        numbers["chance"] = chance((~truth.anomalous).sum(), truth.anomalous.sum())
    if own.classes:
        numbers |= measure_classes(folder / "classes.csv", own, yours, truth, verdicts)
    for who, values in columns.items():
        for name, count in count_not_finite(who, values).items():
            numbers.setdefault(name, {})[f"{who} not finite"] = count
    return numbers


def measure_classes(
    path: Path, own: UserImages, scores: Columns, truth: Truth | None, verdicts: Verdicts
) -> dict[str, Any]:
    """Measure for each class how many of its images are called anomalous and, where it is one of anomalies, how well
    each score separates it from the normal images.

    Writes a table of all classes, and returns the rows of the first ones, with the numbers of the first score.
    """
    numbers, lines, first = {}, [], next(iter(scores))
    titles = [shorten(name, LONGEST) for name in own.classes]
    titles = titles if len({*titles}) == len(titles) else own.classes
    for label, name in enumerate(own.classes):
        rows = own.labels == label
        row: dict[str, Any] = {"images": int(rows.sum()), "anomalous": int(verdicts.anomalous[rows].sum())}
        line = {"class": name, "truth": truth.kind(name) if truth else "", **row}
        line |= {} if verdicts.are_sound else {"verdicts": "unsound"}
        if truth and name in truth.anomalies:
            separation = {each: detection(v[~truth.anomalous], v[rows]) for each, v in scores.items()}
            by_chance = {"aupr_chance": chance((~truth.anomalous).sum(), rows.sum())["aupr"]}
            row |= separation[first] | by_chance
            line |= flatten(
                {f"{each} {k}": v for each, found in separation.items() for k, v in found.items()} | by_chance
            )
        lines.append(line)
        numbers |= {f"class {titles[label]}": row} if label < LISTED else {}
    with writer(path) as table:
        columns = list(dict.fromkeys(column for line in lines for column in line))
        table.writerow(columns)
        table.writerows([line.get(column, "") for column in columns] for line in lines)
    return numbers


def median(scores: np.ndarray) -> float | str:
    """The median of scores; "not finite" where it is infinite."""
    return as_number(float(np.median(scores)))


def as_number(value: float) -> float | str:
    """A number, or "not finite", since JSON can't express infinity."""
    return value if np.isfinite(value) else "not finite"


@contextmanager
def writer(path: Path) -> Iterator[Any]:
    """A writer of a CSV file, which appears when it is complete; names of files that are no text keep their bytes."""
    with (
        atomic_path(path) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        yield csv.writer(file)


def write_table(
    path: Path, own: UserImages, scores: Columns, percentile: np.ndarray, verdicts: Verdicts, truth: Truth | None
) -> None:
    """Write a row for each image: its file, its class, the verdict, its scores, the share of test images (%) below the
    first score, and whether it was inverted."""
    with writer(path) as table:
        table.writerow(["file", "class", "verdict", *scores, f"percentile of {next(iter(scores))}", "inverted"])
        for i, name in enumerate(own.names):
            values = [f"{values[i]:.3f}" for values in scores.values()]
            known = [class_of(own, i), verdicts.text(i)]
            table.writerow([name, *known, *values, f"{percentile[i]:.2f}", str(bool(own.inverted[i])).lower()])


def class_of(own: UserImages, row: int) -> str:
    """The name of an image's class; empty where there are none."""
    return own.classes[own.labels[row]] if own.classes else ""


def draw_histograms(
    run: Run, path: Path, own: UserImages, columns: Mapping[str, Columns], truth: Truth | None, verdicts: Verdicts
) -> None:
    """Draw the scores of the user's images over those of test images: of all, or of each class.

    Where the truth is known there is a row for each class of anomalies, over the normal images as well.
    """
    test, yours = columns["test"], columns["yours"]
    if not own.classes:
        rows = {"yours": yours}
    else:
        shown = truth.anomalies if truth else own.classes
        members = {name: own.labels == own.classes.index(name) for name in shown or own.classes}
        if truth and len(truth.anomalies) > 1:
            members = {"all anomalies": truth.anomalous} | members
        rows = {name: {k: v[each] for k, v in yours.items()} for name, each in list(members.items())[:ROWS]}
    normal, aurocs = None, {}
    if truth and truth.anomalies:
        normal = {name: values[~truth.anomalous] for name, values in yours.items()}
        aurocs = {(n, k): detection(normal[k], v)["auroc"].mean for n, row in rows.items() for k, v in row.items()}
    line = (verdicts.threshold, verdicts.criterion)
    write_image(pictures.histograms(run.config.title, test, rows, aurocs, normal, line), path, scale=1)


def draw_images(
    run: Run,
    path: Path,
    own: UserImages,
    prepared: np.ndarray,
    scores: Columns,
    percentile: np.ndarray,
    verdicts: Verdicts,
) -> None:
    """Draw the most anomalous of a user's images, and their reconstructions."""
    first, values = next(iter(scores.items()))
    worst = np.argsort(-values, kind="stable")[:WORST]
    counts = f"the most anomalous of {len(prepared):,} ({int(own.inverted.sum()):,} inverted)"
    caption = f"{counts}: {first} in nats, % of test images below, verdict{', class' if own.classes else ''}"
    x = as_input(torch.from_numpy(prepared[worst]))
    vae = run.vae.given(torch.from_numpy(infer_labels(run, prepared[worst])).to(run.device))
    rows = own_picture_rows(own, prepared, worst) | {"reconstruction": as_bytes(vae.reconstruct(x.to(run.device)))}
    notes = [
        "\n".join(
            [pictures.score_text(values[i]), f"{percentile[i]:.1f} %", verdicts.text(i)]
            + ([shorten(class_of(own, i), 11)] if own.classes else [])
        )
        for i in worst
    ]
    write_image(sheet(run.config.title, caption, list(rows.items()), notes), path, scale=1)
