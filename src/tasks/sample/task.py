"""New images: codes from the prior, or from a density fitted to the codes of the training images, decoded."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import MinLen
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from src.build import Run
from src.data.selection import labels_by_class
from src.evaluation import quality
from src.evaluation.samplers import Generated, check_samplers, generate, make_samplers
from src.figures.animation import write_image
from src.figures.grids import MAX_CLASSES, class_rows
from src.inference.metrics import nearest
from src.support.errors import UserError
from src.support.files import atomic_path
from src.support.folders import ResultsFolder
from src.support.ranges import Count, NonNegative, Positive
from src.tasks.captions import mean_of
from src.tasks.sample.levels import top_levels
from src.tasks.sample.pictures import COLUMNS, MOST, side_by_side, strips
from src.tasks.sample.styles import more, styles, transfer

log = logging.getLogger(__name__)
STRIP = 12  # images in the row of each sampler


def sample(
    run: Run,
    folder: Path,
    count: Count,
    samplers: Annotated[Sequence[Literal["prior", "gmm", "flow", "aggregate"]], MinLen(1)],
    temperature: Positive | Annotated[Sequence[NonNegative], MinLen(1)],
    compare: bool,
    files: bool,
) -> dict[str, Any]:
    """Make `count` images by the first sampler, and a row of images by each sampler.

    Writes the former, each beside the nearest training image, to samples.png and samples.npz, and with `files` also
    each as a PNG; the rows to samplers.png. The images of a conditional model are equally many of each class; with
    another label they are in styles.png and transfer.png. A hierarchy has the samplers `prior` and `aggregate`,
    levels.png, and a temperature for each level, from the top.

    Returns the distances of each sampler's images from test images, and their floors (src/evaluation/quality.py).
    """
    is_conditional = run.vae.condition is not None
    samplers = without_densities(samplers) if run.vae.levels else samplers
    check_samplers(run, samplers, temperature)
    if compare and (reason := quality.obstacle(run)):
        log.warning("samples are not compared: %s", reason)
        compare = False
    references = quality.references(run) if compare else {}
    size = max(count, STRIP, quality.count(run) if compare else 0)
    functions = make_samplers(run, samplers, temperature)
    images = {name: generate(run, sampler, size, name) for name, sampler in functions.items()}
    made = images[samplers[0]].take(slice(count))
    if is_conditional:
        labels = labels_by_class(run.data.source.train.labels, count)
        made = generate(run, functions[samplers[0]], count, samplers[0], labels)
        write_image(styles(run), folder / "styles.png", scale=1)
        write_image(transfer(run), folder / "transfer.png", scale=1)
    write_samples(run, folder, made, samplers[0])
    if run.vae.levels:
        write_image(top_levels(run), folder / "levels.png", scale=1)
    if files:
        write_files(folder, made, count)
    distances: dict[str, Any] = {}
    if compare:
        for name, made in tqdm(images.items(), "comparing", unit="sampler", disable=None, leave=False, delay=1):
            some = made.take(slice(quality.count(run)))
            labels, kinds = some.labels if is_conditional else None, {"means": some.means, "draws": some.draws}
            distances[name] = {kind: against.distances(kinds[kind], labels) for kind, against in references.items()}
        distances["floor"] = quality.floors(references, with_labels=is_conditional)
    write_image(overview(run, images, distances), folder / "samplers.png", scale=1)
    return {"count": count} | distances


def without_densities(samplers: Sequence[str]) -> list[str]:
    """The samplers that a hierarchy has, since no density is fitted to so many dimensions. Raises UserError where there
    is none."""
    if left_out := [name for name in samplers if name in ("gmm", "flow")]:
        log.warning("samplers %s are left out: they are fitted to codes of one level", ", ".join(left_out))
    if remaining := [name for name in samplers if name not in left_out]:
        return remaining
    raise UserError("task.samplers: this run has a hierarchy of levels, of which there are prior and aggregate alone")


def overview(run: Run, images: Mapping[str, Generated], distances: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Some means of each sampler, or draws where these are compared alone, over training images, with their Fréchet
    distances if there are any."""
    kind = quality.kinds(run)[0]
    rows = {name: getattr(made, kind)[:STRIP] for name, made in images.items()}
    rows["training images"] = run.data.source.train.images[:STRIP]
    frechet = {name: table[kind]["frechet"] for name, table in distances.items()}
    caption = f"{'means of' if kind == 'means' else 'draws from'} p(x | z), by what z is drawn from"
    if distances:
        frechet["training images"] = frechet.pop("floor")
        caption += f"; Fréchet distance of {quality.count(run):,} to as many test images"
    return strips(run.config.title, caption, rows, frechet)


def write_samples(run: Run, folder: Path, images: Generated, name: str) -> None:
    """Write samples.png and samples.npz, with the training images nearest to the means."""
    train = run.data.source.train.images
    index = nearest(images.means, train)
    of_label = "" if run.vae.condition is None else ", y"
    mean = mean_of(run.vae)
    grids = [
        (f"{mean} p(x | z{of_label}), z from the {name}", images.means),
        (f"draw from p(x | z{of_label}), the same z", images.draws),
        ("training image nearest to the mean", train[index]),
    ]
    arrays = images._asdict() | {"nearest": index}
    if run.vae.condition is None:
        caption = f"{len(index)} samples" + (f", the first {MOST}" if len(index) > MOST else "")
        figure = side_by_side(run.config.title, caption, grids)
        del arrays["labels"]
    else:
        figure = side_by_side(run.config.title, *rows_of_classes(run, grids, images.labels))
    write_image(figure, folder / "samples.png", scale=1)
    with atomic_path(ResultsFolder(folder).samples) as partial:
        np.savez(partial, **arrays)


def rows_of_classes(
    run: Run, grids: Sequence[tuple[str, np.ndarray]], labels: np.ndarray
) -> tuple[str, list[tuple[str, np.ndarray]], list[str]]:
    """The caption of samples by class, those of the grids that are shown, in rows, and the names of the rows."""
    shown, classes = class_rows(labels, MAX_CLASSES, COLUMNS)
    names = [run.data.source.classes[label] for label in classes]
    caption = f"{len(labels)} samples, a row for each class{more(run)}"
    return caption, [(heading, images[shown.ravel()]) for heading, images in grids], names


def write_files(folder: Path, images: Generated, count: int) -> None:
    """Write each of the first `count` images as a PNG, in means/ and draws/."""
    digits = len(str(count - 1))
    for kind, arrays in (("means", images.means), ("draws", images.draws)):
        (folder / kind).mkdir()
        for i, image in enumerate(arrays[:count]):
            picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
            picture.save(folder / kind / f"{i:0{digits}d}.png")
