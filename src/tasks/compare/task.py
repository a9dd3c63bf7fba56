"""Two runs on the same images: differences of options, of the ELBO and its terms, and of what they draw."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from src.build import Run, open_run
from src.config.names import option_name
from src.config.options import to_plain_dict
from src.data.pixels import as_bytes, as_input, required_pixels
from src.data.sources import Split
from src.figures.animation import write_image
from src.figures.grids import sheet
from src.inference.metrics import elbo_terms, estimate
from src.run import record
from src.run.options import differences, repeats_in_group
from src.support import noise
from src.support.errors import UserError
from src.support.files import atomic_path
from src.support.folders import ResultsFolder
from src.support.ranges import Count
from src.tasks.compare import pictures


def compare(
    run: Run,
    folder: Path,
    other: str | None,
    checkpoint: Literal["best", "last"],
    split: Literal["val", "test"],
    samples: Count,
    count: Count,
) -> dict[str, Any]:
    """The table `elbo`, `recon`, `kl`: means over the images of `split`, nats per image, and the paired difference
    run - other with its standard error; below it the options that differ.

    Writes compare.png (the table, and the differences of all images), differ.png (the images whose ELBO differs most),
    codes.png (the same noise through both priors and decoders; reconstructions where the latents are not as many),
    options.txt, and terms.npz. Raises UserError where the runs' numbers do not compare.
    """
    second = opened(run, other, checkpoint, split, samples, count)
    runs = {"run": run, "other": second}
    chosen: Split = getattr(run.data, split)
    terms = {
        who: elbo_terms(
            each.vae,
            tqdm(run.batches(chosen), who, unit="batch", disable=None, leave=False, delay=1),
            run.seed,
            samples,
        )
        for who, each in runs.items()
    }
    options = option_differences(to_plain_dict(run.config), to_plain_dict(second.config))
    paired = {name: terms["run"][name] - terms["other"][name] for name in ("elbo", "recon", "kl")}
    numbers: dict[str, Any] = {"images": len(chosen.images), "split": split}
    for name, difference in paired.items():
        numbers |= {f"{name}/{who}": float(terms[who][name].mean()) for who in runs}
        numbers |= estimate(f"{name}/difference", difference)
    chosen_options = {
        f"{name}/{who}": value for name, pair in options.items() for who, value in zip(runs, pair, strict=True)
    }

    title = f"{run.folder.name}   against   {second.folder.name}"
    caption = f"{run.config.title} against {second.config.title}, the same {len(chosen.images):,} {split} images"
    figure = pictures.differences(title, caption, numbers, options, paired["elbo"])
    write_image(figure, folder / "compare.png", scale=1)
    write_image(most_different(title, runs, chosen, paired["elbo"], count), folder / "differ.png", scale=1)
    write_image(side_by_side(title, runs, chosen, count), folder / "codes.png", scale=1)
    record.write(folder / "options.txt", record.table(chosen_options) + "\n")
    with atomic_path(ResultsFolder(folder).terms) as partial:
        arrays = {f"{who}_{name}": values for who, found in terms.items() for name, values in found.items()}
        np.savez(partial, index=np.arange(len(chosen.images)), **arrays)
    return numbers | chosen_options


def opened(run: Run, other: str | None, checkpoint: str, split: str, samples: int, count: int) -> Run:
    """The other run, with its VAE where the first one's lies. Raises UserError for a bad option of the task, and where
    the two runs' numbers do not compare."""
    if not other:
        raise UserError("task.other must be given: task.other=outputs/runs/RUN")
    second = open_run(other, checkpoint, run.seed)
    check_comparable(run, second)
    second.vae.to(run.device)
    return second


def check_comparable(run: Run, other: Run) -> None:
    """Raises UserError, naming what differs, unless both runs put a density of one kind on the same images."""
    for (name, ours), theirs in zip(images_of(run).items(), images_of(other).values(), strict=True):
        if ours != theirs:
            raise UserError(f"the numbers of the two runs do not compare: {name} is {ours} of run, {theirs} of other")
    if run.complete.fingerprint != other.complete.fingerprint:
        where = "data.path" if "path" in run.config.data else f"data={run.config.data.name}"
        raise UserError(f"the numbers of the two runs do not compare: {where} holds other images for each")


def images_of(run: Run) -> dict[str, Any]:
    """What the numbers of a run are about."""
    data = run.config.data
    return {
        "data": option_name(data.source._target_),
        "data.shape": list(data.shape),
        "data.exclude_labels": f"[{', '.join(run.complete.classes[i] for i in run.excluded_labels)}]",
        "the pixels' kind": required_pixels(run.vae.likelihood, data.binarize),
    }


def option_differences(ours: dict, theirs: dict) -> dict[str, tuple[str, str]]:
    """The options in which two configurations differ, and their two values.

    An option that its group repeats, or the root has, is named once, the shortest way: latent_dim, not
    posterior.latent_dim.
    """
    found = differences([ours, theirs], repeats_in_group)
    return {
        name.removesuffix("._target_"): tuple(option_text(name, value) for value in found[name])
        for name in sorted(found)
    }


def option_text(name: str, value: Any) -> str:
    """The value of an option; of a class its name and its module's."""
    return ".".join(str(value).split(".")[-2:]) if name.rpartition(".")[2] == "_target_" else str(value)


def most_different(title: str, runs: dict[str, Run], split: Split, difference: np.ndarray, count: int) -> Figure:
    """The images whose ELBO differs most, half from either end, and what each run makes of them."""
    order = np.argsort(-difference, kind="stable")
    if count < len(order):
        order = np.concatenate([order[: count - count // 2], order[len(order) - count // 2 :]])
    x = images(split, order, runs["run"])
    caption = "the images whose ELBO differs most: run minus other, in nats"
    shown = [("image", as_bytes(x)), *((f"reconstruction,\n{who}", means(each, x)) for who, each in runs.items())]
    return sheet(title, caption, shown, [f"{difference[row]:+.1f}".replace("-", "\N{MINUS SIGN}") for row in order])


def side_by_side(title: str, runs: dict[str, Run], split: Split, count: int) -> Figure:
    """The same noise through the prior and the decoder of each run; where the latents are not as many, the first
    images and their reconstructions."""
    run, other = runs.values()
    if run.vae.latent_dim != other.vae.latent_dim:
        x = images(split, np.arange(min(count, len(split.images))), run)
        caption = f"the same images; no codes in common: {run.vae.latent_dim} latents against {other.vae.latent_dim}"
        return sheet(title, caption, [("image", as_bytes(x)), *((who, means(each, x)) for who, each in runs.items())])
    drawn = {}
    for who, each in runs.items():
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(noise.seed_of(run.seed, "the same codes"))
            drawn[who] = as_bytes(each.vae.sample(count))
    same = type(run.vae.prior_head) is type(other.vae.prior_head) and not list(run.vae.prior_head.parameters())
    words = "the same codes, decoded by both" if same else "the same noise, through the prior and decoder of each"
    return sheet(title, f"mean of p(x | z): {words}", list(drawn.items()))


def images(split: Split, rows: np.ndarray, run: Run) -> Tensor:
    """Those images (B, C, H, W) of a split, where the run's VAE lies."""
    return as_input(torch.from_numpy(split.images[rows])).to(run.device)


def means(run: Run, x: Tensor) -> np.ndarray:
    """The reconstructions of images, as bytes."""
    return as_bytes(run.vae.reconstruct(x))
