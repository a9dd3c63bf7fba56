"""The memory that a configuration needs at least, and which of its options decide that."""

import itertools
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import OmegaConf

from src.support.errors import UserError

LARGEST = 32e9  # most bytes of a single array, or less where the machine has less memory
FLOAT = 4  # bytes
# of a weight there are its value, its gradient and two moments of Adam
PER_WEIGHT = 4 * FLOAT
SIZES = ("data.batch_size", "objective.samples", "latent_dim", "model.encoder.hidden", "model.encoder.channels")
SIZES += ("prior.components", "prior.transforms", "prior.hidden", "posterior.transforms", "posterior.hidden")
OF_TASKS = (
    "images",
    "samples",
    "count",
    "draws",
    "steps",
    "pairs",
    "per_class",
    "simulations",
    "tight_images",
    "scale",
)


def check_memory(options: Mapping[str, Any]) -> None:
    """Raise UserError for a run whose largest array does not fit into any memory. Values of other types are left to
    the checks of types."""
    for nbytes, names in arrays(options):
        if nbytes > largest():
            raise UserError(
                f"{' times '.join(names)} takes {nbytes / 1e9:.0f} GB in a single array, and there is no more than "
                f"{largest() / 1e9:.0f} GB: lower {'one of them' if len(names) > 1 else 'it'}"
            )


def largest() -> float:
    """The bytes that an array may have: `LARGEST`, or the memory of this machine if that is less."""
    names = getattr(os, "sysconf_names", {})
    if not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= names.keys():
        return LARGEST
    return min(LARGEST, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def arrays(options: Mapping[str, Any]) -> Iterator[tuple[float, list[str]]]:
    """The bytes of the large arrays of a step, each with the options that it grows with, as NAME=VALUE."""
    data, objective, model = options["data"], options["objective"], options["model"]
    latents, components = options.get("latent_dim"), options["prior"].get("components")
    samples, size, shape = objective.get("samples", 1), data.get("batch_size"), data.get("shape")
    if not is_count(samples, size, latents) or not isinstance(shape, list) or not is_count(*shape):
        return
    pixels, batch = math.prod(shape), [f"data.batch_size={size}"]
    drawn = [f"objective.samples={samples}", *batch]
    yield FLOAT * samples * size * pixels, drawn
    yield FLOAT * samples * size * latents, [*drawn, f"latent_dim={latents}"]
    for name in ("encoder", "decoder"):
        hidden = model[name].get("hidden") if isinstance(model.get(name), Mapping) else None
        widths = hidden if isinstance(hidden, list) else [hidden]
        if not widths or not is_count(*widths):
            continue
        named = [f"model.{name}.hidden={hidden}".replace(" ", "")]
        # only of a list of widths it is known what comes before the first of them, or after the last one
        ends = [pixels] if isinstance(hidden, list) else []
        layers = [*ends, *widths] if name == "encoder" else [*widths, *ends]
        yield PER_WEIGHT * max([a * b for a, b in itertools.pairwise(layers)], default=0), named
        yield PER_WEIGHT * (widths[-1] if name == "encoder" else widths[0]) * latents, [*named, f"latent_dim={latents}"]
        yield FLOAT * size * (samples if name == "decoder" else 1) * max(widths), [*drawn, *named]
    if is_count(components):
        seen = [f"prior.components={components}"]
        yield FLOAT * components * (pixels if "shape" in options["prior"] else latents), seen
        yield FLOAT * components * samples * size * latents, [*seen, *drawn, f"latent_dim={latents}"]
    if str(options["posterior"].get("_target_")).endswith(".Full"):
        yield FLOAT * size * latents**2, [*batch, f"latent_dim={latents}"]


def is_count(*values: Any) -> bool:
    """Whether all of these values are whole numbers above zero."""
    return all(isinstance(value, int) and not isinstance(value, bool) and value > 0 for value in values)


def remedy(cfg: Any) -> str:
    """What to do where a run or a task lacks memory: its options that decide how much it needs, with their values."""
    names = [*SIZES, *(f"task.{name}" for name in OF_TASKS)]
    values = {name: OmegaConf.select(cfg, name) for name in names}
    given = [f"{name}={value}".replace(" ", "") for name, value in values.items() if value is not None]
    return f"lower {', '.join(given)}" if given else "give it smaller numbers"
