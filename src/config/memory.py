"""The memory that a configuration needs at least, and which of its options decide that."""

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import OmegaConf

from src.config.layers import is_count, layers_of
from src.config.names import has_levels
from src.support.errors import UserError

LARGEST = 32e9  # most bytes of a single array, or less where the machine has less memory
FLOAT = 4  # bytes
# of a weight there are its value, its gradient and two moments of Adam
PER_WEIGHT = 4 * FLOAT
# when the best checkpoint is read, it is there three times, with both moments, beside what was trained
PER_WEIGHT_AT_END = PER_WEIGHT + 3 * 3 * FLOAT
PER_OUTPUT = 2 * FLOAT  # of a layer's output there is its value before and after the activation
SIZES = ("data.batch_size", "objective.samples", "latent_dim")
SIZES += ("model.encoder.hidden", "model.encoder.channels", "model.encoder.depth")
SIZES += ("model.decoder.top", "model.decoder.hidden", "model.decoder.levels", "model.decoder.latents")
SIZES += ("likelihood.features",)
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


def check_training_memory(options: Mapping[str, Any]) -> None:
    """Raise UserError for a training whose networks do not fit into the memory of this machine, be it in a step, with
    what the layers give for a batch, or when its checkpoint is read."""
    nbytes, names = training_size(options)
    if nbytes > memory_of_machine():
        smaller = f"data.shape=[{options['data']['shape'][0]},64,64] fits your own to that"
        raise UserError(
            f"training with {', '.join(names)} takes about {nbytes / 1e9:.0f} GB, and this machine has "
            f"{memory_of_machine() / 1e9:.0f} GB: use smaller images ({smaller}), or lower another of these "
            "options"
        )


def largest() -> float:
    """The bytes that an array may have: `LARGEST`, or the memory of this machine if that is less."""
    return min(LARGEST, memory_of_machine())


def memory_of_machine() -> float:
    """The bytes of this machine's memory; infinite where it does not say."""
    names = getattr(os, "sysconf_names", {})
    if not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= names.keys():
        return math.inf
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def arrays(options: Mapping[str, Any]) -> Iterator[tuple[float, list[str]]]:
    """The bytes of the large arrays of a step, each with the options that it grows with, as NAME=VALUE."""
    if not has_sizes(options):
        return
    data, components = options["data"], options["prior"].get("components")
    samples, size, latents = options["objective"].get("samples", 1), data["batch_size"], options["latent_dim"]
    pixels, batch = math.prod(data["shape"]), [f"data.batch_size={size}"]
    shape, drawn = f"data.shape={data['shape']}".replace(" ", ""), [f"objective.samples={samples}", *batch]
    yield FLOAT * samples * size * pixels, [*drawn, shape]
    of_levels = level_options(options)
    yield FLOAT * samples * size * latents, [*drawn, *(of_levels or [f"latent_dim={latents}"])]
    if is_count(features := (options.get("likelihood") or {}).get("features")):
        yield FLOAT * samples * size * pixels * features, [*drawn, shape, f"likelihood.features={features}"]
    for name in ("encoder", "decoder"):
        if (layers := layers_of(name, options["model"].get(name), data["shape"])) is None:
            continue
        code = ("latent_dim", latents) if layers.code is None else ("model.decoder.top", layers.code)
        yield PER_WEIGHT * layers.outputs[-1] * code[1], [*layers.names, f"{code[0]}={code[1]}"]
        yield PER_WEIGHT * max(layers.between, default=0), layers.names
        yield PER_WEIGHT * layers.at_image, [shape, *layers.names]
        yield FLOAT * size * (samples if name == "decoder" else 1) * max(layers.outputs), [*drawn, *layers.names]
    if is_count(components):
        seen, dim = [f"prior.components={components}"], options["prior"].get("latent_dim", latents)
        dim = dim if is_count(dim) else latents
        of_prior = "model.decoder.top" if of_levels else "latent_dim"
        of_images = "shape" in options["prior"]
        yield PER_WEIGHT * components * (pixels if of_images else dim), [*seen, *([shape] if of_images else [])]
        yield FLOAT * components * samples * size * dim, [*seen, *drawn, f"{of_prior}={dim}"]
    if str(options["posterior"].get("_target_")).endswith(".Full"):
        yield FLOAT * size * latents**2, [*batch, f"latent_dim={latents}"]


def level_options(options: Mapping[str, Any]) -> list[str]:
    """The options, as NAME=VALUE, that the latents of a hierarchy follow from; none of other models."""
    if not has_levels(dict(options)):
        return []
    decoder = options["model"]["decoder"]
    return [f"model.decoder.{name}={decoder.get(name)}".replace(" ", "") for name in ("top", "levels", "latents")]


def training_size(options: Mapping[str, Any]) -> tuple[float, list[str]]:
    """The bytes that the networks of a training need at least, and the options that they grow with, as NAME=VALUE."""
    if not has_sizes(options):
        return 0, []
    data, samples = options["data"], options["objective"].get("samples", 1)
    components = options["prior"].get("components") if "shape" in options["prior"] else None
    pseudo_inputs = components if is_count(components) else 0
    names = [f"data.shape={data['shape']}".replace(" ", ""), f"data.batch_size={data['batch_size']}"]
    names += [f"prior.components={pseudo_inputs}"] if pseudo_inputs else []
    names += [f"objective.samples={samples}"] if samples > 1 else []
    weights, outputs = pseudo_inputs * math.prod(data["shape"]), 0
    images = {"encoder": data["batch_size"] + pseudo_inputs, "decoder": data["batch_size"] * samples}
    for name, count in images.items():
        if layers := layers_of(name, options["model"].get(name), data["shape"]):
            weights += layers.at_image + sum(layers.between)
            outputs += count * sum(layers.outputs)
            names += layers.names
    return max(PER_WEIGHT * weights + PER_OUTPUT * outputs, PER_WEIGHT_AT_END * weights), names


def has_sizes(options: Mapping[str, Any]) -> bool:
    """Whether the numbers that all arrays depend on have the right types."""
    data, samples = options["data"], options["objective"].get("samples", 1)
    shape = data.get("shape")
    counts = is_count(samples, data.get("batch_size"), options.get("latent_dim"))
    return counts and isinstance(shape, list) and len(shape) == 3 and is_count(*shape)


def remedy(cfg: Any) -> str:
    """What to do where a run or a task lacks memory: its options that decide how much it needs, with their values."""
    following = ("latent_dim", "posterior.hidden") if has_levels(cfg) else ()
    sizes = [name for name in SIZES if name not in following]
    names = [*sizes, *(f"task.{name}" for name in OF_TASKS)]
    values = {name: OmegaConf.select(cfg, name) for name in names}
    given = [f"{name}={value}".replace(" ", "") for name, value in values.items() if value is not None]
    return f"lower {', '.join(given)}" if given else "give it smaller numbers"
