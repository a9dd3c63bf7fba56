"""A trace as a training would leave it, and the figures that are drawn from it."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from src.run.trace import Trace

STILLS = {"samples.png", "reconstructions.png", "latent.png", "loss.png", "kl_per_dim.png"}
ANIMATIONS = {"samples.gif", "reconstructions.gif", "latent.gif"}
TSNE = {"latent_tsne.gif", "latent_tsne.png"}


def make_trace(points=40, dimensions=4, epochs=3, shape=(1, 8, 6), samples=9, classes=4) -> Trace:
    """A trace of random images, with clusters of codes that move apart as the epochs pass."""
    rng = np.random.default_rng(1)
    labels, noise = np.arange(points) % classes, rng.normal(size=(points, dimensions))

    def images(count: int) -> np.ndarray:
        return rng.integers(0, 256, (count, *shape), dtype=np.uint8)

    trace = Trace(
        fixed={
            "title": np.array("mlp d=4 beta=1 on clusters"),
            "classes": np.array([f"class {i}" for i in range(classes)]),
            "pixels": images(points),
            "labels": labels,
        },
        last={
            "worst_x": images(8),
            "worst_mean": images(8),
            "worst_elbo": -np.linspace(300, 200, 8),
            "samples_z": rng.normal(size=(samples, dimensions)),
        },
    )
    for epoch in range(epochs + 1):
        loss = 100 + 400 / (1 + 3 * epoch)
        terms = {"loss": loss, "elbo": -loss, "recon": loss - 20, "kl": 20}
        trace.append(
            "epochs",
            epoch=epoch,
            images_seen=4000 * epoch,
            beta=1.0,
            lr=1e-3,
            **{f"{split}/{name}": value for split in ("train", "val") for name, value in terms.items()},
            **{"val/kl_per_dim": np.arange(dimensions) + 0.1 * epoch, "val/active_units": dimensions},
        )
        trace.append(
            "frames",
            epoch=epoch,
            codes=0.3 * noise + 0.2 * (1 + epoch) * labels[:, None],
            samples_mean=images(samples),
            samples_draw=images(samples),
            recon_mean=images(6),
            recon_draw=images(6),
        )
    return trace


def names_of(paths: Iterable[Path]) -> set[str]:
    """The names of files, without their folders."""
    return {path.name for path in paths}
