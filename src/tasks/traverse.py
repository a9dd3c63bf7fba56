"""One latent dimension at a time through the prior's quantiles, the others held at a real image's code."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Normal
from tqdm import tqdm

from src.build import Run
from src.data.pixels import as_bytes, as_input
from src.data.selection import mixed_rows
from src.figures.animation import write_animation, write_image
from src.inference.metrics import ACTIVE
from src.inference.metrics import dimensions as dimensions_of
from src.models import priors
from src.models.vae import VAE
from src.support.errors import UserError
from src.support.ranges import Count, Several, Whole
from src.tasks import walks
from src.tasks.interpolate import described

ENDS = 0.01, 0.99  # quantiles that a sweep begins and ends at
PRIOR_DRAWS = 10_000  # that the quantiles of a learned prior are taken from
MOVING, FRAMES = 6, 15  # images in the film, and frames one way
GRID = 20  # codes along each side of the plane


def traverse(run: Run, folder: Path, image: Whole | None, steps: Several, dimensions: Count | None) -> dict[str, Any]:
    """traversal.png of a test image, traversal.gif of several, and with two latent dimensions the plane of codes as
    manifold.png.

    A row for each active dimension, or the first so many `dimensions` of them, the one with the largest KL on top, or
    the largest variance where the KL of single dimensions has no closed form.
    """
    test = run.data.test
    if image is not None and image >= len(test.labels):
        raise UserError(f"task.image must be from 0 to {len(test.labels) - 1}, or null, got {image}")
    batches = run.batches(test if len(test.labels) > 1 else run.train)  # of one image no code varies
    means, kl = dimensions_of(run.vae, tqdm(batches, "codes", unit="batch", disable=None, leave=False, delay=1))
    variance = means.var(0, dtype=np.float64)
    weight = variance if kl is None else kl
    order = [int(d) for d in np.argsort(-weight, kind="stable") if variance[d] > ACTIVE]
    if not order:
        raise UserError("no latent dimension is active: all codes are the same, train with a smaller beta")
    shown = order[:dimensions]
    said = {d: f"variance {variance[d]:.2f}" if kl is None else f"{kl[d]:.2f} nats" for d in shown}
    names = {d: f"dimension {d}\n{words}" for d, words in said.items()}
    others = mixed_rows(test.labels, min(MOVING, len(test.labels)), run.seed)
    chosen = int(others[0]) if image is None else image
    words = "the largest variance of codes" if kl is None else "the largest mean KL"
    still(run, folder, chosen, names, np.linspace(*ENDS, steps), words)
    film(run, folder, [chosen, *(int(i) for i in others if i != chosen)][:MOVING], names)
    if run.vae.latent_dim == 2:
        write_image(manifold(run), folder / "manifold.png", scale=1)
    found: dict[str, Any] = {"image": chosen, "active_units": len(order)}
    for d in order:
        found |= {f"dimension {d}/variance": float(variance[d])} | ({} if kl is None else {f"dimension {d}/kl": kl[d]})
    return found


@torch.no_grad()
def quantiles(vae: VAE, levels: np.ndarray) -> Tensor:
    """The prior's quantiles in each dimension, (S, D) for levels (S,): exact for N(0, I), else of PRIOR_DRAWS draws."""
    device = next(vae.parameters()).device
    at = torch.as_tensor(levels, dtype=torch.get_default_dtype(), device=device)
    if isinstance(vae.prior_head, priors.Standard):
        return Normal(torch.zeros_like(at), 1).icdf(at)[:, None].expand(-1, vae.latent_dim)
    return vae.prior().sample((PRIOR_DRAWS,)).quantile(at, dim=0)


def replaced(z: Tensor, dimension: int, values: Tensor) -> Tensor:
    """The codes z (N, D) with one dimension at each of `values` (S,): (S, N, D)."""
    swept = z.repeat(len(values), 1, 1)
    swept[..., dimension] = values[:, None]
    return swept


@torch.no_grad()
def still(run: Run, folder: Path, image: int, names: dict[int, str], levels: np.ndarray, words: str) -> None:
    """traversal.png."""
    x = as_input(torch.from_numpy(run.data.test.images[[image]])).to(run.device)
    z, values = run.vae.embed(x), quantiles(run.vae, levels)
    rows = []
    for d, name in names.items():
        means = run.vae.decode(replaced(z, d, values[:, d])).mean[:, 0]
        rows.append((name, as_bytes(means), int((values[:, d] - z[0, d]).abs().argmin())))
    pair = as_bytes(torch.cat([x, run.vae.decode(z).mean]))
    caption = f"{described(run, image)}, one latent dimension swept a row, {words} on top"
    write_image(walks.sweeps(run.config.title, caption, pair, rows, levels), folder / "traversal.png", scale=1)


@torch.no_grad()
def film(run: Run, folder: Path, images: list[int], names: dict[int, str]) -> None:
    """traversal.gif: up through the quantiles and down again."""
    x = as_input(torch.from_numpy(run.data.test.images[images])).to(run.device)
    z, levels = run.vae.embed(x), np.linspace(*ENDS, FRAMES)
    values = quantiles(run.vae, levels)
    rows = [(name, as_bytes(run.vae.decode(replaced(z, d, values[:, d])).mean)) for d, name in names.items()]
    caption = f"one latent dimension swept a row, of {len(images)} images"
    figure, show = walks.sweeping(run.config.title, caption, as_bytes(x), rows, levels)
    write_animation(figure, show, [*range(FRAMES), *range(FRAMES - 2, -1, -1)], folder / "traversal.gif")


@torch.no_grad()
def manifold(run: Run) -> Figure:
    """The decoder's means over the plane of codes, evenly in the prior's quantiles (Kingma & Welling, 2014)."""
    values = quantiles(run.vae, np.linspace(*ENDS, GRID))
    up, across = torch.meshgrid(values[:, 1], values[:, 0], indexing="ij")
    images = as_bytes(run.vae.decode(torch.stack([across, up], -1)).mean)
    caption = (
        f"means of p(x | z) for z on a grid of the prior's quantiles, {100 * ENDS[0]:.0f} % to {100 * ENDS[1]:.0f} %"
    )
    return walks.plane(run.config.title, caption, images, ("dimension 0", "dimension 1"))
