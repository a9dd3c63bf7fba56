"""What the page shows of a run: its model, the followed images and their codes, the map over the epochs, numbers."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from src.build import Run
from src.config.options import to_plain_dict
from src.data.batches import Batch
from src.data.pixels import BELOW_ONE, Pixels, as_bytes, as_input
from src.data.selection import class_balanced_rows
from src.data.sources import Split
from src.figures import embedding
from src.figures.look import class_styles
from src.figures.moments import evenly_in_log
from src.inference.metrics import ACTIVE, dimensions
from src.reporting.palette import lighten
from src.reporting.runs import read as read_record
from src.run.options import as_text, flatten
from src.run.trace import Trace
from src.support.errors import UserError
from src.support.folders import RunFolder
from src.tasks.explore.arrays import Arrays
from src.tasks.explore.functions import CLOUD, bank, makes_codes, write_programs

MOST_BYTES = 2_000_000  # of the followed images, before they are compressed
QUANTILES = 401  # of the nats of the validation images
FEWEST = 10  # followed images of a map
FAR = 0.005  # share of codes that are beyond either end of a slider
DIGITS = ("mnist", "mnist5k", "qmnist")  # data whose images are centred as MNIST's
FITTED = ("fashion_mnist", "kmnist", "emnist")  # and those that fill the image
PARTS = ("model", "posterior", "prior", "likelihood", "condition", "objective", "schedule", "optimizer", "lr_schedule")
PLACES = 65535  # steps of a coordinate on the map
KEYS = {"elbo": "ELBO", "recon": "reconstruction", "kl": "KL"}


class Followed(NamedTuple):
    """The images that a trace follows: their gray levels (P, C, H, W) uint8, and as the model sees them."""

    grays: np.ndarray
    split: Split


class Terms(NamedTuple):
    """Codes (N, D), the means of q(z|x), and at them -log p(x|z) and the KL of each image (N,), in nats."""

    codes: np.ndarray
    recon: np.ndarray
    kl: np.ndarray


def make_field(run: Run) -> np.ndarray:
    """A fixed uniform number for each pixel of an image, (C, H, W), in 65,536ths."""
    return np.random.default_rng(run.seed).integers(0, 65536, run.vae.shape, np.uint16)


def followed_images(run: Run, trace: Trace, field: np.ndarray) -> Followed:
    """The images that a trace follows, or the first of them if all would be too large for the page.

    Noise that is added to gray levels is that of the page, `field`. Raises UserError for a trace of other images.
    """
    most = max(100, MOST_BYTES // math.prod(run.vae.shape))
    rows = class_balanced_rows(run.data.val.labels, len(trace.fixed["labels"]))[:most]
    val = run.data.val.images[rows]
    if not np.array_equal(as_bytes(as_input(torch.from_numpy(val))), trace.fixed["pixels"][: len(rows)]):
        raise UserError(f"{run.folder}: the trace of its figures is of other images than its validation set")
    grays = run.data.source.val.images[rows]
    if run.data.pixels == Pixels.DEQUANTIZED:
        val = np.minimum((grays + field / np.float32(65536)) / np.float32(256), np.float32(BELOW_ONE))
    return Followed(grays, Split(val, run.data.val.labels[rows]))


def check_trace(run: Run, trace: Trace) -> None:
    """Raise UserError for a trace that lacks what the page needs of it, or that follows too few images."""
    try:
        is_whole = has_what_is_shown(run, trace)
    except (KeyError, IndexError, TypeError, ValueError):  # an array is missing, or is of another kind
        is_whole = False
    if not is_whole:
        raise UserError(f"{RunFolder(run.folder).trace} is damaged: train again to write a new one")
    if len(trace.fixed["labels"]) < FEWEST:
        raise UserError(f"task=explore needs {FEWEST} followed images: train with callbacks.recorder.images=1000")


def has_what_is_shown(run: Run, trace: Trace) -> bool:
    """Whether a trace has images, their codes in each frame, and numbers of each epoch, of shapes that fit."""
    begin, end = mapped_dimensions(run, trace)
    count, frames, epochs = len(trace.fixed["labels"]), trace.frames, trace.epochs
    return (
        trace.fixed["pixels"].shape == (count, *run.vae.shape)
        and frames["codes"].shape == (len(frames["epoch"]), count, end - begin)
        and epochs["images_seen"].shape == epochs["epoch"].shape == (len(epochs["epoch"]),)
        and all(each.dtype.kind in "iuf" for each in (*epochs.values(), *frames.values()))
        and bool(np.isin(frames["epoch"], epochs["epoch"]).all())
    )


@torch.no_grad()
def measure(run: Run, batches: Iterable[Batch]) -> Terms:
    """Codes and terms of the images of some batches."""
    parts = []
    for batch in batches:
        draws = run.vae.given(batch.y).draw(batch.x, batch.x.new_zeros(1, len(batch.x), run.vae.latent_dim))
        parts.append([each.float().cpu().numpy() for each in (draws.z[0], draws.recon(), draws.kl("closed"))])
    return Terms(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def contents(run: Run, trace: Trace | None, followed: Followed, arrays: Arrays) -> dict[str, Any]:
    """All that the page knows of a run, its arrays by their numbers in `arrays`.

    trace: that of the run, or None for a map of the end of its training alone
    """
    vae = run.vae
    model = write_programs(run, arrays)
    progress = tqdm(run.batches(run.data.val), "codes", unit="batch", disable=None, leave=False, delay=1)
    val, own = measure(run, progress), measure(run, run.batches(followed.split))
    quantiles = np.quantile(val.recon + val.kl, np.linspace(0, 1, QUANTILES))
    bits = np.packbits(followed.split.images > 0) if run.data.pixels == Pixels.BINARY else None
    drawn = bank(run)
    if not all(np.isfinite(each).all() for each in (*val, *own, drawn)):
        raise UserError(f"{run.folder}: codes or nats of this run are not finite: choose another run")
    with torch.no_grad():
        prior = vae.given_each_label(1).prior()
    return {
        "name": run.folder.name,
        "title": run.config.title,
        "shape": list(vae.shape),
        "latent_dim": vae.latent_dim,
        "classes": list(run.data.source.classes),
        "styles": styles(len(run.data.source.classes)),
        "pixels": run.data.pixels.value,
        "convention": convention(run.config.data.name),
        "isBrightOnBlack": bool(followed.grays.mean() < 128),
        "conditional": vae.condition is not None,
        "isotropic": bool(prior.is_isotropic) and vae.latent_dim > 1,
        "cloud": CLOUD,
        "bank": None if makes_codes(vae) else arrays.add(drawn, "float32"),
        "followed": {
            "codes": arrays.add(own.codes, "float32"),
            "recon": arrays.add(own.recon, "float32"),
            "kl": arrays.add(own.kl, "float32"),
            "labels": arrays.add(followed.split.labels, "uint16"),
            "grays": arrays.add(followed.grays, "uint8"),
            "bits": None if bits is None else arrays.add(bits, "uint8"),
        },
        "quantiles": arrays.add(quantiles, "float32"),
        "map": make_map(run, trace, own.codes, arrays),
        "curves": curves(trace or Trace()),
        "numbers": numbers(run),
        "options": options(run),
        **sliders(run, val.codes, drawn),
        **model,
    }


def styles(count: int) -> list[dict[str, Any]]:
    """The colour of each class on a light page and on a dark one, and its marker."""
    return [{"colours": [colour, lighten(colour)], "marker": marker} for colour, marker in class_styles(count)]


def convention(data: str) -> str:
    """How images of one's own are centred and scaled: a name in page/images.js."""
    return "digit" if data in DIGITS else "fit" if data in FITTED else "whole"


def sliders(run: Run, codes: np.ndarray, drawn: np.ndarray) -> dict[str, Any]:
    """The dimensions: their order, KL, ranges, which of them are active, and the mean of all codes.

    A range holds the codes (N, D) of validation images and those drawn from the prior (M, D), but for a few.
    """
    _, kl = dimensions(run.vae, run.batches(run.data.val))
    variance = codes.var(0, dtype=np.float64)
    low = np.minimum(*(np.quantile(each, FAR, 0) for each in (codes, drawn)))
    high = np.maximum(*(np.quantile(each, 1 - FAR, 0) for each in (codes, drawn)))
    return {
        "order": np.argsort(-(variance if kl is None else kl), kind="stable").tolist(),
        "kl": None if kl is None else kl.tolist(),
        "active": (variance > ACTIVE).tolist(),
        "low": low.tolist(),
        "high": np.maximum(high, low + 1e-3).tolist(),
        "centre": codes.mean(0, dtype=np.float64).tolist(),
    }


def make_map(run: Run, trace: Trace | None, codes: np.ndarray, arrays: Arrays) -> dict[str, Any]:
    """The places of the followed images over the epochs, up to the checkpoint that the page decodes with.

    They are the codes themselves, of two dimensions at most, or their t-SNE; of a hierarchy those of one level.
    """
    begin, end = mapped_dimensions(run, trace)
    frames, epochs = recorded_frames(run, trace, len(codes)) if trace else ([], [])
    kind = {1: "line", 2: "plane"}.get(end - begin, "tsne")
    places = np.stack(planes(kind, [*frames, codes[:, begin:end]]))
    low, high = places.min((0, 1)), places.max((0, 1))
    packed = np.rint((places - low) / np.maximum(high - low, 1e-9) * PLACES)
    return {
        "kind": kind,
        "begin": begin,
        "end": end,
        "low": low.tolist(),
        "high": high.tolist(),
        "frames": arrays.add(packed, "uint16"),
        "epochs": [*epochs, run.epoch],
        "note": f" of one level, {end - begin} dimensions" if run.vae.levels else "",
    }


def mapped_dimensions(run: Run, trace: Trace | None) -> tuple[int, int]:
    """The first of the dimensions that the map shows, and the one after the last."""
    if not run.vae.levels:
        return 0, run.vae.latent_dim
    level = int(trace.fixed.get("level", 1)) if trace else 1
    ends = np.cumsum(run.vae.levels)
    return int(ends[level - 1] - run.vae.levels[level - 1]), int(ends[level - 1])


def recorded_frames(run: Run, trace: Trace, count: int) -> tuple[list[np.ndarray], list[int]]:
    """The codes of the first `count` images at epochs before the checkpoint, evenly in log(images seen); and these."""
    rows = [i for i, epoch in enumerate(trace.frames["epoch"]) if epoch < run.epoch]
    rows = [i for i in rows if np.isfinite(trace.frames["codes"][i]).all()]
    seen = trace.epochs["images_seen"][np.searchsorted(trace.epochs["epoch"], trace.frames["epoch"][rows])]
    chosen = [rows[i] for i in evenly_in_log(seen)]
    return [trace.frames["codes"][i][:count] for i in chosen], [int(trace.frames["epoch"][i]) for i in chosen]


def planes(kind: str, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The places (P, 2) of the codes (P, D) of each frame."""
    if kind == "plane":
        return list(frames)
    if kind == "line":
        heights = np.ptp(frames[-1]) * np.random.default_rng(0).uniform(-0.2, 0.2, len(frames[0]))
        return [np.column_stack([codes[:, 0], heights]) for codes in frames]
    backwards = embedding.embed_backwards(frames)
    return [*tqdm(backwards, "t-SNE", len(frames), unit="frame", disable=None, leave=False)][::-1]


def curves(trace: Trace) -> dict[str, list[float]]:
    """The numbers of each epoch: `epoch`, and ELBO, reconstruction term and KL of both splits."""
    names = ["epoch", *(f"{split}/{name}" for split in ("train", "val") for name in ("elbo", "recon", "kl"))]
    found = {name: trace.epochs[name].tolist() for name in names if name in trace.epochs}
    return {name: [value if math.isfinite(value) else None for value in values] for name, values in found.items()}


def numbers(run: Run) -> list[tuple[str, str]]:
    """The results of the run, as names and texts; those of its best checkpoint are left out of another one."""
    record = read_record(run.folder, run.folder.name)
    parameters = sum(weight.numel() for weight in run.vae.parameters())
    rows = [("epochs of the checkpoint", str(run.epoch)), ("parameters", f"{parameters:,}")]
    splits = (("val", "validation"), ("test", "test")) if record.number("epoch") == run.epoch else ()
    for split, name in splits:
        for key in ("elbo", "recon", "kl"):
            value = record.number(f"{split}/{key}")
            if value is not None:
                rows.append((f"{name} {KEYS[key]}", f"{value:.2f} nats".replace("-", "\N{MINUS SIGN}")))
    active = record.number("val/active_units")
    if splits and active is not None:
        rows.append(("active units", f"{active:.0f} of {run.vae.latent_dim}"))
    return rows


def options(run: Run) -> list[tuple[str, str]]:
    """The options of the model and the training, without the paths of the user's machine."""
    config = to_plain_dict(run.config)
    named = {name: config[name] for name in ("latent_dim", "beta", "seed") if name in config}
    named |= {"data": config["data"]["name"], "data.batch_size": config["data"].get("batch_size")}
    for group in PARTS:
        named |= flatten(config.get(group) or {}, f"{group}.")
    named["trainer.max_epochs"] = config["trainer"].get("max_epochs")
    return [(name, as_text(value)) for name, value in named.items() if not name.endswith("_partial_")]
