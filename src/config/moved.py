"""The present dotted paths of modules and classes that have been moved.

Checkpoints and other files of runs name parts by their dotted paths, which changed when src/ was divided into folders.
"""

import re
from typing import Any

# Modules that runs name or that a user's own class may import, except data.py, whose name is now that of a folder.
MODULES = {
    "src.bounds": "src.models.bounds",
    "src.checkpoints": "src.training.checkpoints",
    "src.classifier": "src.evaluation.classifier",
    "src.distributions": "src.models.distributions",
    "src.divergences": "src.models.divergences",
    "src.errors": "src.support.errors",
    "src.flows": "src.models.flows",
    "src.gaussians": "src.models.gaussians",
    "src.importance": "src.inference.importance",
    "src.likelihoods": "src.models.likelihoods",
    "src.lr_schedules": "src.training.lr_schedules",
    "src.metrics": "src.inference.metrics",
    "src.module": "src.training.module",
    "src.networks": "src.models.networks",
    "src.noise": "src.support.noise",
    "src.objectives": "src.training.objectives",
    "src.posteriors": "src.models.posteriors",
    "src.priors": "src.models.priors",
    "src.quality": "src.evaluation.quality",
    "src.ranges": "src.support.ranges",
    "src.samplers": "src.evaluation.samplers",
    "src.schedules": "src.training.schedules",
    "src.sources": "src.data.sources",
    "src.trace": "src.run.trace",
    "src.tracking": "src.run.tracking",
    "src.vae": "src.models.vae",
}
# Tasks whose module became a folder of the same name.
TASKS = {
    f"src.tasks.{name}.{name}": f"src.tasks.{name}.task.{name}"
    for name in ("anomaly", "compare", "diagnose", "evaluate", "sample", "synthesize")
}
# Functions that moved out of their module.
FUNCTIONS = {
    **TASKS,
    **{f"src.data.sources.{name}": f"src.data.official.{name}" for name in ("mnist", "fashion_mnist")},
    "src.data.sources.npz": "src.data.user_images.images",
}
TARGET = re.compile(r"(?<=\b_target_=)[\w.]+")


def current_path(path: str) -> str:
    """The dotted path by which something is imported today, given its path in any version."""
    module = ".".join(path.split(".")[:2])
    path = MODULES.get(module, module) + path.removeprefix(module)
    return FUNCTIONS.get(path, path)


def current_paths(config: Any) -> Any:
    """A plain configuration, or a list of overrides in it, with the present dotted path of each `_target_`."""
    if isinstance(config, dict):
        return {
            name: current_path(value) if name == "_target_" and isinstance(value, str) else current_paths(value)
            for name, value in config.items()
        }
    if isinstance(config, list):
        return [current_paths(each) for each in config]
    return TARGET.sub(lambda match: current_path(match[0]), config) if isinstance(config, str) else config
