"""What the console says of a run before its training and after it."""

import logging
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.config.overrides import format_option
from src.support.console import shorter_path
from src.support.errors import printable
from src.support.folders import ResultsFolder, RunFolder

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from src.data.module import ImageData
    from src.models.vae import VAE

log = logging.getLogger(__name__)
SPLITS = {"train": "training", "val": "validation", "test": "test"}
IMAGES, ANIMATIONS = (".png", ".pdf", ".svg"), (".gif",)
FEW_STEPS = 500  # of a training, below which small networks have hardly learned anything
MANY = 1000  # test images above which a task is proposed on so many of them


def log_opening(
    title: str, run: Path, vae: "VAE", data: "ImageData", trainer: "Trainer", done: int = 0, length: str = ""
) -> None:
    """Say what is trained, on what, by which means, and where it is written.

    done: the epochs before a resume
    length: what is said of the number of steps, as the end of a line
    """
    facts, (channels, *size) = data.description(), data.val.images.shape[1:]
    sizes = ", ".join(f"{facts[split]:,} {name}" for split, name in SPLITS.items())
    shape = "x".join(map(str, size)) + (f" in {channels} channels" if channels > 1 else "")
    processes = f", {trainer.world_size} processes" if trainer.world_size > 1 else ""
    least = "at most " if trainer.early_stopping_callbacks else ""
    steps = max(0, trainer.max_epochs - done) * (facts["train"] // (data.step_size() * trainer.world_size))
    epochs = f"{least}{trainer.max_epochs} epoch{'s' * (trainer.max_epochs != 1)}" + (
        f", of which {done} are done" if done else ""
    )
    log.info("%s", printable(title))
    log.info("  model   %s", parameters(vae))
    without = f", without {', '.join(facts['without'])}" if facts["without"] else ""
    log.info("  data    %s: %s images", printable(facts["name"]), printable(sizes + without) if without else sizes)
    for note in facts.get("notes", ()):
        log.info("          %s", printable(note))
    log.info("  images  %s, %s", shape, data.pixels.description)
    log.info("  steps   %d images each, %s%s", data.step_size() * trainer.world_size, epochs, length)
    log.info("  device  %s%s, precision %s", device(trainer), processes, trainer.precision)
    log.info("  folder  %s", printable(shorter_path(run)))
    if channels > 1 and data.pixels == "binary":
        keeps = "likelihood.pixel=logistic256" if vae.averages_draws else "likelihood=gaussian or logistic256"
        log.info("note: colors are drawn as binary pixels: %s keeps their levels", keeps)
    if data.step_size() < data.batch_size:
        text = "note: a step takes all %d training images, fewer than data.batch_size=%d"
        log.info(text, data.step_size(), data.batch_size)
    if 0 < steps < FEW_STEPS:
        counted = "1 step in all is" if steps == 1 else f"{steps} steps in all are"
        smaller = "data.batch_size=8 or " if data.step_size() > 8 else ""
        log.info("note: %s few: %strainer.max_epochs=100 makes more", counted, smaller)


def parameters(vae: "VAE") -> str:
    """The number of a model's parameters, and those of its largest parts."""
    counts = {name: sum(each.numel() for each in part.parameters()) for name, part in vae.named_children()}
    names = sorted(filter(counts.get, counts), key=lambda name: not name.endswith("coder"))  # the networks first
    parts = ", ".join(f"{name.removesuffix('_head')} {counts[name]:,}" for name in names)
    return f"{sum(counts.values()):,} parameters: {parts}"


def device(trainer: "Trainer") -> str:
    """The device that trains, a GPU with its name."""
    import torch

    root = trainer.strategy.root_device
    return f"{root} ({torch.cuda.get_device_name(root)})" if root.type == "cuda" else str(root)


def log_results(metrics: Mapping[str, Any]) -> None:
    """Say the main numbers of a run's best checkpoint."""
    condition = metrics.get("condition", "none")
    given = "" if condition == "none" else f", of p(x|y): given the {condition}"
    log.info("best checkpoint: epoch %d; nats per image%s", metrics["epoch"], given)
    rows = [["", "loss", "ELBO", "recon", "KL", "active"]]
    for split in [split for split in ("val", "test") if f"{split}/loss" in metrics]:
        error = metrics.get(f"{split}/elbo_se", math.nan)
        loss, elbo, recon, kl = (f"{metrics[f'{split}/{name}']:.2f}" for name in ("loss", "elbo", "recon", "kl"))
        elbo += f" ± {error:.2f}" if math.isfinite(error) else ""
        rows.append([SPLITS[split], loss, elbo, recon, kl, f"{metrics[f'{split}/active_units']:.0f}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        numbers = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        log.info("  %s", "  ".join([name.ljust(widths[0]), *numbers]))


def log_next(run: Path, metrics: Mapping[str, Any], has_problem: bool, options: Sequence[str] = ()) -> None:
    """Say where a run's pictures are, and two commands to go on with; `options`: more that both of them need."""
    folder = RunFolder(run)
    if any(figures := count_figures(folder.figures)):
        log.info("pictures: %s (%s)", printable(shorter_path(folder.figures)), ", ".join(figures))
    some = f" task.images={MANY}" if metrics["data"]["test"] > MANY else ""
    more = f" {shlex.join(options)}" if options else ""
    for task in (f"evaluate{some}", "diagnose" if has_problem else "sample"):
        log.info("next: python -m src.apply %s task=%s%s", format_option("run", shorter_path(run)), task, more)


def log_files(folder: Path) -> None:
    """Say where the results of a task are, and what they are: figures, and files by their names."""
    drawn = (*IMAGES, *ANIMATIONS)
    others = [path for path in sorted(folder.iterdir()) if path.suffix not in drawn]
    names = [printable(path.name) for path in others if path != ResultsFolder(folder).options]
    log.info("results: %s (%s)", printable(shorter_path(folder)), ", ".join([*count_figures(folder), *names]))


def count_figures(folder: Path) -> list[str]:
    """How many images and animations a folder has, where it has any: ["3 images", "1 animation"]."""
    suffixes = [path.suffix for path in folder.glob("*")]
    kinds = {"image": IMAGES, "animation": ANIMATIONS}
    counts = {name: sum(map(suffixes.count, kind)) for name, kind in kinds.items()}
    return [f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items() if count]
