"""Some of many runs: by their options, states and times; the order in which they are listed; the best of them."""

import math
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from src.config.names import option_name
from src.run import summary
from src.run.kinds import fingerprint, kind, split_by_images
from src.run.options import as_text, flatten, part
from src.run.places import Places
from src.run.status import State
from src.run.summary import KIND, Summary, plan_summary
from src.support.errors import UserError
from src.support.texts import natural_key

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
# what `where` knows of a run beside the options of its configuration
FACTS: dict[str, Callable[[Summary], Any]] = {
    "title": lambda run: run.title,
    "state": lambda run: str(run.state),
    "sweep": lambda run: run.sweep,
    "pixels": lambda run: attempt_kind(run)[1],
    "likelihood": lambda run: option_name(attempt_kind(run)[2].partition(" given ")[0]),
    "condition": lambda run: (option_of(run, "condition") or "none") if run.config else None,
    "images": fingerprint,
}

# by these, runs are told to be on other images, prepared in another way, or of another likelihood
DISTINCT = ("data", "data.path", "data.exclude_labels", "data.shape", "likelihood", "pixels", "images", "condition")


@dataclass
class Condition:
    """Which runs are wanted.

    where: the values of options and FACTS, in which * stands for anything; of the images, the first letters do
    states: one of these; any, if there are none
    since, until: started no earlier, and ended no later than that
    """

    where: dict[str, str] = field(default_factory=dict)
    states: list[str] = field(default_factory=list)
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it holds for every run."""
        return not (self.where or self.states or self.since or self.until)

    def holds(self, run: Summary) -> bool:
        """Whether a run is wanted."""
        if self.states and run.state not in self.states:
            return False
        if self.since and not (run.started and run.started >= self.since):
            return False
        if self.until and not (run.ended and run.ended <= self.until):
            return False
        return all(
            any(matches(name, wanted, value) for value in (value_of(run, name), option_of(run, name)))
            for name, wanted in self.where.items()
        )

    def __str__(self) -> str:
        """The condition as one would type it, with points in time for ages."""
        times = {"--since": self.since, "--older-than": self.until}
        words = [f"{name}={value}" for name, value in self.where.items()]
        words += [f"--state {state}" for state in self.states]
        return " ".join([*words, *(f"{name} {time:%Y-%m-%dT%H:%M}" for name, time in times.items() if time)])


class Choice(NamedTuple):
    """The wanted ones of `count` runs."""

    runs: list[Summary]
    count: int


def read_runs(places: Places, condition: Condition, more: Iterable[str] | None = ()) -> Choice:
    """The wanted ones of the runs in these places. Raises UserError for a `where` that no run has anything for.

    Deleted jobs of sweeps are among them only where their state is asked for.

    more: options at the root of the configurations that the summaries must hold, such as KIND, which `comparable` asks
        for; None: all
    """
    runs, kind_of = [], KIND if condition.where else ()
    more = None if more is None else {*more, *kind_of, *(name.partition(".")[0] for name in condition.where)}
    for folder in places.runs:
        try:
            job = places.jobs.get(folder)
            runs.append(plan_summary(folder, job) if job and not folder.exists() else summary.read(folder, more))
            runs[-1].words = job.options if job else []
        except FileNotFoundError:  # it has just been removed
            continue
    for name in condition.where:
        if runs and name not in FACTS and all(value_of(run, name) is None for run in runs):
            raise UserError(f"--where {name}=...: no run here has an option {name}")
    hidden = set() if condition.states else {State.DELETED}
    shown = [run for run in runs if run.state not in hidden]
    return Choice([run for run in shown if condition.holds(run)], len(shown))


def attempt_kind(run: Summary) -> tuple[str, str, str]:
    """The names of a run's data, pixels and likelihood; empty where its folder does not say them."""
    try:
        return kind(run)
    except (KeyError, TypeError, AttributeError, ValueError):
        return "", "", ""


def value_of(run: Summary, name: str) -> Any:
    """What a run has for a name in `where`; None where it has nothing."""
    return (FACTS[name](run) or None) if name in FACTS else option_of(run, name)


def option_of(run: Summary, name: str) -> Any:
    """The value of an option of a run: of `prior` the choice, of `prior._target_` the class; None where it has none."""
    return flatten(run.config).get(name, run.options().get(part(name)))


def matches(name: str, wanted: str, value: Any) -> bool:
    """Whether a value is the one that is wanted, as one would type it: 4 is 4.0, and 1e-3 is 0.001."""
    if value is None and name in FACTS:
        return False
    text = as_text(value)
    if text == wanted or fnmatchcase(text, f"{wanted}*" if name == "images" else wanted):
        return True
    try:
        return type(value) in (int, float) and float(wanted) == value
    except ValueError:
        return False


def parse_time(text: str) -> datetime:
    """A time, given as an age (30m, 12h, 7d, 2w) or a date (2026-11-01, 2026-11-01T12:00). Raises ValueError."""
    if age := re.fullmatch(r"(\d{1,6})([mhdw])", text):
        return datetime.now().astimezone() - timedelta(**{UNITS[age[2]]: int(age[1])})
    return datetime.fromisoformat(text).astimezone()


def comparable(runs: list[Summary]) -> dict[str, list[Summary]]:
    """The runs in groups, each of runs that can be compared, by what they have in common.

    They were trained on the same images in the same split, prepared alike, under one likelihood. Runs whose folders do
    not say so are in no group.
    """
    kinds: dict[tuple[str, str, str], list[Summary]] = {}
    for run in runs:
        kinds.setdefault(attempt_kind(run), []).append(run)
    names = sorted((each for each in kinds if each[0]), key=lambda each: [natural_key(name) for name in each])
    return {
        f"{data}, {each[1]} pixels, {option_name(each[2])}": same
        for each in names
        for data, same in split_by_images(each[0], kinds[each])
    }


def group(runs: list[Summary]) -> dict[str, list[Summary]]:
    """The groups of `comparable`, and in one more the runs that are in none of them."""
    groups = comparable(runs)
    others = {id(run) for run in runs} - {id(run) for same in groups.values() for run in same}
    return groups | ({"others": [run for run in runs if id(run) in others]} if others else {})


ORDERS: dict[str, Callable[[Summary], Any]] = {
    "started": lambda run: -run.started.timestamp() if run.started else math.inf,
    "elbo": lambda run: math.inf if run.elbo is None else -run.elbo,
    "time": lambda run: -(run.seconds or 0),
    "size": lambda run: -(run.size or 0),
    "state": lambda run: list(State).index(run.state),
    "title": lambda run: natural_key(run.title[:1000]),
    "run": lambda run: natural_key(str(run.folder)),
}


def best(runs: list[Summary]) -> Summary:
    """The one of some runs with the largest validation ELBO.

    Raises UserError where none has finished, or they can't be compared.
    """
    ranked = [run for run in runs if run.is_ranked]
    if not ranked:
        states = ", ".join(sorted({str(run.state) for run in runs}))
        raise UserError(f"no run has finished with a validation ELBO ({states})")
    groups = comparable(ranked)
    if not groups:
        raise UserError("no run says on which images and under which likelihood it was trained, so none is the best")
    if len(groups) > 1:
        listing = "; ".join(f"{len(groups[name])} of {name} ({words})" for name, words in choices(groups).items())
        raise UserError(f"these runs can't be compared, so choose some of them: {listing}")
    (same,) = groups.values()
    return max(same, key=lambda run: run.elbo)


def choices(groups: dict[str, list[Summary]]) -> dict[str, str]:
    """The options of the command line by which each of several groups is chosen."""
    values = {name: {each: value_of(runs[0], each) for each in DISTINCT} for name, runs in groups.items()}
    words = {name: [] for name in groups}
    for option in DISTINCT:
        texts = {
            name: as_text(each[option])[:6] if option == "images" else as_text(each[option])
            for name, each in values.items()
        }
        if len(set(texts.values())) > 1:
            for name, text in texts.items():
                words[name] += [] if values[name][option] is None else [f"--where {shlex.quote(f'{option}={text}')}"]
    return {name: " ".join(each) for name, each in words.items()}
