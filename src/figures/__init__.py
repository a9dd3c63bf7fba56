"""Every picture of a training, drawn from its trace alone.

Functions import what they need: matplotlib takes a second, openTSNE two, which no training should wait for.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from src.trace import Trace


def draw_latest(trace: Trace, folder: Path, scale: float = 1) -> list[Path]:
    """Draws the stills of `trace` as it stands into `folder`, in about a second, and returns their paths.

    samples.png, reconstructions.png and latent.png of the last frame with finite codes; loss.png;
    kl_per_dim.png, where the KL factorises. `scale` enlarges them: at 1 they are 500 to 1,400 pixels wide.
    """
    from src.figures import curves, grids, latent
    from src.figures.animation import write_still

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
            written.append(write_still(figure, folder / f"{name}.png", scale))
    if "epoch" in trace.epochs:
        written.append(write_still(curves.loss(trace), folder / "loss.png", scale))
    if "val/kl_per_dim" in trace.epochs:
        written.append(write_still(curves.kl_per_dim(trace), folder / "kl_per_dim.png", scale))
    return written


def draw_final(trace: Trace, folder: Path) -> list[Path]:
    """Draws the stills, at scale 2, and the animations of `trace` into `folder` and returns their paths.

    samples.gif, reconstructions.gif, latent.gif and, with more than two latent dimensions, latent_tsne.gif
    and latent_tsne.png: at most 30 frames, from the untrained model to the last with finite codes, evenly in
    log(images seen). The same trace gives the same files.
    """
    from src.figures import grids, latent
    from src.figures.animation import evenly_in_log, write_film, write_still

    written = draw_latest(trace, folder, scale=2)
    frames = finite_frames(trace)
    if not len(frames):
        return written
    epochs = np.isin(trace.epochs["epoch"], trace.frames["epoch"][frames])
    shown = frames[evenly_in_log(trace.epochs["images_seen"][epochs])]
    for name, (figure, show) in {
        "samples": grids.samples(trace),
        "reconstructions": grids.reconstructions(trace),
        "latent": latent.plane(trace, shown),
    }.items():
        written.append(write_film(figure, show, shown, folder / f"{name}.gif"))
    if trace.frames["codes"].shape[2] > 2:
        figure, show = latent.tsne(trace, *embed(trace, shown))
        written.append(write_film(figure, show, shown, folder / "latent_tsne.gif"))
        written.append(write_still(figure, folder / "latent_tsne.png", scale=2))
    return written


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
