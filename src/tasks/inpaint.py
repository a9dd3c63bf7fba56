"""Missing pixels, filled by what the visible ones say."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, MinLen
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from src.build import Run
from src.data.pixels import as_bytes, as_input
from src.data.selection import mixed_rows
from src.figures import page
from src.figures.animation import write_image
from src.figures.grids import sheet
from src.inference.importance import refine
from src.inference.inpainting import Filled, filled, marginals
from src.inference.metrics import estimate
from src.support import noise
from src.support.ranges import Count, Several

Mask = Literal["half", "box", "random"]
FITS = 4  # Gaussians fitted to p(z|visible), each from another start
TOGETHER = 25  # images
SHOWN, FILLS = 10, 3  # images in a picture, and draws of each
RANDOM = 0.75  # of the pixels are missing, by themselves
TINT = np.array([160, 190, 235], np.uint8)  # what stands for a missing pixel
WORDS = {
    "half": "the lower half is missing",
    "box": "a box in the middle is missing",
    "random": f"{100 * RANDOM:.0f} % of the pixels are missing, at random",
}


def inpaint(
    run: Run,
    folder: Path,
    mask: Mask | Annotated[Sequence[Mask], MinLen(1)],
    images: Several,
    samples: Annotated[Count, Ge(10)],
    draws: Annotated[Count, Ge(3)],
) -> dict[str, Any]:
    """MASK.png, and -log p(missing | visible) in nats and the mean squared error of a missing pixel, of the VAE and of
    the mean-fill: each pixel by itself, as often as it has a value in the training images.

    mask: `half`, `box` or `random`, or several; images: of the test set, or all that it has
    samples: codes that an image's numbers are made of
    draws: of p(z|visible), whose mean is the fill that is measured
    """
    masks = [mask] if isinstance(mask, str) else mask
    random = np.random.default_rng(noise.seed_of(run.seed, "inpainted images"))
    chosen = random.permutation(len(run.data.test.labels))[:images]
    images = len(chosen)
    x = as_input(torch.from_numpy(run.data.test.images[chosen]))
    seen = run.data.train_subset.images  # of which each fit begins with other missing parts
    donors = as_input(torch.from_numpy(seen[random.integers(len(seen), size=(images, FITS)).T]))
    base = marginals(run.data.source.train.images, run.data.pixels)
    shown = mixed_rows(run.data.test.labels[chosen], min(SHOWN, images), run.seed)
    visibles = {name: MASKS[name](x, run.seed) for name in masks}
    found: dict[str, Any] = {"images": images}
    for name, vae in inferred(run, x, visibles, donors, samples, draws).items():
        visible = visibles[name]
        fill = base.mean().to(x).expand_as(x)
        nll = {"": vae.nll.numpy(), "_mean_fill": base.nll(x, visible).numpy()}
        squares = {"": error(vae.means.mean(0), x, visible), "_mean_fill": error(fill, x, visible)}
        for word in nll:
            found |= estimate(f"{name}/nll{word}", nll[word]) | estimate(f"{name}/mse{word}", squares[word])
        found |= estimate(f"{name}/nats_saved", nll["_mean_fill"] - nll[""])
        found[f"{name}/effective_samples"] = float(vae.effective.median())
        part = Filled(vae.nll[shown], vae.means[:, shown], vae.effective[shown])
        figure = picture(run.config.title, name, x[shown], visible[shown], part, fill[shown], nll["_mean_fill"][shown])
        write_image(figure, folder / f"{name}.png", scale=1)
    return found


def half(x: Tensor, seed: int) -> Tensor:
    """The upper half is visible, (B, 1, H, W)."""
    visible = torch.zeros(len(x), 1, *x.shape[2:], dtype=torch.bool)
    visible[..., : x.shape[2] // 2, :] = True
    return visible


def box(x: Tensor, seed: int) -> Tensor:
    """All is visible but a box in the middle, half as high and half as wide."""
    visible = torch.ones(len(x), 1, *x.shape[2:], dtype=torch.bool)
    down, across = (slice(size // 4, size - size // 4) for size in x.shape[2:])
    visible[..., down, across] = False
    return visible


def scattered(x: Tensor, seed: int) -> Tensor:
    """Each pixel is missing with probability RANDOM, in each image others."""
    drawn = noise.normal(noise.seed_of(seed, "missing pixels"), torch.arange(len(x)), (1, *x.shape[2:]))
    return torch.special.ndtr(drawn) >= RANDOM


MASKS: dict[str, Callable[[Tensor, int], Tensor]] = {"half": half, "box": box, "random": scattered}


def inferred(
    run: Run, x: Tensor, visibles: dict[str, Tensor], donors: Tensor, samples: int, draws: int
) -> dict[str, Filled]:
    """`filled` of all images under each mask, some at a time."""
    parts: dict[str, list[Filled]] = {name: [] for name in visibles}
    with tqdm(total=len(x), desc="inpaint", unit="image", disable=None, leave=False, delay=1) as bar:
        for rows in torch.arange(len(x)).split(TOGETHER):
            images = x[rows].to(run.device)
            whole = refine(run.vae, images, rows, run.seed, full=True)
            for name, visible in visibles.items():
                given = images, whole, visible[rows].to(run.device), donors[:, rows].to(run.device)
                found = filled(run.vae, *given, rows, run.seed, samples, draws)
                parts[name].append(Filled(*(each.cpu() for each in found)))
            bar.update(len(rows))
    return {
        name: Filled(*(torch.cat(each, dim) for each, dim in zip(zip(*some, strict=True), (0, 1, 0), strict=True)))
        for name, some in parts.items()
    }


def error(fill: Tensor, x: Tensor, visible: Tensor) -> np.ndarray:
    """The mean squared error of a missing pixel of each image, (B,)."""
    missing = (~visible).expand_as(x)
    return (((fill - x).square() * missing).flatten(1).sum(1) / missing.flatten(1).sum(1)).numpy()


def picture(
    title: str, name: str, x: Tensor, visible: Tensor, vae: Filled, fill: Tensor, fill_nll: np.ndarray
) -> Figure:
    """Images, what is visible of them, and how it is filled."""
    tinted = np.where(visible, as_bytes(x), TINT[:, None, None])
    fills = [as_bytes(torch.where(visible, x, each)) for each in (vae.means.mean(0), *vae.means[:FILLS], fill)]
    names = [
        "filled: mean of\np(x | visible)",
        *(f"mean of p(x | z),\ndraw {i + 1} of z" for i in range(FILLS)),
        "mean-fill",
    ]
    rows = [("test image", as_bytes(x)), ("visible", tinted), *zip(names, fills, strict=True)]
    notes = [f"{page.number(float(a), 0)}\n{page.number(float(b), 0)}" for a, b in zip(vae.nll, fill_nll, strict=True)]
    figure = sheet(title, f"{WORDS[name]}; beneath, −log p(missing | visible) in nats", rows, notes)
    beneath = page.size(figure)[1] - page.MARGIN - 20
    page.write(figure, page.MARGIN, beneath, "of the VAE\nof the mean-fill", points=8.5)
    return figure
