"""Each latent dimension through the prior's quantiles, the others fixed at a real image's code; of a hierarchy the code
of each level, scaled."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from src.build import Run
from src.data.batches import Batch
from src.data.pixels import as_bytes
from src.figures.animation import write_animation, write_image
from src.inference import metrics
from src.inference.metrics import ACTIVE
from src.models.vae import VAE
from src.support.errors import UserError
from src.support.noise import Noise
from src.support.ranges import Count, Several, Whole
from src.tasks import walks
from src.tasks.captions import means_of
from src.tasks.examples import Examples
from src.tasks.own_images import Invert, White, examples

ENDS = 0.01, 0.99  # quantiles at which a sweep begins and ends
SCALES = 0.0, 2.0  # of the way from the prior's mean to a level's code, at which its sweep begins and ends
PRIOR_DRAWS = 10_000  # from which the quantiles of a learned prior are estimated
MOVING, FRAMES = 6, 21  # images in the animation, and its frames in one direction
GRID = 20  # codes along each side of the plane


def traverse(
    run: Run,
    folder: Path,
    image: Whole | None,
    steps: Several,
    dimensions: Count | None,
    input: str | None,
    invert: Invert,
    white: White,
    skip_broken: bool,
) -> dict[str, Any]:
    """Write traversal.png of a test image, traversal.gif of several, and for two latent dimensions manifold.png.

    Each row is an active dimension, at most `dimensions` of them: the one with the largest KL first, or the one with
    the largest variance where the KL of single dimensions has no closed form. Of a hierarchy each row is a level, from
    the top, whose code goes from the mean of its prior through the image's own to twice as far.

    input: a file or a folder of the user's images, to take these instead
    invert, white, skip_broken: see read_own_images
    """
    source, test = examples(run, input, invert, white, skip_broken), run.data.test
    if image is not None and image >= len(source):
        raise UserError(f"task.image must be from 0 to {len(source) - 1}, or null, got {image}")
    batches = run.batches(test if len(test.labels) > 1 else run.train)  # codes of a single image do not vary
    progress = tqdm(batches, "codes", unit="batch", disable=None, leave=False, delay=1)
    names, costs, criterion = level_rows(run, progress) if run.vae.levels else dimension_rows(run, progress)
    names = dict(list(names.items())[:dimensions])
    mixed = source.mixed_rows(MOVING).tolist()
    chosen = mixed[0] if image is None else image
    figure = traversal(source, chosen, names, np.linspace(*ends(run.vae), steps), criterion)
    write_image(figure, folder / "traversal.png", scale=1)
    figure, show = animated_traversal(source, [chosen, *(row for row in mixed if row != chosen)][:MOVING], names)
    there_and_back = [*range(FRAMES), *range(FRAMES - 2, -1, -1)]
    write_animation(figure, show, there_and_back, folder / "traversal.gif")
    if run.vae.latent_dim == 2:
        write_image(manifold(source, chosen), folder / "manifold.png", scale=1)
    return {"image": chosen} | costs


def dimension_rows(run: Run, batches: Iterable[Batch]) -> tuple[dict[int, str], dict[str, Any], str]:
    """The active dimensions with their names, what is reported of them, and by what they are ordered."""
    means, kl = metrics.dimensions(run.vae, batches)
    variance = means.var(0, dtype=np.float64)
    order = active_dimensions(variance, kl)
    numbers: dict[str, Any] = {"active_units": len(order)}
    for d in order:
        numbers[f"dimension {d}"] = {"variance": float(variance[d])} | ({} if kl is None else {"kl": kl[d]})
    criterion = "the largest variance of codes" if kl is None else "the largest mean KL"
    names = {d: dimension_name(d, variance, kl) for d in order}
    return names, numbers, f"one latent dimension swept a row, {criterion} on top"


def level_rows(run: Run, batches: Iterable[Batch]) -> tuple[dict[int, str], dict[str, Any], str]:
    """The levels of a hierarchy with their names, their mean KL, and what a row shows."""
    what = "the code of one level scaled a row, the top level on top"
    kl = metrics.elbo_terms(run.vae, batches, Noise(run.seed))["kl_per_level"].mean(0)
    names = {level: f"level {level + 1}\n{nats:.2f} nats" for level, nats in enumerate(kl)}
    return names, {f"level {level + 1}": {"kl": float(nats)} for level, nats in enumerate(kl)}, what


def ends(vae: VAE) -> tuple[float, float]:
    """Where a sweep begins and ends: quantiles of the prior, or of a hierarchy factors on the code of a level."""
    return SCALES if vae.levels else ENDS


def active_dimensions(variance: np.ndarray, kl: np.ndarray | None, threshold: float = ACTIVE) -> list[int]:
    """The dimensions whose posterior means have a variance (D,) above the threshold, by falling KL (D,) or variance.

    Raises UserError where there are none.
    """
    order = np.argsort(-(variance if kl is None else kl), kind="stable")
    active = [int(d) for d in order if variance[d] > threshold]
    if not active:
        raise UserError("no latent dimension is active: all codes are the same, train with a smaller beta")
    return active


def dimension_name(d: int, variance: np.ndarray, kl: np.ndarray | None) -> str:
    """The number of a dimension, above its KL or its variance."""
    return f"dimension {d}\n" + (f"variance {variance[d]:.2f}" if kl is None else f"{kl[d]:.2f} nats")


@torch.no_grad()
def quantiles(vae: VAE, levels: np.ndarray) -> Tensor:
    """The prior's quantiles in each dimension, (S, 1, D) for levels (S,), or (S, B, D) of p(z|y) for B labels.

    They are exact where the prior has a closed form, and otherwise those of PRIOR_DRAWS samples.
    """
    p, device = vae.prior(), next(vae.parameters()).device
    levels = torch.as_tensor(levels, dtype=torch.get_default_dtype(), device=device)
    exact = p.quantiles(levels)
    found = p.sample((PRIOR_DRAWS,)).quantile(levels, dim=0) if exact is None else exact
    return found if p.batch_shape else found[:, None]


def replace_dimension(z: Tensor, dimension: int, values: Tensor) -> Tensor:
    """The codes z (N, D) with one dimension at each of `values` (S, N) or (S, 1): (S, N, D)."""
    swept = z.repeat(len(values), 1, 1)
    swept[..., dimension] = values
    return swept


def scale_level(z: Tensor, centre: Tensor, levels: Sequence[int], level: int, factors: Tensor) -> Tensor:
    """The codes z (N, D) with the code of one level at each of `factors` (S,) of the way from `centre` (..., D) to it,
    (S, N, D)."""
    parts = [part.expand(len(factors), *part.shape) for part in z.split(levels, -1)]
    start = centre.split(levels, -1)[level]
    parts[level] = start + factors[:, None, None] * (parts[level] - start)
    return torch.cat(parts, -1)


def sweeps_of(vae: VAE, z: Tensor, levels: np.ndarray) -> Callable[[int], tuple[Tensor, int]]:
    """What gives, for a dimension or a level, the codes (S, N, D) of its sweep, and the place of the first image's own
    code among them."""
    if vae.levels:
        factors, centre = torch.as_tensor(levels, dtype=z.dtype, device=z.device), vae.prior().mean
        return lambda level: (scale_level(z, centre, vae.levels, level, factors), int((factors - 1).abs().argmin()))
    values = quantiles(vae, levels)
    return lambda d: (
        replace_dimension(z, d, values[..., d]),
        int((values[:, 0, d] - z[0, d]).abs().argmin()),
    )


@torch.no_grad()
def traversal(source: Examples, row: int, names: dict[int, str], levels: np.ndarray, what: str) -> Figure:
    """Draw an image as each named dimension passes the prior's quantiles `levels`, or each level those factors; `what`
    says what a row is."""
    run, batch = source.run, source.batch([row])
    vae = run.vae.given(batch.y)
    z = vae.embed(batch.x)
    sweep, rows = sweeps_of(vae, z, levels), []
    for d, name in names.items():
        codes, own = sweep(d)
        rows.append((name, as_bytes(vae.decode(codes).mean[:, 0]), own))
    beginning = source.picture_rows([row]) | {"reconstruction": as_bytes(vae.decode(z).mean)}
    caption = f"{source.describe(row)}, {what}"
    return walks.sweeps(run.config.title, caption, beginning, rows, levels, unit(vae))


@torch.no_grad()
def animated_traversal(
    source: Examples, rows: list[int], names: dict[int, str]
) -> tuple[Figure, Callable[[int], None]]:
    """Draw images as each named dimension passes the prior's quantiles, or the code of each level is scaled; the
    function returned draws a frame."""
    run, batch = source.run, source.batch(rows)
    vae, levels = run.vae.given(batch.y), np.linspace(*ends(run.vae), FRAMES)
    sweep = sweeps_of(vae, vae.embed(batch.x), levels)
    sweeps = [(name, as_bytes(vae.decode(sweep(d)[0]).mean)) for d, name in names.items()]
    what = "the code of one level scaled" if vae.levels else "one latent dimension swept"
    caption = f"{what} a row, of {len(rows)} images"
    return walks.animated_sweeps(run.config.title, caption, source.picture_rows(rows), sweeps, levels, unit(vae))


def unit(vae: VAE) -> str:
    """What the steps of a sweep are percentages of."""
    return "of the level's code" if vae.levels else "prior's quantile"


@torch.no_grad()
def manifold(source: Examples, row: int) -> Figure:
    """Draw the decoder's means over the plane of codes, evenly in the prior's quantiles (Kingma & Welling, 2014).

    Those of a conditional model are images of the label of the image in the row.
    """
    run, y = source.run, source.batch([row]).y
    values = quantiles(run.vae.given(y), np.linspace(*ENDS, GRID))[:, 0]
    up, across = torch.meshgrid(values[:, 1], values[:, 0], indexing="ij")
    codes = torch.stack([across, up], -1).flatten(0, 1)
    images = as_bytes(run.vae.given(y.expand(len(codes))).decode(codes).mean.unflatten(0, (GRID, GRID)))
    span = f"{100 * ENDS[0]:.0f} % to {100 * ENDS[1]:.0f} %"
    caption = f"{means_of(run.vae)} p(x | z) for z on a grid of the prior's quantiles, {span}"
    if run.vae.condition is not None:
        caption += f", of class {run.data.source.classes[int(y)]}"
    return walks.plane(run.config.title, caption, images, ("dimension 0", "dimension 1"))
