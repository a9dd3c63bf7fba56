"""Groups of runs that can be compared: what they have in common, the options that differ, their ranking."""

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from src.reporting.runs import Run
from src.run.jobs_file import read_jobs
from src.run.kinds import kind, split_by_images
from src.run.options import ABSENT, as_text, differences, option_value, part, repeats_or_follows
from src.run.status import PLANNED
from src.support.errors import UserError
from src.support.folders import EXAMPLE
from src.support.texts import natural_key


@dataclass
class Group:
    """Runs on the same images, prepared alike, under one likelihood: no other runs can be compared.

    runs     ordered by their knobs, then by seed
    knobs    the options that differ, but for the seed: a value for each run; first those of the sweep, as typed there
    seeds    of each run
    ranking  the places in `runs` of those that finished, the largest validation ELBO first
    """

    data: str
    pixels: str
    likelihood: str
    runs: list[Run]
    knobs: dict[str, list[Any]]
    seeds: list[Any]
    ranking: list[int]

    @property
    def best(self) -> Run | None:
        """The run with the largest validation ELBO."""
        return self.runs[self.ranking[0]] if self.ranking else None

    @property
    def has_several_seeds(self) -> bool:
        """Whether the seed varies."""
        return len({as_text(seed) for seed in self.seeds}) > 1

    def setting(self, place: int) -> tuple[str, ...]:
        """The values of a run's knobs, as text; runs that differ in the seed alone have the same setting."""
        return tuple(as_text(values[place]) for values in self.knobs.values())


def group_runs(runs: list[Run]) -> tuple[list[Group], list[Run]]:
    """The groups, sorted by name, and the runs whose configuration does not say what they were trained on."""
    kinds: dict[tuple[str, str, str], list[Run]] = {}
    ungrouped = []
    for run in runs:
        try:
            kinds.setdefault(kind(run), []).append(run)
        except (KeyError, TypeError, AttributeError):
            ungrouped.append(run)
            if not run.problems and run.status not in PLANNED:
                run.problems.append(f"{EXAMPLE.config.name} names no data or no likelihood")
    names = sorted(kinds, key=lambda names: [natural_key(name) for name in names])
    groups = [
        make_group(same, data, *each[1:]) for each in names for data, same in split_by_images(each[0], kinds[each])
    ]
    return groups, ungrouped


def make_group(runs: list[Run], data: str, pixels: str, likelihood: str) -> Group:
    """The group of these runs, ordered and ranked."""
    differing = option_differences([run.config for run in runs])
    knobs = {name: differing[name] for name in (*typed_names(runs), *differing) if name in differing and name != "seed"}
    seeds = [run.config.get("seed", ABSENT) for run in runs]
    keys = [tuple(order_key(column[i]) for column in (*knobs.values(), seeds)) for i in range(len(runs))]
    order = sorted(range(len(runs)), key=keys.__getitem__)
    runs = [runs[i] for i in order]
    ranking = sorted((i for i, run in enumerate(runs) if run.is_ranked), key=lambda i: -runs[i].number("val/elbo"))
    columns = {name: [values[i] for i in order] for name, values in knobs.items()}
    return Group(data, pixels, likelihood, runs, columns, [seeds[i] for i in order], ranking)


def typed_names(runs: list[Run]) -> list[str]:
    """The options that the sweeps of the runs vary, in the order in which they were typed."""
    names: dict[str, None] = {}
    for sweep in dict.fromkeys(run.folder.parent for run in runs):
        with suppress(OSError, UserError):  # who looks for runs there has already warned of a damaged plan
            options = [option for job in read_jobs(sweep).values() if job.wanted for option in job.options]
            names |= dict.fromkeys(option.lstrip("+").partition("=")[0] for option in options)
    return list(names)


def order_key(value: Any) -> tuple:
    """A key that sorts numbers by size, before text."""
    return (0, value, []) if is_number(value) else (1, 0, natural_key(as_text(value)))


def is_number(value: Any) -> bool:
    """Whether a value is an int or a finite float, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def option_differences(configs: list[dict]) -> dict[str, list[Any]]:
    """The options that differ between configurations, and their values in each; those of the root first.

    Left out are options that repeat another one, such as posterior.latent_dim beside latent_dim, and those that the
    choice of a part entails.
    """
    found = differences(configs, repeats_or_follows)
    return {part(name): [option_value(name, value) for value in values] for name, values in found.items()}
