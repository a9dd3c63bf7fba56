"""A run in a few words: what a list of many runs says of each, read from its folder without opening large files."""

import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from src.run import epochs, status
from src.run.contents import measure
from src.run.jobs_file import Entry
from src.run.options import flatten, option_value, part
from src.run.status import State
from src.support.errors import one_line
from src.support.folders import RunFolder, SweepFolder
from src.support.texts import parse_yaml, read_json, read_text, read_yaml

ROOT_OPTION = re.compile(r"^(\w+):", re.MULTILINE)
# the options at the root of a configuration that say with which runs one compares
KIND = ("data", "likelihood", "condition")
VAL_ELBO = "val/elbo"


@dataclass
class Summary:
    """A run, as far as its folder is readable.

    title    of the configuration; the options of a job without a folder
    elbo     validation ELBO of the best checkpoint or, before there is one, of the last epoch; nats per image
    started  when it was started last
    ended    when it ended; of one that was killed, when one of its files was last changed; None if not known
    seconds  the duration of its training; without results, of its last start
    size     bytes of all files in its folder
    sweep    the name of the sweep or search that it belongs to
    note     the reason for its state, warnings, and what can't be read
    config   the title, and the options that were asked for
    words    of a sweep's job, the options in which it differs from the others
    """

    folder: Path
    state: State
    title: str = ""
    elbo: float | None = None
    started: datetime | None = None
    ended: datetime | None = None
    seconds: float | None = None
    size: int | None = None
    sweep: str | None = None
    note: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    @property
    def is_ranked(self) -> bool:
        """Whether it finished, and its best checkpoint has a finite validation ELBO."""
        return self.state == State.FINISHED and bool(self.metrics) and self.elbo is not None

    def options(self) -> dict[str, Any]:
        """The options in `config`, with the names and values that one types: `model`, `optimizer.lr`."""
        return {part(name): option_value(name, value) for name, value in flatten(self.config).items()}


def plan_summary(folder: Path, job: Entry) -> Summary:
    """The summary of a sweep's job without a folder."""
    state = State.DELETED if job.deleted else State.WAITING
    options = dict(each.lstrip("+").split("=", 1) for each in job.options if "=" in each)
    return Summary(folder, state, " ".join(job.options), sweep=folder.parent.name, config=options)


def read(folder: Path, more: Iterable[str] | None = ()) -> Summary:
    """Read the run in a folder.

    more: options at the root of its configuration that are asked for; None: all
    """
    files, problems = RunFolder(folder), []

    def attempt(path: Path, reader: Callable[[Path], Any]) -> dict[str, Any]:
        try:
            content = reader(path)
            if not isinstance(content, dict):
                raise ValueError(f"it holds a {type(content).__name__}")
            return content
        except FileNotFoundError:
            return {}
        except OSError as error:
            problems.append(f"{path.name} can't be read: {error.strerror or error}")
        except (ValueError, yaml.YAMLError) as error:
            problems.append(f"{path.name} can't be read: {one_line(error)[:120]}")
        return {}

    recorded = attempt(files.status, read_status)
    config = attempt(
        files.config, lambda path: read_yaml(path) if more is None else read_options(path, {"title", *more})
    )
    metrics, data = attempt(files.metrics, read_json), attempt(files.data, read_json)
    old = State.FINISHED if metrics and not os.path.lexists(files.status) else State.UNKNOWN
    state = State(recorded.get("state", old))
    started, ended = (time_of(recorded.get(name)) for name in ("started", "ended"))
    contents = measure(folder)
    if state == State.KILLED:
        ended = time_of(contents.changed)
    problems += [f"holds the run {path}" for path in contents.runs[:1]] + contents.unreadable[:1]
    if state == State.UNKNOWN and not problems:
        problems.append(f"it left no {files.status.name}")
    more_problems = [f"{len(problems) - 2} more problems"] if len(problems) > 3 else problems[2:]
    title = config.get("title")
    return Summary(
        folder,
        state,
        title if isinstance(title, str) else "",
        number((metrics or attempt(files.epochs, epochs.read_last)).get(VAL_ELBO)),
        started,
        ended,
        number(metrics.get("training_seconds")) or duration(state, started, ended),
        contents.size,
        folder.parent.name if is_sweep(folder.parent) else None,
        "; ".join(filter(None, (recorded.get("reason"), recorded.get("warning"), *problems[:2], *more_problems))),
        config,
        metrics,
        data,
    )


def read_status(path: Path) -> dict[str, Any]:
    """The content of a run's status.json, with the state `killed` where its process has ended.

    Raises ValueError where it is a link, which may lead anywhere, or was not written by this program.
    """
    if path.is_symlink():
        raise ValueError("it is a link")
    if recorded := status.read(path.parent):
        return recorded
    content = read_json(path)  # raises what is wrong with it
    raise ValueError("an entry is of another type" if isinstance(content, dict) else "it holds no entries")


def read_options(path: Path, names: Iterable[str]) -> dict[str, Any]:
    """Some of the options at the root of a configuration; parsing all of them takes ten times as long."""
    text = read_text(path)
    starts = [*ROOT_OPTION.finditer(text)]
    ends = [*(each.start() for each in starts[1:]), len(text)]
    blocks = {each[1]: text[each.start() : end] for each, end in zip(starts, ends, strict=True) if each[1] in names}
    try:
        return parse_yaml("".join(blocks.values())) or {}
    except yaml.YAMLError:  # it refers to another option
        return parse_yaml(text)


def number(value: Any) -> float | None:
    """A value as a number; None where it is none, or not finite."""
    return float(value) if type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value) else None


def time_of(value: Any) -> datetime | None:
    """A time in ISO 8601 or in seconds since 1970, in this machine's zone; None where it is neither."""
    try:
        return (datetime.fromtimestamp(value) if type(value) is float else datetime.fromisoformat(value)).astimezone()
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def duration(state: State, started: datetime | None, ended: datetime | None) -> float | None:
    """The seconds since the last start of a run until its end, or until now where it runs; None if not known."""
    if started and state == State.RUNNING:
        ended = datetime.now().astimezone()
    return (ended - started).total_seconds() if started and ended else None


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep or a search."""
    sweep = SweepFolder(folder)
    return any(map(os.path.isfile, (sweep.jobs, sweep.search, sweep.multirun)))
