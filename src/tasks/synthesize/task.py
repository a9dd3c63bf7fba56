"""Labelled synthetic images, and whether they help a classifier of real images, in comparison with augmentation."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import MinLen
from tqdm import tqdm

from src.build import Run
from src.data.labels import labels_for_npz
from src.data.pixels import Pixels, as_bytes
from src.data.selection import class_balanced_subset, evenly_spread_rows
from src.data.sources import Split
from src.evaluation import classifier
from src.evaluation.classifier import Classifier
from src.figures.animation import write_image
from src.support.console import stages
from src.support.errors import UserError
from src.support.files import atomic_path
from src.support.ranges import Count
from src.support.statistics import Estimate, estimate
from src.tasks.synthesize import pictures
from src.tasks.synthesize.generator import augment, distances, make_images, train_vae

log = logging.getLogger(__name__)
COMPARED = 1000  # images of a kind for which the nearest training image is searched
CONTESTANTS = ("real", "synthetic", "real + synthetic", "real, augmented")
AUGMENTATIONS = {"real, augmented": augment}  # for those contestants whose images are augmented


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
    """Make `per_class` images of each class: means of p(x|z) at codes from a Gaussian of the codes of the class, or of
    p(x|z, y) at codes from the prior of a conditional model, with whose labels `agreement` is a classifier's. Where the
    means have no closed form, draws take their place.

    Writes synthetic.npz (`images` uint8, `labels` as the data set has them, `classes`), which data=images reads, and
    pictures of the images and of their distances from training images. With `judge`, `contest` measures the accuracy of
    classifiers by what they were trained on, for judged.png and judged.npz.

    sizes: numbers of real images, or `all`; seeds: repetitions of all that is random
    vae_steps, classifier_steps: the steps of each training
    """
    source = run.data.source
    if run.vae.averages_draws and run.data.pixels == Pixels.BINARY:
        raise UserError(
            "task=synthesize makes gray images, this run binary ones: train it with likelihood.pixel=logistic256"
        )
    check_classes(source.train)
    counts = numbers_of_images(source.train, sizes) if judge else []
    made = make_images(run.vae, source.train, run.data.pixels, per_class, run.seed)
    labels = labels_for_npz(source, made.labels)
    with atomic_path(folder / "synthetic.npz") as file:
        np.savez(file, images=made.images, labels=labels, classes=np.array(source.classes))
    numbers: dict[str, Any] = {"images": len(made.images)} | compare_with_training_images(run, folder, made)
    if run.vae.condition is not None:
        judging = classifier.load_or_train(source, "grey", device=run.device)
        numbers |= {"agreement": classifier.accuracy(judging, made)}
        numbers |= {"accuracy of the classifier": classifier.accuracy(judging, source.test)}
    if not judge:
        return numbers
    generator = partial(generate_from, run, per_class=per_class, vae_steps=vae_steps)
    train = partial(classifier.train, classes=len(source.classes), steps=classifier_steps, device=run.device)
    accuracy, ratio = contest(run, counts, seeds, generator, train)
    caption = f"{classifier_steps} steps of a classifier, {seeds} seeds, {per_class} synthetic images a class"
    write_image(pictures.accuracies(run.config.title, caption, counts, accuracy), folder / "judged.png", scale=2)
    with atomic_path(folder / "judged.npz") as file:
        np.savez(file, sizes=counts, copy_ratio=ratio, **accuracy)
    return numbers | summary(counts, accuracy, ratio)


def check_classes(train: Split) -> None:
    """Raise UserError for images without classes, or with a class of fewer than two."""
    counts = np.unique(train.labels, return_counts=True)[1]
    if len(counts) < 2:
        raise UserError(
            "task=synthesize draws labelled images, but all images of the run have one label: use task=sample"
        )
    if counts.min() < 2:
        raise UserError(f"a class has {counts.min()} training image, too few for a density of its codes: give it 2")


def numbers_of_images(train: Split, sizes: Sequence[int | str]) -> list[int]:
    """The sizes as numbers of images, ascending, without those that exceed the number of training images.

    Raises UserError where none is left, or one is below two images a class.
    """
    fewest, most = 2 * len(np.unique(train.labels)), len(train.labels)
    counts = [most if size == "all" else size for size in sizes if size == "all" or size <= most]
    if len(counts) < len(sizes):
        log.warning("task.sizes=%s: there are %d training images, so larger sizes are left out", sizes, most)
    if not counts or min(counts) < fewest:
        allowed = f"numbers from {fewest} (two a class) to {most} (all there are), or all"
        raise UserError(f"task.sizes must be a list of {allowed}, got {sizes}: task.sizes=[{fewest},all]")
    return sorted(set(counts))


def compare_with_training_images(run: Run, folder: Path, made: Split) -> dict[str, float]:
    """Write synthetic.png and distances.png; return median distances to the nearest training image.

    Intensities are in [0, 1]. The distances are those of synthetic images, of test images, which can't be copies, and
    of reconstructed test images, which are as smooth as the synthetic ones.
    """
    train, test = run.data.source.train.images, run.data.source.test
    first = class_balanced_subset(made, COMPARED, run.seed)
    index, synthetic = distances(first.images, train)
    with torch.no_grad():
        batches = run.batches(compared_images(run.data.test))
        reconstructed = [as_bytes(run.vae.given(batch.y).reconstruct(batch.x)) for batch in batches]
    nearest = {
        "synthetic": synthetic,
        "test": distances(compared_images(test).images, train)[1],
        "test, reconstructed": distances(np.concatenate(reconstructed), train)[1],
    }
    rows = []
    for label in np.unique(first.labels):
        own = np.flatnonzero(first.labels == label)[: pictures.COLUMNS]
        rows.append((run.data.source.classes[label], first.images[own], train[index[own]]))
    write_image(pictures.by_class(run.config.title, rows), folder / "synthetic.png", scale=1)
    write_image(pictures.distances(run.config.title, nearest), folder / "distances.png", scale=2)
    median = {name: float(np.median(values)) for name, values in nearest.items()}
    numbers = {f"distance of {name}": value for name, value in median.items()}
    ratio = copy_ratio(nearest["synthetic"], nearest["test"])
    return numbers | ({} if np.isnan(ratio) else {"copy ratio": ratio})


def copy_ratio(synthetic: np.ndarray, test: np.ndarray) -> float:
    """The median distance of synthetic images from the nearest training images, in units of that of test images.

    It is NaN where half of the test images or more are copies of training images.
    """
    return float(np.median(synthetic) / np.median(test)) if np.median(test) else np.nan


def compared_images(split: Split) -> Split:
    """COMPARED images of a split, evenly spread, since the first of MNIST's test images are neater than the last."""
    return split.take(evenly_spread_rows(len(split.images), COMPARED))


def generate_from(run: Run, real: Split, seed: int, per_class: int, vae_steps: int) -> Split:
    """Synthetic images from a generator that was trained on these real images alone: the run's own VAE where they are
    all its training images, else another one."""
    complete = len(real.labels) == len(run.data.source.train.labels)
    vae = run.vae if complete else train_vae(run.config, real, vae_steps, seed, run.device)
    return make_images(vae, real, run.data.pixels, per_class, seed)


def contest(
    run: Run,
    counts: list[int],
    seeds: int,
    generator: Callable[[Split, int], Split],
    train: Callable[..., Classifier],
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Accuracies (sizes, seeds) of classifiers by contestant, and copy ratios (sizes, seeds) of the synthetic images.

    A contestant is the kind of images that a classifier is trained on; accuracies are measured on real test images.

    For each of `counts`, all training starts from that many real images, chosen by the seed. All classifiers see
    equally many batches of one size.

    generator: called with real images and a seed, returns synthetic images
    train: called with images, `seed` and `augment`, returns a classifier
    """
    source, shape = run.data.source, (len(counts), seeds)
    accuracy, ratio = {name: np.zeros(shape) for name in CONTESTANTS}, np.zeros(shape)
    cells = [(i, j) for j in range(seeds) for i in range(len(counts))]
    sizes = {f"{counts[i]:,} real images, seed {j + 1} of {seeds}": 1 for i, j in cells}
    with tqdm(total=len(cells) * (1 + len(CONTESTANTS)), desc="judging", unit="training", disable=None) as bar:
        for (i, j), _ in zip(cells, stages(sizes), strict=True):
            seed = run.seed + j
            real = class_balanced_subset(source.train, counts[i], seed)
            made = generator(real, seed)
            some = (class_balanced_subset(split, COMPARED, 0) for split in (made, source.test))
            ratio[i, j] = copy_ratio(*(distances(split.images, real.images)[1] for split in some))
            bar.update()
            for name in CONTESTANTS:
                judge = train(training_set(name, real, made), seed=seed, augment=AUGMENTATIONS.get(name))
                accuracy[name][i, j] = classifier.accuracy(judge, source.test)
                bar.update()
    return accuracy, ratio


def training_set(contestant: str, real: Split, made: Split) -> Split:
    """The images that a contestant's classifier is trained on.

    Of two kinds there are equally many, the smaller set being repeated. Every contestant has as many images as there
    are synthetic ones, so that batches are full for small sets too.
    """
    kinds = {"synthetic": [made], "real + synthetic": [real, made]}.get(contestant, [real])
    most = max(len(real.labels), len(made.labels))
    rows = [np.resize(np.arange(len(kind.labels)), most) for kind in kinds]
    return Split(*(np.concatenate([kind[k][r] for kind, r in zip(kinds, rows, strict=True)]) for k in (0, 1)))


def summary(counts: list[int], accuracy: dict[str, np.ndarray], ratio: np.ndarray) -> dict[str, dict[str, Estimate]]:
    """A row for each `SIZE CONTESTANT`: its `accuracy`, its `gain` over real images alone, paired over the seeds, and
    the `copy ratio` of synthetic images; means over the seeds, with standard errors where there are two or more."""
    table: dict[str, dict[str, Estimate]] = {}
    for i, count in enumerate(counts):
        for name, values in accuracy.items():
            row = {"accuracy": estimate(values[i])}
            if name != "real":
                row["gain"] = estimate(values[i] - accuracy["real"][i])
            if name == "synthetic" and not np.isnan(ratio[i]).any():
                row["copy ratio"] = estimate(ratio[i])
            table[f"{count} {name}"] = row
    return table
