"""The groups of options, their choices and what each of these can be given, read from the files in conf/.

Completion asks for these at each press of the key, so that nothing but PyYAML is imported.
"""

import functools
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CONF = Path(__file__).resolve().parent.parent.parent / "conf"
# values of options that follow from another one, whatever is chosen
FOLLOWING = ("${latent_dim}", "${prior_dim:}", "${data.shape}", "${beta}")
GROUPS = {
    "data": "the images",
    "model": "the networks, an encoder and a decoder",
    "posterior": "q(z|x), the distribution of an image's code",
    "prior": "p(z), the distribution that new codes are drawn from",
    "likelihood": "p(x|z), the distribution of an image, given its code",
    "condition": "what all of these are conditional on, such as the label of an image",
    "objective": "the loss that is minimised",
    "schedule": "how beta, or the capacity, rises during the training",
    "optimizer": "how the loss is minimised",
    "lr_schedule": "how the learning rate changes during the training",
    "trainer": "how long, on what device, and in what precision",
    "logger": "where the numbers and pictures of a run are written",
    "callbacks": "what watches a training",
    "experiment": "published models, each a combination of choices",
    "sweep": "prepared sweeps over several values",
    "hydra/launcher": "how the jobs of a sweep are started (basic, one after another)",
    "task": "what is done with a trained run",
}
NOT_HYDRAS = ("sweep/wandb",)  # this file is for W&B's agents
LINE = re.compile(r"(?P<indent> *)(?P<name>[\w-]+):(?: (?P<value>.*?))??(?:\s+#\s*(?P<comment>.*))?$")


class Option(NamedTuple):
    """An option: its full name, its default as it is written, and the comment beside it."""

    name: str
    default: str
    comment: str


def choices(group: str) -> dict[str, str]:
    """The choices of a group by name, each with the line that says what it is."""
    files = sorted((CONF / group).glob("*.yaml"))
    return {file.stem: first_comment(file) for file in files if f"{group}/{file.stem}" not in NOT_HYDRAS}


@functools.cache
def choices_of_classes(group: str) -> dict[str, str]:
    """The choice of a group that makes each class, by the class's dotted path; empty for what is no group."""
    files = sorted((CONF / group).glob("*.yaml")) if group in GROUPS else []
    return {path: file.stem for file in files if (path := (yaml.safe_load(file.read_text()) or {}).get("_target_"))}


def first_comment(file: Path) -> str:
    """The first comment of a file that is not for Hydra."""
    comments = (line.removeprefix("# ") for line in file.read_text().splitlines() if line.startswith("# "))
    return next((line for line in comments if not line.startswith("@package")), "")


def options(group: str, choice: str) -> list[Option]:
    """What a choice of a group can be given: its options, without those that follow from others of any choice."""
    return [
        each
        for each in read_options(CONF / group / f"{choice}.yaml", group)
        if each.default not in FOLLOWING and not has_ending(each.name)
    ]


def has_ending(name: str) -> bool:
    """Whether an option is not for users: a class, a name, or a node of its own."""
    last = name.rpartition(".")[2]
    return last.startswith("_") or last == "name" or ".source." in name


def read_options(file: Path, group: str) -> list[Option]:
    """The values in a file, each with its full name and comment; lists and mappings in braces count as values."""
    found, within = [], [(-1, group)]
    for line in file.read_text().splitlines():
        match = LINE.match(line)
        if not match or line.lstrip().startswith("#"):
            continue
        indent = len(match["indent"])
        within = [each for each in within if each[0] < indent]
        name = f"{within[-1][1]}.{match['name']}"
        if match["value"]:
            found.append(Option(name, match["value"], match["comment"] or ""))
        else:
            within.append((indent, name))
    return found


def root_options(command: str) -> dict[str, Any]:
    """The options at the root of conf/COMMAND.yaml with their defaults; the groups are not among them."""
    root = yaml.safe_load((CONF / f"{command}.yaml").read_text())
    return {name: value for name, value in root.items() if name not in ("defaults", "hydra", "title")}


def default_choices(command: str) -> dict[str, str | None]:
    """The choice of each group that conf/COMMAND.yaml makes; None where it makes none."""
    root = yaml.safe_load((CONF / f"{command}.yaml").read_text())
    pairs = [pair for each in root["defaults"] if isinstance(each, dict) for pair in each.items()]
    return {name: None if value == "???" else value for name, value in pairs if not name.startswith("override ")}
