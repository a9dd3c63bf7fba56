"""Two runs on the same images: differences of their options, of the ELBO and its terms, and of their images."""

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
from src.evaluation.samplers import draw_labels
from src.figures.animation import write_image
from src.figures.grids import sheet
from src.inference.metrics import elbo_terms
from src.models.vae import VAE
from src.run import record
from src.run.options import differences, repeats_in_group
from src.support import noise
from src.support.errors import UserError
from src.support.files import atomic_path
from src.support.folders import ResultsFolder
from src.support.noise import Noise
from src.support.ranges import Count
from src.support.statistics import estimate
from src.tasks.captions import mean_of
from src.tasks.compare import pictures
from src.tasks.compare.pictures import Table
from src.tasks.conditional import mark_conditional
from src.tasks.examples import picture_rows


def compare(
    run: Run,
    folder: Path,
    other: str | None,
    checkpoint: Literal["best", "last"],
    split: Literal["val", "test"],
    samples: Count,
    count: Count,
) -> dict[str, Any]:
    """Compare a run with another one: means of `elbo`, `recon` and `kl` over the images of `split`, nats per image, the
    paired differences run - other with their standard errors, and the options that differ.

    Writes compare.png (the table, and a histogram of the differences of all images), differ.png (the images whose ELBO
    differs most), codes.png (images of both from the same noise; reconstructions where the numbers of latents differ),
    options.txt, and terms.npz. Raises UserError where the numbers of the runs can't be compared.
    """
    second = open_other(run, other, checkpoint)
    runs = {"run": run, "other": second}
    chosen: Split = getattr(run.data, split)
    terms = {}
    for who, each in runs.items():
        batches = tqdm(run.batches(chosen), who, unit="batch", disable=None, leave=False, delay=1)
        terms[who] = elbo_terms(each.vae, batches, Noise(run.seed), samples)
    paired = {name: terms["run"][name] - terms["other"][name] for name in ("elbo", "recon", "kl")}
    table: Table = {name: {who: float(terms[who][name].mean()) for who in runs} for name in paired}
    for name, difference in paired.items():
        table[name]["difference"] = estimate(difference)
    options = option_differences(to_plain_dict(run.config), to_plain_dict(second.config))
    option_table = {name: dict(zip(runs, pair, strict=True)) for name, pair in options.items()}

    title = f"{run.folder.name}   against   {second.folder.name}"
    caption = f"{run.config.title} against {second.config.title}, the same {len(chosen.images):,} {split} images"
    figure = pictures.differences(title, caption, table, options, paired["elbo"])
    write_image(figure, folder / "compare.png", scale=1)
    write_image(most_different(title, runs, split, paired["elbo"], count), folder / "differ.png", scale=1)
    write_image(side_by_side(title, runs, split, count), folder / "codes.png", scale=1)
    record.write(folder / "options.txt", record.table(option_table) + "\n")
    with atomic_path(ResultsFolder(folder).terms) as partial:
        arrays = {f"{who}_{name}": values for who, found in terms.items() for name, values in found.items()}
        np.savez(partial, index=np.arange(len(chosen.images)), **arrays)
    return {"images": len(chosen.images), "split": split} | mark_conditional(run, table) | option_table


def open_other(run: Run, other: str | None, checkpoint: str) -> Run:
    """Open the other run, with its VAE on the device of the first one's.

    Raises UserError where `other` is missing or no run, and where the numbers of the two runs can't be compared.
    """
    if not other:
        raise UserError("task.other must be given: task.other=outputs/runs/RUN")
    second = open_run(other, checkpoint, run.seed, trust=run.trust)
    check_comparable(run, second)
    second.vae.to(run.device)
    return second


def check_comparable(run: Run, other: Run) -> None:
    """Raise UserError, which names what differs, unless both runs model the same images with densities of one kind."""
    for (name, ours), theirs in zip(images_of(run).items(), images_of(other).values(), strict=True):
        if ours != theirs:
            raise UserError(
                f"the numbers of the two runs can't be compared: {name} is {ours} of run, {theirs} of other"
            )
    if run.complete.fingerprint != other.complete.fingerprint:
        where = "data.path" if "path" in run.config.data else f"data={run.config.data.name}"
        raise UserError(f"the numbers of the two runs can't be compared: {where} holds other images for each")


def images_of(run: Run) -> dict[str, Any]:
    """The properties of a run's images that must agree for numbers to be comparable, by the name of the option."""
    data = run.config.data
    return {
        "data": option_name(data.source._target_),
        "data.split": data.get("split"),
        "data.shape": list(data.shape),
        "data.exclude_labels": f"[{', '.join(run.complete.classes[i] for i in run.excluded_labels)}]",
        "condition": option_name((run.config.get("condition") or {}).get("_target_", "none")),
        "the pixels' kind": required_pixels(run.vae.likelihood, data.binarize),
    }


def option_differences(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The options in which two configurations differ, and their two values.

    An option that its group repeats, or the root has, is named once, the shortest way: latent_dim, not
    posterior.latent_dim.
    """
    found = differences([ours, theirs], repeats_in_group)
    pairs = {name: [option_text(name, value) for value in found[name]] for name in sorted(found)}
    return {name.removesuffix("._target_"): (one, two) for name, (one, two) in pairs.items()}


def option_text(name: str, value: Any) -> str:
    """The value of an option as text; for a class, its name and that of its module."""
    return ".".join(str(value).split(".")[-2:]) if name.rpartition(".")[2] == "_target_" else str(value)


def most_different(title: str, runs: dict[str, Run], split: str, difference: np.ndarray, count: int) -> Figure:
    """Draw the images whose ELBO differs most, half from either end, and their reconstructions by each run."""
    order = np.argsort(-difference, kind="stable")
    if count < len(order):
        order = np.concatenate([order[: count - count // 2], order[len(order) - count // 2 :]])
    caption = "the images whose ELBO differs most: run minus other, in nats"
    rows = reconstructions(runs, split, order, "reconstruction,\n")
    return sheet(title, caption, rows, [f"{difference[row]:+.1f}".replace("-", "\N{MINUS SIGN}") for row in order])


def side_by_side(title: str, runs: dict[str, Run], split: str, count: int) -> Figure:
    """Draw images from the same noise through the prior and the decoder of each run.

    Where the numbers of latents differ, draw the first images and their reconstructions instead.
    """
    dims = [each.vae.latent_dim for each in runs.values()]
    if len(set(dims)) > 1:
        caption = f"the same images; no codes in common: {dims[0]} latents against {dims[1]}"
        return sheet(
            title,
            caption,
            reconstructions(runs, split, np.arange(min(count, len(getattr(runs["run"].data, split).images)))),
        )
    seed, labels = noise.seed_of(runs["run"].seed, "the same codes"), draw_labels(runs["run"], count)
    vaes = {who: each.vae.given(labels) for who, each in runs.items()}
    codes = {who: sample_prior(vae, count, seed) for who, vae in vaes.items()}
    with torch.no_grad():
        rows = [(who, as_bytes(vae.decode(codes[who]).mean)) for who, vae in vaes.items()]
    same = torch.equal(*codes.values())
    source = "the same codes, decoded by both" if same else "the same noise, through the prior and decoder of each"
    shown = {mean_of(vae): None for vae in vaes.values()}  # in the order of the rows
    return sheet(title, f"{' and '.join(shown)} p(x | z): {source}", rows)


@torch.no_grad()
def sample_prior(vae: VAE, count: int, seed: int) -> Tensor:
    """Codes (count, D) from the prior, a function of the seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return vae.sample_codes(count)


def reconstructions(
    runs: dict[str, Run], split: str, rows: np.ndarray, label: str = ""
) -> list[tuple[str, np.ndarray]]:
    """The images in these rows of a split, then their reconstructions by each run, whose name follows the label."""
    run = runs["run"]
    images, y = (torch.from_numpy(array[rows]).to(run.device) for array in getattr(run.data, split))
    x = as_input(images)
    means = [(label + who, as_bytes(each.vae.given(y).reconstruct(x))) for who, each in runs.items()]
    return [*picture_rows(run, rows, split).items(), *means]
