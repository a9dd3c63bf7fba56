"""Labelled synthetic images, and whether they help a classifier: on real test images, beside classic augmentation."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import MinLen
from tqdm import tqdm

from src.build import Run
from src.data.labels import labels_for_npz
from src.data.pixels import as_bytes
from src.data.selection import class_balanced_subset, evenly_spread_rows
from src.data.sources import Split
from src.evaluation import classifier
from src.figures.animation import write_image
from src.inference.metrics import estimate
from src.support.errors import UserError
from src.support.files import atomic_path
from src.support.ranges import Count
from src.tasks.synthesize import pictures
from src.tasks.synthesize.generator import class_densities, classic, distances, fitted, synthesized

log = logging.getLogger(__name__)
COMPARED = 1000  # images of a kind whose nearest training image is sought
CONTESTANTS = ("real", "synthetic", "real + synthetic", "real, augmented")


def synthesize(
    run: Run,
    folder: Path,
    per_class: Count,
    judge: bool,
    sizes: Annotated[Sequence[Count | Literal["all"]], MinLen(1)],
    seeds: Count,
    vae_steps: Count,
    classifier_steps: Count,
) -> dict[str, Any]:
    """synthetic.npz (`images` uint8, `labels` as the data set has them, `classes`; data=npz reads it): `per_class`
    images of each class, greys, the means of p(x|z) at codes from a Gaussian of the class's codes; what they look like
    and how near the training images they are. With `judge`, a classifier's accuracy by what it was trained on, see
    `contest`.

    sizes: numbers of real images, or `all`; seeds: repetitions of all that is random
    vae_steps, classifier_steps: of each training
    """
    train = run.data.source.train
    check_classes(train)
    counts = ascending(train, sizes) if judge else []
    densities = class_densities(run.vae, train, run.data.pixels, run.seed)
    made = synthesized(run.vae, densities, per_class, run.seed)
    labels = labels_for_npz(run.data.source, made.labels)
    with atomic_path(folder / "synthetic.npz") as partial:
        np.savez(partial, images=made.images, labels=labels, classes=np.array(run.data.source.classes))
    numbers = {"images": len(made.images)} | copied(run, folder, made)
    if not judge:
        return numbers
    accuracy, ratio = contest(run, counts, seeds, per_class, vae_steps, classifier_steps)
    caption = f"{classifier_steps} steps of a classifier, {seeds} seeds, {per_class} synthetic images a class"
    write_image(pictures.judged(run.config.title, caption, counts, accuracy), folder / "judged.png", scale=2)
    with atomic_path(folder / "judged.npz") as partial:
        np.savez(partial, sizes=counts, copy_ratio=ratio, **accuracy)
    return numbers | summary(counts, accuracy, ratio)


def check_classes(train: Split) -> None:
    """Raises UserError for images without classes, or with a class that is too small."""
    counts = np.unique(train.labels, return_counts=True)[1]
    if len(counts) < 2:
        raise UserError("task=synthesize draws labelled images, but all of the run's have one label: use task=sample")
    if counts.min() < 2:
        raise UserError(f"a class has {counts.min()} training image, too few for a density of its codes: give it 2")


def ascending(train: Split, sizes: Sequence[int | str]) -> list[int]:
    """The sizes as numbers of images, ascending, without those that are more than there are. Raises UserError where
    none is left, or one is too small."""
    fewest, most = 2 * len(np.unique(train.labels)), len(train.labels)
    found = [most if size == "all" else size for size in sizes if size == "all" or size <= most]
    if len(found) < len(sizes):
        log.warning("task.sizes=%s: there are %d training images, so larger sizes are left out", sizes, most)
    if not found or min(found) < fewest:
        words = f"numbers from {fewest} (two a class) to {most} (all there are), or all"
        raise UserError(f"task.sizes must be a list of {words}, got {sizes}: task.sizes=[{fewest},all]")
    return sorted(set(found))


def copied(run: Run, folder: Path, made: Split) -> dict[str, float]:
    """synthetic.png and distances.png: how near synthetic images are to training images, beside test images, which
    can't be copies, and these reconstructed, as smooth as what is synthetic. Median distances, greys in [0, 1]."""
    train, test = run.data.source.train.images, run.data.source.test
    first = class_balanced_subset(made, COMPARED, run.seed)
    index, synthetic = distances(first.images, train)
    with torch.no_grad():
        again = [as_bytes(run.vae.reconstruct(batch.x)) for batch in run.batches(tested(run.data.test))]
    found = {
        "synthetic": synthetic,
        "test": distances(tested(test).images, train)[1],
        "test, reconstructed": distances(np.concatenate(again), train)[1],
    }
    rows = []
    for label in np.unique(first.labels):
        own = np.flatnonzero(first.labels == label)[: pictures.COLUMNS]
        rows.append((run.data.source.classes[label], first.images[own], train[index[own]]))
    write_image(pictures.by_class(run.config.title, rows), folder / "synthetic.png", scale=1)
    write_image(pictures.distances(run.config.title, found), folder / "distances.png", scale=2)
    median = {name: float(np.median(values)) for name, values in found.items()}
    numbers = {f"distance of {name}": value for name, value in median.items()}
    return numbers | {"copy ratio": median["synthetic"] / median["test"]}


def tested(split: Split) -> Split:
    """As many images of a split as are compared, evenly spread: the first of MNIST's test images are neater."""
    return split.take(evenly_spread_rows(len(split.images), COMPARED))


def contest(
    run: Run, counts: list[int], seeds: int, per_class: int, vae_steps: int, classifier_steps: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """By contestant, what its classifiers were trained on, their accuracies (sizes, seeds) on the real test images; and
    the synthetic images' copy ratios (sizes, seeds).

    Of so many real images, drawn by the seed, alone: they train the generator too, but where they are all, which
    trained the run's own VAE. Each classifier sees as many batches of one size.
    """
    source, pixels, shape = run.data.source, run.data.pixels, (len(counts), seeds)
    accuracy, ratio = {name: np.zeros(shape) for name in CONTESTANTS}, np.zeros(shape)
    cells = [(i, j) for j in range(seeds) for i in range(len(counts))]
    with tqdm(total=len(cells) * (1 + len(CONTESTANTS)), desc="judging", unit="training", disable=None) as bar:
        for i, j in cells:
            seed = run.seed + j
            real = class_balanced_subset(source.train, counts[i], seed)
            complete = counts[i] == len(source.train.labels)
            vae = run.vae if complete else fitted(run.config, real, vae_steps, seed, run.device)
            made = synthesized(vae, class_densities(vae, real, pixels, seed), per_class, seed)
            some = (class_balanced_subset(split, COMPARED, 0) for split in (made, source.test))
            near = [distances(split.images, real.images)[1] for split in some]
            ratio[i, j] = np.median(near[0]) / np.median(near[1])
            bar.update()
            for name in CONTESTANTS:
                images, labels = training_set(name, real, made)
                augment = classic if "augmented" in name else None
                options = {"seed": seed, "steps": classifier_steps, "augment": augment, "device": run.device}
                judge = classifier.train(images, labels, len(source.classes), **options)
                accuracy[name][i, j] = classifier.accuracy(judge, *source.test)
                bar.update()
    return accuracy, ratio


def training_set(contestant: str, real: Split, made: Split) -> Split:
    """What a contestant's classifier is trained on: of two kinds equally much, the fewer repeated; all as often as
    there are synthetic images, so that small sets too fill whole batches."""
    kinds = {"synthetic": [made], "real + synthetic": [real, made]}.get(contestant, [real])
    most = max(len(real.labels), len(made.labels))
    rows = [np.resize(np.arange(len(kind.labels)), most) for kind in kinds]
    return Split(*(np.concatenate([kind[k][r] for kind, r in zip(kinds, rows, strict=True)]) for k in (0, 1)))


def summary(counts: list[int], accuracy: dict[str, np.ndarray], ratio: np.ndarray) -> dict[str, float]:
    """`SIZE CONTESTANT/accuracy`, `/gain` over real images alone, paired over the seeds, and of synthetic images the
    copy ratio; means over the seeds, with standard errors where there are two or more."""
    numbers: dict[str, float] = {}
    for i, count in enumerate(counts):
        for name, values in accuracy.items():
            columns = {"accuracy": values[i]}
            if name != "real":
                columns["gain"] = values[i] - accuracy["real"][i]
            if name == "synthetic":
                columns["copy ratio"] = ratio[i]
            for column, found in columns.items():
                numbers |= estimate(f"{count} {name}/{column}", found)
    return numbers
