"""Every figure of a training, drawn from its trace alone.

Functions import the libraries that they need: matplotlib takes one second to import and openTSNE two, which no
training should wait for.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.run.trace import Trace
from src.support.files import atomic_path
from src.support.folders import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "pdf", "svg")


def draw_latest(trace: Trace, folder: Path, scale: float = 1, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Draw the images of the trace as it is now into `folder`, in about a second, and return their paths.

    These are samples.png, reconstructions.png and latent.png of the last frame with finite codes; loss.png; and
    kl_per_dim.png, where the KL factorises, or kl_per_level.png of a hierarchy.

    Args:
        trace: the trace of the training.
        folder: where the images are written to.
        scale: enlarges the images, which at 1 are 500 to 1,400 pixels wide.
        formats: those of FORMATS in which each image is written.
    """
    from src.figures import curves, grids, latent
    from src.figures.moments import Moment

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    frames = finite_frames(trace)
    if len(frames):
        last = Moment(frames[-1])
        for name, (figure, show) in {
            "samples": grids.samples(trace, nearest=True),
            "reconstructions": grids.reconstructions(trace, worst=True),
            "latent": latent.plane(trace, frames[-1:]),
        }.items():
            show(last)
            written += write_formats(figure, folder, name, scale, formats)
    if "epoch" in trace.epochs:
        written += write_formats(curves.loss(trace), folder, "loss", scale, formats)
    if "val/kl_per_dim" in trace.epochs:
        written += write_formats(curves.kl_per_dim(trace), folder, "kl_per_dim", scale, formats)
    if "val/kl_per_level" in trace.epochs:
        written += write_formats(curves.kl_per_level(trace), folder, "kl_per_level", scale, formats)
    return written


def draw_final(
    trace: Trace, folder: Path, scale: float = 2, formats: Sequence[str] = ("png",), animations: bool = True
) -> list[Path]:
    """Draw the images, as `draw_latest` does, and the animations of the trace into `folder` and return their paths.

    The animations are samples.gif, reconstructions.gif, latent.gif and, with more than two latent dimensions and more
    than one recorded image, latent_tsne.gif, with latent_tsne.png of its last frame. They lead from the untrained model
    to the last frame with finite codes by way of at most 28 frames between these, evenly in log(images seen); in
    between, points move on straight lines and images are cross-faded. The same trace gives the same files. Without
    `animations`, latent_tsne.png is embedded by itself.
    """
    from src.figures import grids, latent
    from src.figures.animation import write_smooth_animation
    from src.figures.moments import Moment, evenly_in_log

    written = draw_latest(trace, folder, scale, formats)
    frames = finite_frames(trace)
    if not len(frames):
        return written
    epochs = np.isin(trace.epochs["epoch"], trace.frames["epoch"][frames])
    selected = frames[evenly_in_log(trace.epochs["images_seen"][epochs])] if animations else frames[-1:]
    moving: dict[str, Callable[[], tuple[Figure, Callable[..., None]]]] = {
        "samples": partial(grids.samples, trace, compact=True),
        "reconstructions": partial(grids.reconstructions, trace, compact=True),
        "latent": partial(latent.plane, trace, selected, compact=True),
    }
    if trace.frames["codes"].shape[2] > 2 and trace.frames["codes"].shape[1] > 1:
        planes, pixels = embed(trace, selected)
        moving["latent_tsne"] = partial(latent.tsne, trace, planes, pixels, compact=True)
        figure, show = latent.tsne(trace, planes, pixels)
        show(Moment(selected[-1]))
        written += write_formats(figure, folder, "latent_tsne", scale, formats)
    for name, draw in moving.items() if animations else ():
        written.append(write_smooth_animation(*draw(), selected, folder / f"{name}.gif"))
    return written


def draw_all(trace: Trace, run: RunFolder) -> list[Path]:
    """Draw the figures and animations of a run, as `draw_final` does, and record there that all of them are drawn."""
    run.completion.unlink(missing_ok=True)
    written = draw_final(trace, run.figures)
    with atomic_path(run.completion) as partial:
        partial.write_text("".join(f"{path.name}\n" for path in written))
    return written


def write_formats(figure: "Figure", folder: Path, name: str, scale: float, formats: Sequence[str]) -> list[Path]:
    """Write the figure to `folder`/`name`.FORMAT for each of `formats`, and return the paths."""
    from src.figures.animation import write_image
    from src.figures.vector import write_vector

    writers = {"png": write_image, "pdf": write_vector, "svg": write_vector}
    return [writers[suffix](figure, folder / f"{name}.{suffix}", scale) for suffix in formats]


def finite_frames(trace: Trace) -> np.ndarray:
    """The rows of `trace.frames` with finite codes: all of them, unless the training diverged."""
    codes = trace.frames.get("codes", np.empty((0, 0, 0)))
    return np.flatnonzero(np.isfinite(codes).all((1, 2)))


def embed(trace: Trace, frames: np.ndarray) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """The t-SNE (P, 2) of the codes of each of `frames`, by frame; and that of the raw pixels."""
    import openTSNE  # noqa: F401 (here, because two threads must not import it at the same time)
    from tqdm import tqdm

    from src.figures import embedding

    pixels = trace.fixed["pixels"].reshape(len(trace.fixed["labels"]), -1)
    with ThreadPoolExecutor(1) as executor:
        raw = executor.submit(embedding.embed, pixels)
        planes = tqdm(
            embedding.embed_backwards(trace.frames["codes"][frames]),
            total=len(frames),
            desc="t-SNE",
            unit="frame",
            disable=None,
            leave=False,
        )
        return dict(zip(frames[::-1], planes, strict=True)), embedding.normalise(raw.result())
