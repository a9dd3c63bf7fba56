"""The differences between the configurations of runs, and which options change no number of a run."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from src.config.choices import choices_of_classes
from src.config.names import HIERARCHY

# options that describe the request for a run
REQUEST = ("ckpt_path", "title", "test", "trust", "run_name", "resume", "sweep_name")
# options that change no number of a run
WITHOUT_EFFECT = (*REQUEST, "logger", "callbacks", "hydra", "data.root", "data.source.root")
IMAGE_SOURCE = ("data.path", "data.source")  # options that change no number either, in runs on the same images
# options of groups that were added later, with the value that means what runs of before did
ADDED = {"trainer": {"patience": None}, "model": {"start": "zero"}}
# the same of classes
ADDED_TO_CLASSES = {f"src.models.networks.{name}": {"depth": 1} for name in ("ConvEncoder", "ConvDecoder")}
NEW_GROUPS = ("condition",)  # that were added later, and are empty where runs do as those of before
ABSENT = "–"  # the value of an option that a configuration lacks
Change = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
Repeats = Callable[[str, list[Any], str, list[Any]], bool]


def effective(config: dict[str, Any], within: str = "") -> dict[str, Any]:
    """A resolved configuration without the options that change no number of a run."""
    return {
        name: effective(value, f"{within}{name}.") if isinstance(value, dict) else value
        for name, value in config.items()
        if f"{within}{name}" not in WITHOUT_EFFECT
    }


def flatten(config: dict[str, Any], within: str = "") -> dict[str, Any]:
    """The leaves of a configuration: `model.encoder.hidden` -> its value."""
    leaves: dict[str, Any] = {}
    for name, value in config.items():
        leaves |= flatten(value, f"{within}{name}.") if isinstance(value, dict) else {f"{within}{name}": value}
    return leaves


def with_added_options(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration, perhaps of an earlier version, with the options that it would have today."""
    return _change_added_options(config, lambda node, added: added | node)


def without_added_options(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the options that were added later, where they mean what runs of before did."""
    config = {name: value for name, value in config.items() if value or name not in NEW_GROUPS}
    return _change_added_options(
        config, lambda node, added: {k: value for k, value in node.items() if k not in added or value != added[k]}
    )


def differences(
    configs: list[dict[str, Any]], repeats: Repeats, ignored: Sequence[str] = (*WITHOUT_EFFECT, *IMAGE_SOURCE)
) -> dict[str, list[Any]]:
    """The options that differ between configurations of runs on the same images, and their value in each.

    Options nearer to the root come first, and the choice of a part before its options.

    Args:
        configs: the configurations.
        repeats: whether an option and its values add nothing to another option and its values; such an option is left
            out.
        ignored: options that may differ; those of the request for a run always may.
    """
    leaves = [_without_followers(flatten(with_added_options(config))) for config in configs]
    names = [name for name in dict.fromkeys(chain.from_iterable(leaves)) if not _is_among(name, (*REQUEST, *ignored))]
    differing: dict[str, list[Any]] = {}
    for name in sorted(names, key=lambda name: (name.count("."), part(name) == name)):
        values = [each.get(name, ABSENT) for each in leaves]
        is_varied = len({as_text(value) for value in values}) > 1
        if is_varied and not any(
            repeats(name, values, other, other_values) for other, other_values in differing.items()
        ):
            differing[name] = values
    return differing


def repeats_in_group(name: str, values: list[Any], other: str, other_values: list[Any]) -> bool:
    """Whether an option has the values of another one with the same last name, at the root or in the same group.

    For example, beta replaces objective.beta, and model.encoder.hidden replaces model.decoder.hidden.
    """
    group, last = name.partition(".")[0], name.rpartition(".")[2]
    is_alike = other.rpartition(".")[2] == last and other.partition(".")[0] in (last, group)
    return is_alike and list(map(as_text, values)) == list(map(as_text, other_values))


def repeats_or_follows(name: str, values: list[Any], other: str, other_values: list[Any]) -> bool:
    """Whether an option adds nothing to another one in a table with a column for each option.

    Either both have the same last name and, where the option is present, the same values; or the other one chooses the
    part that the option belongs to, and the option depends on that choice alone.
    """
    ours, theirs = [as_text(value) for value in values], [as_text(value) for value in other_values]
    if name.rpartition(".")[2] == other.rpartition(".")[2] and not name.endswith("_target_"):
        return all(a in (b, ABSENT) for a, b in zip(ours, theirs, strict=True))
    is_within = part(other) != other and name.startswith(f"{part(other)}.")
    return is_within and len(set(zip(theirs, ours, strict=True))) == len(set(theirs))


def part(name: str) -> str:
    """The part that an option chooses: `model` of `model.name`; other names are returned as they are."""
    return name.removesuffix("._target_").removesuffix(".name")


def option_value(name: str, value: Any) -> Any:
    """The value of an option; of a class the choice that makes it, or of one of our own the name, within a part."""
    if name.rpartition(".")[2] != "_target_":
        return value
    if choice := choices_of_classes(part(name)).get(str(value)):
        return choice
    return str(value).rpartition(".")[2] if str(value).startswith("src.") else value


def as_text(value: Any) -> str:
    """The value of an option as one would type it: 1.0 is 1."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _without_followers(options: dict[str, Any]) -> dict[str, Any]:
    """Options by their full names, without the sizes that posterior, prior and condition have from the model."""

    def follows(name: str, value: Any) -> bool:
        group, _, last = name.partition(".")
        if group in ("posterior", "prior", "condition") and last == "latent_dim":
            return value in (options.get("latent_dim"), options.get("model.decoder.top"))
        of_model = [options.get(f"model.{network}.{last}", ABSENT) for network in ("decoder", "encoder")]
        return group == "posterior" and is_hierarchy and last != "_target_" and value in of_model

    is_hierarchy = str(options.get("posterior._target_")).startswith(HIERARCHY)
    return {name: value for name, value in options.items() if not follows(name, value)}


def _change_added_options(config: dict[str, Any], change: Change, within: str = "") -> dict[str, Any]:
    """A configuration with change(node, added) in place of each node that was given the options `added` later."""
    nodes = {
        name: _change_added_options(value, change, f"{within}{name}.") if isinstance(value, dict) else value
        for name, value in config.items()
    }
    added = ADDED.get(within.removesuffix("."), {}) | ADDED_TO_CLASSES.get(str(config.get("_target_")), {})
    return change(nodes, added) if added else nodes


def _is_among(name: str, options: Sequence[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in options)
