"""From one test image to another: through the latent space, and through the pixels."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from src.build import Run
from src.data.pixels import Pixels, as_bytes, as_input
from src.data.selection import mixed_rows
from src.figures.animation import write_animation, write_image
from src.inference.importance import nll
from src.inference.metrics import estimate
from src.models import priors
from src.models.vae import VAE
from src.support import noise
from src.support.errors import UserError
from src.support.ranges import Count, Whole
from src.tasks import walks

log = logging.getLogger(__name__)
FEW = 4  # pairs, the default, that may be asked for however few images there are
FADE = "pixel fade"
DRAWS, SAMPLES = 4, 100  # binary draws of an image, and codes that the bound on its -log p(x) is made of
TOUR, LEG = 6, 8  # images in the film, and frames from one to the next
OF_IMAGES = {
    "binary": "−log p of binary images drawn with the intensities shown",
    "dequantized": "−log p (a density) of the images shown",
    "levels": "−log p of the images shown",
}


def interpolate(
    run: Run,
    folder: Path,
    pairs: Count,
    images: Sequence[Sequence[Whole]] | None,
    steps: Annotated[Count, Ge(3)],
    path: Literal["linear", "spherical", "both"],
) -> dict[str, Any]:
    """pair_NUMBER.png of each pair of test images, and interpolation.gif through several images and back.

    All paths lead from one reconstruction to another in `steps` points; `images` names the pairs, else random ones of
    different classes are taken. path: `linear`, `spherical` or `both`, which is linear alone for a learned prior.
    """
    ways = latent_ways(path, run.vae)
    chosen = chosen_pairs(images, pairs, run)
    x = as_input(torch.from_numpy(run.data.test.images[chosen])).to(run.device)  # (P, 2, C, H, W)
    z = run.vae.embed(x.flatten(0, 1)).unflatten(0, (-1, 2))
    t = torch.linspace(0, 1, steps, device=run.device, dtype=z.dtype)
    codes = {name: way(z[:, 0], z[:, 1], t) for name, way in ways.items()}
    means = decoded(run.vae, codes)
    nats = {name: measured(run, means[name], name) for name in means}
    with torch.no_grad():
        prior = {name: -run.vae.prior().log_prob(code).cpu().numpy() for name, code in codes.items()}
    for i, (a, b) in enumerate(chosen):
        figure = walks.strip(
            run.config.title,
            f"from {described(run, a)} to {described(run, b)}: means of p(x | z) along the path, or faded in between",
            as_bytes(x[i]),
            {name: as_bytes(mean[i]) for name, mean in means.items()},
            {
                f"{OF_IMAGES[run.data.pixels]}: bound of {SAMPLES} samples, nats": {k: v[i] for k, v in nats.items()},
                "−log p(z) of the prior, nats": {k: v[i] for k, v in prior.items()},
            },
        )
        write_image(figure, folder / f"pair_{i + 1}.png", scale=1)
    film(run, folder, list(dict.fromkeys(chosen.ravel()))[:TOUR], ways)
    return summary(nats, prior)


def latent_ways(path: str, vae: VAE) -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
    """The paths that are asked for, by name. Raises UserError for one that there is not, or not for this prior."""
    ways = {"linear": linear, "spherical": spherical}
    possible = isinstance(vae.prior_head, priors.Standard) and vae.latent_dim > 1
    if path == "spherical" and not possible:
        raise UserError("task.path=spherical needs prior=standard and two latent dimensions or more: task.path=linear")
    return {name: way for name, way in ways.items() if path == name or path == "both" and (possible or way is linear)}


def linear(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(1 - t) a + t b, (B, S, ...) for a and b (B, ...) and t (S,)."""
    return torch.lerp(a[:, None], b[:, None], t.view(-1, *[1] * (a.dim() - 1)))


def spherical(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(sin((1 - t) w) a + sin(t w) b) / sin w, w the angle of a and b (Shoemake, 1985; White, 2016): codes of N(0, I)
    lie near a sphere, which a straight line leaves. (B, S, D) for a and b (B, D) and t (S,); straight for w = 0 or pi.
    """
    angle = functional.cosine_similarity(a, b, dim=-1).clamp(-1, 1).acos()[:, None, None]
    t = t[:, None]
    arc = (torch.sin((1 - t) * angle) * a[:, None] + torch.sin(t * angle) * b[:, None]) / torch.sin(angle)
    return torch.where(torch.sin(angle) > 1e-3, arc, linear(a, b, t[:, 0]))


def chosen_pairs(images: Sequence[Sequence[int]] | None, pairs: int, run: Run) -> np.ndarray:
    """Indices (P, 2) of test images. Raises UserError for pairs that are none."""
    labels = run.data.test.labels
    if len(labels) < 2:
        raise UserError("task=interpolate needs two test images or more: there is one")
    if images is None:
        there = len(labels) // 2
        if pairs > max(there, FEW):
            raise UserError(f"task.pairs must be from 1 to {max(there, FEW)}, got {pairs}")
        if pairs > there:
            log.warning("task.pairs=%d, but %d test images make no more than %d", pairs, len(labels), there)
            pairs = there
        return mixed_rows(labels, 2 * pairs, run.seed).reshape(-1, 2)
    for pair in images or [[]]:
        if len(pair) != 2 or pair[0] == pair[1] or max(pair) >= len(labels):
            raise UserError(
                f"task.images must be pairs of different test images from 0 to {len(labels) - 1}, "
                f"as [[0,1],[2,3]], got {pair}"
            )
    return np.array(images)


@torch.no_grad()
def decoded(vae: VAE, codes: dict[str, Tensor]) -> dict[str, Tensor]:
    """The decoder's means (P, S, C, H, W) at codes (P, S, D) of each path, and the fade from the first to the last."""
    means = {name: vae.decode(z).mean for name, z in codes.items()}
    ends = next(iter(means.values()))
    t = torch.linspace(0, 1, ends.shape[1], device=ends.device, dtype=ends.dtype)
    return means | {FADE: linear(ends[:, 0], ends[:, -1], t)}


@torch.no_grad()
def measured(run: Run, means: Tensor, name: str) -> np.ndarray:
    """The importance-weighted bound on -log p(x) in nats, (P, S), of the images means (P, S, C, H, W).

    Where the likelihood is of binary images, of DRAWS with these intensities. Noise is shared along the paths and by
    all of them: what differs is the images.
    """
    rows = []
    for mean in tqdm(means, desc=f"-log p(x), {name}", unit="pair", disable=None, leave=False, delay=1):
        x = mean.clamp(0, 1)[None]
        if run.data.pixels == Pixels.BINARY:
            random = noise.generator(run.seed, "thresholds")
            thresholds = torch.rand(DRAWS, 1, *mean.shape[1:], generator=random).to(x)
            x = (thresholds < x).to(x.dtype)
        elif run.data.pixels == Pixels.LEVELS:
            x = (x * 255).round() / 255
        flat = x.flatten(0, 1)
        shared = torch.zeros(len(flat), dtype=torch.long)
        rows.append(nll(run.vae, flat, shared, SAMPLES, run.seed)[0].unflatten(0, x.shape[:2]).mean(0))
    return torch.stack(rows).cpu().numpy()


def described(run: Run, image: int) -> str:
    """A test image in words, with its class where there are classes."""
    classes = run.data.source.classes
    label = f" ({classes[run.data.test.labels[image]]})" if len(classes) > 1 else ""
    return f"test image {image}{label}"


def film(run: Run, folder: Path, images: list[int], ways: dict[str, Callable[..., Tensor]]) -> None:
    """interpolation.gif: from image to image and back to the first."""
    x = as_input(torch.from_numpy(run.data.test.images[images])).to(run.device)
    z = run.vae.embed(x)
    t = torch.linspace(0, 1, LEG + 1, device=z.device, dtype=z.dtype)
    means = decoded(run.vae, {name: way(z, z.roll(-1, 0), t) for name, way in ways.items()})
    # the end of a leg is the beginning of the next, but for the last
    walked = {name: as_bytes(torch.cat([m[:, :-1].flatten(0, 1), m[-1, -1:]])) for name, m in means.items()}
    caption = f"means of p(x | z) along the paths between {len(images)} test images and back"
    figure, show = walks.tour(run.config.title, caption, as_bytes(x), walked)
    write_animation(figure, show, range(len(walked[FADE])), folder / "interpolation.gif")


def summary(nats: dict[str, np.ndarray], prior: dict[str, np.ndarray]) -> dict[str, Any]:
    """Means over the pairs, with standard errors where there are several: at the ends, along each path, at its highest;
    and how much more the fade costs than the straight path."""
    values = {"nll_ends": nats[FADE][:, [0, -1]].mean(1)}
    if "linear" in nats:
        values["fade_minus_linear"] = (nats[FADE] - nats["linear"]).mean(1)
    for name, curve in nats.items():
        values |= {f"{name}/nll_mean": curve.mean(1), f"{name}/nll_highest": curve.max(1)}
        if name in prior:
            values[f"{name}/prior_mean"] = prior[name].mean(1)
    found: dict[str, Any] = {"pairs": len(nats[FADE])}
    for name, each in values.items():
        found |= estimate(name, each)
    return found
