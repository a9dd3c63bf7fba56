"""Where classes and functions that old configurations name are found today.

Checkpoints and the files of runs name parts by their dotted paths, which were other ones before src/ had rooms.
"""

import re
from typing import Any

MOVED = {
    "src.likelihoods.": "src.models.likelihoods.",
    "src.lr_schedules.": "src.training.lr_schedules.",
    "src.networks.": "src.models.networks.",
    "src.objectives.": "src.training.objectives.",
    "src.posteriors.": "src.models.posteriors.",
    "src.priors.": "src.models.priors.",
    "src.schedules.": "src.training.schedules.",
    "src.sources.": "src.data.sources.",
    "src.tracking.": "src.run.tracking.",
}
TARGET = re.compile(r"(?<=\b_target_=)src\.\w+\.")


def current_path(target: str) -> str:
    """The dotted path by which something is imported today, from the one of any version."""
    old = next((prefix for prefix in MOVED if target.startswith(prefix)), "")
    return MOVED.get(old, "") + target.removeprefix(old)


def current_paths(config: Any) -> Any:
    """A plain configuration, or the options of a command line in it, with each `_target_` as it is named today."""
    if isinstance(config, dict):
        return {
            name: current_path(value) if name == "_target_" and isinstance(value, str) else current_paths(value)
            for name, value in config.items()
        }
    if isinstance(config, list):
        return [current_paths(each) for each in config]
    return TARGET.sub(lambda path: current_path(path[0]), config) if isinstance(config, str) else config
