"""New images: codes from the prior or from a density fitted to the training images' codes, decoded."""

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
from src.evaluation import quality
from src.evaluation.samplers import Generated, check, fitted, generate
from src.figures.animation import write_image
from src.inference.metrics import nearest
from src.support.files import atomic_path
from src.support.folders import ResultsFolder
from src.support.ranges import Count, Positive
from src.tasks.sample.pictures import MOST, side_by_side, strips

log = logging.getLogger(__name__)
STRIP = 12  # images of each sampler, side by side


def sample(
    run: Run,
    folder: Path,
    count: Count,
    samplers: Annotated[Sequence[Literal["prior", "gmm", "flow", "aggregate"]], MinLen(1)],
    temperature: Positive,
    compare: bool,
    files: bool,
) -> dict[str, Any]:
    """`count` images by the first sampler as samples.png and samples.npz, each beside the nearest training image; a row
    of each sampler's as samplers.png; with `files` each image as a PNG. The numbers are src/evaluation/quality.py's."""
    check(run, samplers, temperature)
    if compare and (why := quality.unmeasurable(run)):
        log.warning("samples are not compared: %s", why)
        compare = False
    against = quality.references(run) if compare else {}
    size = max(count, STRIP, quality.count(run) if compare else 0)
    made = {name: generate(run, draw, size, name) for name, draw in fitted(run, samplers, temperature).items()}
    write(run, folder, Generated(*(array[:count] for array in made[samplers[0]])), samplers[0], files)
    numbers = {}
    for name, images in tqdm(made.items(), "comparing", unit="sampler", disable=None, leave=False, delay=1):
        kinds = {kind: getattr(images, kind)[: quality.count(run)] for kind in against}
        numbers |= {f"{name}/{key}": value for key, value in quality.compared(against, kinds).items()}
    numbers |= quality.floors(against)
    write_image(overview(run, made, numbers), folder / "samplers.png", scale=1)
    return {"count": count} | numbers


def overview(run: Run, made: Mapping[str, Generated], numbers: Mapping[str, float]) -> Figure:
    """Some means of each sampler over training images, with their Fréchet distances if `numbers` has them."""
    rows = {name: images.means[:STRIP] for name, images in made.items()}
    rows["training images"] = run.data.source.train.images[:STRIP]
    found = {name: numbers.get(f"{name}/means/frechet") for name in made}
    found["training images"] = numbers.get("floor/means/frechet")
    caption = "means of p(x | z), by what z is drawn from"
    if numbers:
        caption += f"; Fréchet distance of {quality.count(run):,} to as many test images"
    return strips(run.config.title, caption, rows, found)


def write(run: Run, folder: Path, images: Generated, name: str, files: bool) -> None:
    """samples.png, samples.npz and, with `files`, means/ and draws/ of PNGs."""
    train = run.data.source.train.images
    index = nearest(images.means, train)
    grids = [
        (f"mean of p(x | z), z from the {name}", images.means),
        ("draw from p(x | z), the same z", images.draws),
        ("training image nearest to the mean", train[index]),
    ]
    caption = f"{len(index)} samples" + (f", the first {MOST}" if len(index) > MOST else "")
    write_image(side_by_side(run.config.title, caption, grids), folder / "samples.png", scale=1)
    with atomic_path(ResultsFolder(folder).samples) as partial:
        np.savez(partial, **images._asdict(), nearest=index)
    if files:
        digits = len(str(len(index) - 1))
        for kind in ("means", "draws"):
            (folder / kind).mkdir()
            for i, image in enumerate(getattr(images, kind)):
                grey = image.shape[0] == 1
                picture = Image.fromarray(image[0] if grey else image.transpose(1, 2, 0))
                picture.save(folder / kind / f"{i:0{digits}d}.png")
