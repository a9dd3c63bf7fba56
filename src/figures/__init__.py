"""Every picture of a training, drawn from its trace alone.

Functions import what they need: matplotlib takes a second, openTSNE two, which no training should wait for.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.run.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "pdf", "svg")


def draw_latest(trace: Trace, folder: Path, scale: float = 1, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Draws the stills of `trace` as it stands into `folder`, in about a second, and returns their paths.

    samples.png, reconstructions.png and latent.png of the last frame with finite codes; loss.png;
    kl_per_dim.png, where the KL factorises. `scale` enlarges them: at 1 they are 500 to 1,400 pixels wide.
    formats: which of FORMATS each is written in
    """
    from src.figures import curves, grids, latent

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    frames = finite_frames(trace)
    if len(frames):
        last = frames[-1]
        for name, (figure, show) in {
            "samples": grids.samples(trace, nearest=True),
            "reconstructions": grids.reconstructions(trace, worst=True),
            "latent": latent.plane(trace, frames),
        }.items():
            show(last)
            written += write_stills(figure, folder, name, scale, formats)
    if "epoch" in trace.epochs:
        written += write_stills(curves.loss(trace), folder, "loss", scale, formats)
    if "val/kl_per_dim" in trace.epochs:
        written += write_stills(curves.kl_per_dim(trace), folder, "kl_per_dim", scale, formats)
    return written


def draw_final(
    trace: Trace, folder: Path, scale: float = 2, formats: Sequence[str] = ("png",), films: bool = True
) -> list[Path]:
    """Draws the stills, as `draw_latest` does, and the animations of `trace` into `folder` and returns their paths.

    samples.gif, reconstructions.gif, latent.gif and, with more than two latent dimensions and more than one image
    followed, latent_tsne.gif and latent_tsne.png: at most 30 frames, from the untrained model to the last with finite
    codes, evenly in log(images seen). The same trace gives the same files. Without `films`, latent_tsne.png is of that
    last alone.
    """
    from src.figures import grids, latent
    from src.figures.animation import evenly_in_log, write_film

    written = draw_latest(trace, folder, scale, formats)
    frames = finite_frames(trace)
    if not len(frames):
        return written
    epochs = np.isin(trace.epochs["epoch"], trace.frames["epoch"][frames])
    shown = frames[evenly_in_log(trace.epochs["images_seen"][epochs])] if films else frames[-1:]
    moving = {}
    if films:
        moving |= {"samples": grids.samples(trace), "reconstructions": grids.reconstructions(trace)}
        moving["latent"] = latent.plane(trace, shown)
    if trace.frames["codes"].shape[2] > 2 and trace.frames["codes"].shape[1] > 1:
        moving["latent_tsne"] = latent.tsne(trace, *embed(trace, shown))
    for name, (figure, show) in moving.items():
        if films:
            written.append(write_film(figure, show, shown, folder / f"{name}.gif"))
        if name == "latent_tsne":
            show(shown[-1])
            written += write_stills(figure, folder, name, scale, formats)
    return written


def write_stills(figure: "Figure", folder: Path, name: str, scale: float, formats: Sequence[str]) -> list[Path]:
    """Writes the figure to `folder`/`name`.FORMAT for each of `formats`, and returns the paths."""
    from src.figures.animation import write_still
    from src.figures.vector import write_vector

    writers = {"png": write_still, "pdf": write_vector, "svg": write_vector}
    return [writers[suffix](figure, folder / f"{name}.{suffix}", scale) for suffix in formats]


def finite_frames(trace: Trace) -> np.ndarray:
    """The rows of `trace.frames` whose codes are finite: all, but for a training that diverged."""
    codes = trace.frames.get("codes", np.empty((0, 0, 0)))
    return np.flatnonzero(np.isfinite(codes).all((1, 2)))


def embed(trace: Trace, shown: np.ndarray) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """By frame, the t-SNE (P, 2) of the codes of those `shown`; and that of the raw pixels."""
    import openTSNE  # noqa: F401 (here, since two threads that import it at once could each find half of it)
    from tqdm import tqdm

    from src.figures import tsne

    pixels = trace.fixed["pixels"].reshape(len(trace.fixed["labels"]), -1)
    with ThreadPoolExecutor(1) as beside:
        raw = beside.submit(tsne.embed, pixels)
        planes = tqdm(
            tsne.backwards(trace.frames["codes"][shown]), total=len(shown), desc="t-SNE", unit="frame", disable=None
        )
        return dict(zip(shown[::-1], planes, strict=True)), tsne.unit(raw.result())
