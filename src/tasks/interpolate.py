"""Paths from one image to another: through the latent space, and through the pixels."""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from src.build import Run
from src.data.batches import Batch
from src.data.pixels import Pixels, as_bytes
from src.figures.animation import write_animation, write_image
from src.inference.importance import nll
from src.models.vae import VAE
from src.support.errors import UserError
from src.support.noise import Noise, generator
from src.support.ranges import Count, Whole
from src.support.statistics import estimate
from src.tasks import walks
from src.tasks.captions import means_of
from src.tasks.conditional import given_labels, mark_conditional
from src.tasks.examples import Examples
from src.tasks.own_images import Invert, White, examples

log = logging.getLogger(__name__)
FEW = 4  # the default number of pairs, which is accepted however few images there are
FADE = "pixel fade"
DRAWS, SAMPLES = 4, 100  # binary draws of an image, and codes for the bound on the -log p(x) of each
TOUR, LEG = 6, 12  # images in the animation, and frames from one to the next
HEADINGS = {
    Pixels.BINARY: "−log p of binary images drawn with the intensities shown",
    Pixels.DEQUANTIZED: "−log p (a density) of the images shown",
    Pixels.LEVELS: "−log p of the images shown",
}
LatentPath = Callable[[Tensor, Tensor, Tensor], Tensor]


def interpolate(
    run: Run,
    folder: Path,
    pairs: Count,
    images: Sequence[Sequence[Whole]] | None,
    steps: Annotated[Count, Ge(3)],
    path: Literal["linear", "spherical", "both"],
    input: str | None,
    invert: Invert,
    white: White,
    skip_broken: bool,
) -> dict[str, Any]:
    """Write pair_NUMBER.png for each pair of test images, or of a user's own, and interpolation.gif through several
    images and back.

    All paths lead from one reconstruction to another in `steps` points. `images` names the pairs; without it random
    pairs of different classes are chosen, of images without classes the first and the second, the third and the
    fourth, and so on. path: `linear`, `spherical`, or `both`, which is linear alone for a learned prior.

    input: a file or a folder of the user's images; invert, white, skip_broken: see read_own_images
    """
    source = examples(run, input, invert, white, skip_broken)
    chosen = choose_pairs(images, pairs, source)
    batch = source.batch(chosen.ravel())
    vae = run.vae.given(batch.y)
    paths = latent_paths(path, vae)
    z = vae.embed(batch.x).unflatten(0, (-1, 2))
    y = batch.y.unflatten(0, (-1, 2))
    t = torch.linspace(0, 1, steps, device=run.device, dtype=z.dtype)
    codes = {name: between(z[:, 0], z[:, 1], t) for name, between in paths.items()}
    labels = nearer_label(y[:, 0], y[:, 1], t)
    means = decode_paths(run.vae, codes, labels)
    nats = {} if run.vae.averages_draws else {k: path_nll(run, mean, labels, k) for k, mean in means.items()}
    prior = {name: prior_nll(run.vae, code, labels) for name, code in codes.items()}
    heading = f"{HEADINGS[run.data.pixels]}{given_labels(run)}: bound of {SAMPLES} samples, nats"
    shown = f"{means_of(run.vae)} p(x | z)"
    for i, (a, b) in enumerate(chosen):
        figure = walks.strip(
            run.config.title,
            f"from {source.describe(a)} to {source.describe(b)}: {shown} along the path, or faded in between",
            source.picture_rows(chosen[i]),
            {name: as_bytes(mean[i]) for name, mean in means.items()},
            ({heading: {k: v[i] for k, v in nats.items()}} if nats else {})
            | {
                "−log p(z) of the prior, nats": {k: v[i] for k, v in prior.items()},
            },
        )
        write_image(figure, folder / f"pair_{i + 1}.png", scale=1)
    write_tour(source, folder, list(dict.fromkeys(chosen.ravel()))[:TOUR], paths)
    return mark_conditional(run, summary(nats, prior))


@torch.no_grad()
def latent_paths(path: str, vae: VAE) -> dict[str, LatentPath]:
    """The paths of an option, by name. Raises UserError for a spherical one where the prior has no sphere."""
    paths = {"linear": linear, "spherical": spherical}
    possible = vae.latent_dim > 1 and vae.prior().is_isotropic
    if path == "spherical" and not possible:
        raise UserError("task.path=spherical needs prior=standard and two latent dimensions or more: task.path=linear")
    if path != "both":
        return {path: paths[path]}
    return paths if possible else {"linear": linear}


def linear(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(1 - t) a + t b, (B, S, ...) for a and b (B, ...) and t (S,)."""
    return torch.lerp(a[:, None], b[:, None], t.view(-1, *[1] * (a.dim() - 1)))


def spherical(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(sin((1 - t) w) a + sin(t w) b) / sin w, w the angle between a and b (Shoemake, 1985; White, 2016).

    Codes of N(0, I) are near a sphere, which a straight line leaves. (B, S, D) for a and b (B, D) and t (S,); straight
    for w = 0 or pi.
    """
    angle = functional.cosine_similarity(a, b, dim=-1).clamp(-1, 1).acos()[:, None, None]
    t = t[:, None]
    arc = (torch.sin((1 - t) * angle) * a[:, None] + torch.sin(t * angle) * b[:, None]) / torch.sin(angle)
    return torch.where(torch.sin(angle) > 1e-3, arc, linear(a, b, t[:, 0]))


def nearer_label(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The label of the nearer end at each point of a path, (B, S) for labels (B,) of the ends and t (S,)."""
    return torch.where(t < 0.5, a[:, None], b[:, None])


def choose_pairs(images: Sequence[Sequence[int]] | None, pairs: int, source: Examples) -> np.ndarray:
    """Rows (P, 2) of pairs of images. Raises UserError for more pairs, or other images, than there are."""
    count = len(source)
    if count < 2:
        raise UserError(f"task=interpolate needs two {source.kind} or more: there is one")
    if images is None:
        most = count // 2
        if pairs > max(most, FEW):
            raise UserError(f"task.pairs must be from 1 to {max(most, FEW)}, got {pairs}")
        if pairs > most:
            log.warning("task.pairs=%d, but %d %s make no more than %d", pairs, count, source.kind, most)
            pairs = most
        return source.mixed_rows(2 * pairs).reshape(-1, 2)
    for pair in images or [[]]:
        if len(pair) != 2 or pair[0] == pair[1] or max(pair) >= count:
            raise UserError(
                f"task.images must be pairs of different {source.kind} from 0 to {count - 1}, "
                f"as [[0,1],[2,3]], got {pair}"
            )
    return np.array(images)


@torch.no_grad()
def decode_paths(vae: VAE, codes: dict[str, Tensor], y: Tensor) -> dict[str, Tensor]:
    """The decoder's means (P, S, C, H, W) at codes (P, S, D) of each path and labels y (P, S).

    The pixel fade from the first to the last of them is added.
    """
    vae = vae.given(y.flatten())
    means = {name: vae.decode(z.flatten(0, 1)).mean.unflatten(0, y.shape) for name, z in codes.items()}
    ends = next(iter(means.values()))
    t = torch.linspace(0, 1, ends.shape[1], device=ends.device, dtype=ends.dtype)
    return means | {FADE: linear(ends[:, 0], ends[:, -1], t)}


@torch.no_grad()
def path_nll(run: Run, means: Tensor, y: Tensor, name: str) -> np.ndarray:
    """The importance-weighted bound on -log p(x) in nats, (P, S), of images (P, S, C, H, W) with labels y (P, S).

    For a likelihood of binary images, the mean over DRAWS images that have these intensities. All images share their
    noise, so that differences along the paths and between them are those of the images.
    """
    nats = []
    for mean, labels in zip(progress(means, f"-log p(x), {name}"), y, strict=True):
        x = mean.clamp(0, 1)[None]
        if run.data.pixels == Pixels.BINARY:
            random = generator(run.seed, "thresholds")
            thresholds = torch.rand(DRAWS, 1, *mean.shape[1:], generator=random).to(x)
            x = (thresholds < x).to(x.dtype)
        elif run.data.pixels == Pixels.LEVELS:
            x = (x * 255).round() / 255
        shared = torch.zeros(x.shape[0] * x.shape[1], dtype=torch.long)
        batch = Batch(x.flatten(0, 1), labels.repeat(len(x)), shared)
        nats.append(nll(run.vae, batch, SAMPLES, Noise(run.seed))[0].unflatten(0, x.shape[:2]).mean(0))
    return torch.stack(nats).cpu().numpy()


def progress(means: Tensor, description: str) -> Iterable[Tensor]:
    """The images of each pair, with a progress bar."""
    return tqdm(means, desc=description, unit="pair", disable=None, leave=False, delay=1)


@torch.no_grad()
def prior_nll(vae: VAE, codes: Tensor, y: Tensor) -> np.ndarray:
    """-log p(z) in nats, (P, S), at codes (P, S, D) and labels y (P, S)."""
    return -vae.given(y.flatten()).prior().log_prob(codes.flatten(0, 1)).unflatten(0, y.shape).cpu().numpy()


def write_tour(source: Examples, folder: Path, rows: list[int], paths: dict[str, LatentPath]) -> None:
    """Write interpolation.gif: from image to image and back to the first."""
    run, batch = source.run, source.batch(rows)
    z = run.vae.given(batch.y).embed(batch.x)
    t = torch.linspace(0, 1, LEG + 1, device=z.device, dtype=z.dtype)
    codes = {name: between(z, z.roll(-1, 0), t) for name, between in paths.items()}
    means = decode_paths(run.vae, codes, nearer_label(batch.y, batch.y.roll(-1, 0), t))
    # the last frame of a leg is the first of the next, which is dropped from all legs but the last
    frames = {name: as_bytes(torch.cat([m[:, :-1].flatten(0, 1), m[-1, -1:]])) for name, m in means.items()}
    caption = f"{means_of(run.vae)} p(x | z) along the paths between {len(rows)} {source.kind} and back"
    figure, show = walks.tour(run.config.title, caption, source.picture_rows(rows), frames, source.short_names(rows))
    write_animation(figure, show, range(len(frames[FADE])), folder / "interpolation.gif")


def summary(nats: dict[str, np.ndarray], prior: dict[str, np.ndarray]) -> dict[str, Any]:
    """Means over the pairs: at the ends, along each path and at its highest point, and the cost of the fade.

    nats, prior: -log p(x) and -log p(z) along each path, (P, S); the former only where the mean of p(x|z) is an image
        that has a probability
    """
    numbers: dict[str, Any] = {"pairs": len(next(iter(prior.values())))}
    if FADE in nats:
        numbers["nll_ends"] = estimate(nats[FADE][:, [0, -1]].mean(1))
    if "linear" in nats:
        numbers["fade_minus_linear"] = estimate((nats[FADE] - nats["linear"]).mean(1))
    for name in {**nats, **prior}:
        numbers[name] = {}
        if name in nats:
            curve = nats[name]
            numbers[name] = {"nll_mean": estimate(curve.mean(1)), "nll_highest": estimate(curve.max(1))}
        if name in prior:
            numbers[name]["prior_mean"] = estimate(prior[name].mean(1))
    return numbers
