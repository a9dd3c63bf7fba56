"""Missing pixels, inferred from the visible ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from annotated_types import Ge, MinLen
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from src.build import Run
from src.data.batches import Batch
from src.data.pixels import as_bytes, as_input
from src.data.selection import mixed_rows
from src.figures import page
from src.figures.animation import write_image
from src.figures.grids import sheet
from src.inference import inpainting
from src.inference.importance import encoder_parameters, refine
from src.inference.inpainting import Fits, Inpainting, Masked, fit_codes, marginals
from src.support.errors import UserError
from src.support.noise import Noise, seed_of
from src.support.ranges import Count, Several
from src.support.statistics import estimate
from src.tasks.conditional import given_labels, mark_conditional
from src.tasks.own_images import Invert, White, examples

Mask = Literal["half", "box", "random"]
FITS = 4  # Gaussians fitted to p(z|visible), each from another start
TOGETHER = 25  # images that are inpainted at a time
PICTURED, DRAWN = 10, 3  # images in a picture, and draws of each
MISSING = 0.75  # share of the pixels that `random` hides
TINT = np.array([160, 190, 235], np.uint8)  # colour of a missing pixel
CAPTIONS = {
    "half": "the lower half is missing",
    "box": "a box in the middle is missing",
    "random": f"{100 * MISSING:.0f} % of the pixels are missing, at random",
}


class Fill(NamedTuple):
    """Images (B, C, H, W) with which missing pixels are filled, and -log p(missing | visible) in nats, (B,)."""

    images: Tensor
    nll: Tensor


def inpaint(
    run: Run,
    folder: Path,
    mask: Mask | Annotated[Sequence[Mask], MinLen(1)],
    images: Several,
    samples: Annotated[Count, Ge(10)],
    draws: Annotated[Count, Ge(3)],
    input: str | None,
    invert: Invert,
    white: White,
    skip_broken: bool,
) -> dict[str, Any]:
    """Write MASK.png, and measure how well the VAE and the mean-fill predict the missing pixels.

    The numbers are -log p(missing | visible) in nats and the mean squared error of a missing pixel. The mean-fill
    predicts each pixel by itself, from the frequencies of its values in the training images.

    mask: `half`, `box` or `random`, or several; images: how many of the test images, or all if there are fewer
    samples: codes from which an image's numbers are estimated
    draws: how many draws of p(z|visible) for each image; their mean is the fill that is measured
    input: a file or a folder of the user's images, to take these instead
    invert, white, skip_broken: see read_own_images
    """
    masks = [mask] if isinstance(mask, str) else mask
    source = examples(run, input, invert, white, skip_broken)
    random = np.random.default_rng(seed_of(run.seed, "inpainted images"))
    rows = random.permutation(len(source))[:images]
    batch = source.batch(rows)
    check_likelihood(run, batch)
    others = run.data.train_subset.images  # each fit begins with the missing pixels of another image
    donors = as_input(torch.from_numpy(others[random.integers(len(others), size=(len(rows), FITS)).T]))
    masked = {name: Masked(batch, MASKS[name](batch.x, run.seed)) for name in masks}
    pixels = marginals(run.data.source.train.images, run.data.pixels)
    classes = source.classes[rows] if len(source.classes) else np.zeros(len(rows), np.int64)
    pictured = mixed_rows(classes, min(PICTURED, len(rows)), run.seed)
    numbers: dict[str, Any] = {"images": len(rows)}
    for name, result in inpaint_all(run, masked, donors, samples, draws).items():
        x, visible = batch.x.cpu(), masked[name].visible.cpu()
        vae = Fill(result.means.mean(0), result.nll)
        mean_fill = Fill(pixels.mean().to(x).expand_as(x), pixels.nll(x, visible))
        numbers[name] = compare_fills(x, visible, vae, mean_fill)
        numbers[name]["effective_samples"] = float(result.effective.median())
        fills = {"filled: mean of\np(x | visible)": vae.images}
        fills |= {f"mean of p(x | z),\ndraw {i + 1} of z": result.means[i] for i in range(DRAWN)}
        fills |= {"mean-fill": mean_fill.images}
        caption = f"{CAPTIONS[name]}; beneath, −log p(missing | visible) in nats{given_labels(run)}"
        shown = {name: fill[pictured] for name, fill in fills.items()}
        sheet_rows = [*source.picture_rows(rows[pictured]).items(), *image_rows(x[pictured], visible[pictured], shown)]
        notes = [(float(vae.nll[i]), float(mean_fill.nll[i])) for i in pictured]
        write_image(picture(run.config.title, caption, sheet_rows, notes), folder / f"{name}.png", scale=1)
    return mark_conditional(run, numbers)


@torch.no_grad()
def check_likelihood(run: Run, batch: Batch) -> None:
    """Raise UserError if pixels depend on each other given the code, so that visible ones have no density, or if there
    are more codes than can be searched."""
    if run.vae.levels:
        raise UserError("task=inpaint searches codes of one level, and this run has a hierarchy")
    vae = run.vae.given(batch.y[:1].to(run.device))
    if vae.decode(vae.encode(batch.x[:1].to(run.device)).mean).factors() is None:
        raise UserError("task=inpaint needs a likelihood that factorises over the pixels, and this run's does not")


def half(x: Tensor, seed: int) -> Tensor:
    """A mask in which the upper half is visible, (B, 1, H, W)."""
    visible = torch.zeros(len(x), 1, *x.shape[2:], dtype=torch.bool, device=x.device)
    visible[..., : x.shape[2] // 2, :] = True
    return visible


def box(x: Tensor, seed: int) -> Tensor:
    """A mask that hides a box in the middle, half as high and half as wide as the image."""
    visible = torch.ones(len(x), 1, *x.shape[2:], dtype=torch.bool, device=x.device)
    down, across = (slice(size // 4, size - size // 4) for size in x.shape[2:])
    visible[..., down, across] = False
    return visible


def random_pixels(x: Tensor, seed: int) -> Tensor:
    """A mask that hides each pixel with probability MISSING, independently in each image."""
    height, width = x.shape[2:]
    eps = Noise(seed).at("missing pixels").normal(torch.arange(len(x)), height * width, like=x)
    return torch.special.ndtr(eps).view(-1, 1, height, width) >= MISSING


MASKS: dict[str, Callable[[Tensor, int], Tensor]] = {"half": half, "box": box, "random": random_pixels}


def inpaint_all(
    run: Run, masked: Mapping[str, Masked], donors: Tensor, samples: int, draws: int
) -> dict[str, Inpainting]:
    """Inpaint images under each mask, TOGETHER at a time; the results are on the CPU.

    masked: the same batch of B images under each mask; donors: (FITS, B, C, H, W), see `fit_codes`
    """
    parts: dict[str, list[Inpainting]] = {name: [] for name in masked}
    for rows, batch in chunks(next(iter(masked.values())).batch):
        noise = Noise(run.seed)
        whole = refine(run.vae, batch, noise, encoder_parameters(run.vae, batch, noise))
        for name, images in masked.items():
            part = Masked(batch, images.visible[rows])
            fits = Fits(fit_codes(run.vae, part, donors[:, rows.cpu()].to(batch.x), noise), whole)
            result = inpainting.inpaint(run.vae, part, fits, noise, samples, draws)
            parts[name].append(Inpainting(*(each.cpu() for each in result)))
    return {
        name: Inpainting(*(torch.cat(each, dim) for each, dim in zip(zip(*some, strict=True), (0, 1, 0), strict=True)))
        for name, some in parts.items()
    }


def chunks(batch: Batch) -> Iterator[tuple[Tensor, Batch]]:
    """At most TOGETHER images of a batch at a time with their rows, and a progress bar."""
    with tqdm(total=len(batch.x), desc="inpaint", unit="image", disable=None, leave=False, delay=1) as bar:
        for rows in torch.arange(len(batch.x), device=batch.x.device).split(TOGETHER):
            yield rows, Batch(*(each[rows] for each in batch))
            bar.update(len(rows))


def compare_fills(x: Tensor, visible: Tensor, vae: Fill, mean_fill: Fill) -> dict[str, Any]:
    """The numbers of both fills, and the nats that the VAE saves."""
    return {
        "nll": estimate(vae.nll),
        "mse": estimate(missing_error(vae.images, x, visible)),
        "nll_mean_fill": estimate(mean_fill.nll),
        "mse_mean_fill": estimate(missing_error(mean_fill.images, x, visible)),
        "nats_saved": estimate(mean_fill.nll.numpy() - vae.nll.numpy()),
    }


def missing_error(fill: Tensor, x: Tensor, visible: Tensor) -> np.ndarray:
    """The mean squared error of a missing pixel of each image, (B,)."""
    missing = (~visible).expand_as(x)
    return (((fill - x).square() * missing).flatten(1).sum(1) / missing.flatten(1).sum(1)).numpy()


def image_rows(x: Tensor, visible: Tensor, fills: Mapping[str, Tensor]) -> list[tuple[str, np.ndarray]]:
    """Rows of a picture: the visible pixels of images, and how each of `fills` completes them."""
    tinted = np.where(visible, as_bytes(x), TINT[:, None, None])
    completed = [(name, as_bytes(torch.where(visible, x, fill))) for name, fill in fills.items()]
    return [("visible", tinted), *completed]


def picture(
    title: str, caption: str, rows: list[tuple[str, np.ndarray]], nlls: Sequence[tuple[float, float]]
) -> Figure:
    """Draw rows of images, and beneath each column -log p(missing | visible) of the VAE and of the mean-fill."""
    notes = ["\n".join(page.number(nats, 0) for nats in pair) for pair in nlls]
    figure = sheet(title, caption, rows, notes)
    beneath = page.size(figure)[1] - page.MARGIN - 20
    page.write(figure, page.MARGIN, beneath, "of the VAE\nof the mean-fill", points=8.5)
    return figure
