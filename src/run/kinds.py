"""Which runs can be compared: those on the same images, prepared alike, under one likelihood, and given the same."""

from typing import Any, Protocol, TypeVar

from src.config.names import option_name
from src.support.texts import natural_key

PIXELS = {"Bernoulli": "binary", "Logistic256": "levels"}  # how images are prepared; for a density, dequantized


class Trained(Protocol):
    """What is read from a run's folder: its configuration, metrics.json and data.json."""

    config: dict[str, Any]
    metrics: dict[str, Any]
    data: dict[str, Any]


AnyRun = TypeVar("AnyRun", bound=Trained)


def kind(run: Trained) -> tuple[str, str, str]:
    """The names of a run's data, pixels and likelihood; of that of p(x|y) the name says so.

    Raises KeyError, TypeError or AttributeError for a configuration without them.
    """
    data, likelihood = run.config["data"], run.config["likelihood"]["_target_"].rpartition(".")[2]
    name = option_name(data["source"]["_target_"])
    path = data.get("path") or data["source"].get("path")
    excluded = data.get("exclude_labels") or []
    excluded = run.data.get("without") or (excluded if isinstance(excluded, list) else [excluded])
    labels = ", ".join(sorted(map(str, excluded), key=natural_key))
    shape = list(data.get("shape") or [])
    description = f"{name} {path}" if path else name
    description += f" {shape}" if shape not in ([], [1, 28, 28]) else ""
    given = (run.config.get("condition") or {}).get("_target_", "").rpartition(".")[2]
    pixels = run.metrics.get("pixels") or PIXELS.get(likelihood, "dequantized")
    description += f" without {labels}" if labels else ""
    return description, str(pixels), likelihood + (f" given the {option_name(given)}" if given else "")


def split_by_images(data: str, runs: list[AnyRun]) -> list[tuple[str, list[AnyRun]]]:
    """Runs on one data set, split where its file has held different images.

    The names of the parts then end in the first letters of their fingerprints. Runs without a fingerprint, which are
    older than fingerprints, stay together.
    """
    parts: dict[str | None, list[AnyRun]] = {}
    for run in runs:
        parts.setdefault(fingerprint(run), []).append(run)
    if len(set(parts) - {None}) < 2:
        return [(data, runs)]
    return [(f"{data}, images {each[:6] if each else 'unknown'}", same) for each, same in parts.items()]


def fingerprint(run: Trained) -> str | None:
    """The fingerprint of the images, in their splits and order, that a run was trained on; None without one."""
    value = run.data.get("fingerprint")
    return value if isinstance(value, str) else None
