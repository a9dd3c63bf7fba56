"""Runs that compare: which, by what they differ, how they rank, and how sure that is."""

import math
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from src.config.names import option_name
from src.reporting.runs import Run, natural

ASIDE = ("title", "ckpt_path", "logger", "callbacks", "hydra", "sweep_name", "data.root", "data.path", "data.source")
STANDARD = ("model", "latent_dim", "beta", "seed")  # the options that a table of runs has even if none varies
ABSENT = "–"
PIXELS = {"Bernoulli": "binary", "Logistic256": "levels"}  # how their images are prepared; of densities: dequantised
TERMS = ("val/elbo", "val/recon", "val/kl")


@dataclass
class Group:
    """Runs on the same images, prepared alike, under one likelihood: nothing else compares.

    runs     ordered by their knobs, then by seed
    knobs    the options that differ, but for the seed: a value for each run
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
    def seeded(self) -> bool:
        """Whether the seed varies."""
        return len({words(seed) for seed in self.seeds}) > 1

    def options(self, place: int) -> tuple[str, ...]:
        """The values of a run's knobs, in words: the same for runs that differ in their seed alone."""
        return tuple(words(values[place]) for values in self.knobs.values())


def grouped(runs: list[Run]) -> tuple[list[Group], list[Run]]:
    """The groups, by name, and the runs whose configuration does not say where they belong."""
    kinds: dict[tuple[str, str, str], list[Run]] = {}
    lost = []
    for run in runs:
        try:
            kinds.setdefault(kind(run), []).append(run)
        except (KeyError, TypeError, AttributeError):
            lost.append(run)
            if not run.problems and run.status != "waiting":
                run.problems.append("config.yaml names no data or no likelihood")
    names = sorted(kinds, key=lambda names: [natural(name) for name in names])
    return [group(same, data, *each[1:]) for each in names for data, same in by_images(each[0], kinds[each])], lost


def by_images(data: str, runs: list[Run]) -> list[tuple[str, list[Run]]]:
    """Runs on one data set, apart where it was a file that has held different images: with the first letters of their
    fingerprints in the name then. Runs without a fingerprint, from before there was one, go with the others."""
    apart: dict[str | None, list[Run]] = {}
    for run in runs:
        apart.setdefault(run.data.get("fingerprint"), []).append(run)
    if len(set(apart) - {None}) < 2:
        return [(data, runs)]
    return [(f"{data}, images {each[:6] if each else 'unknown'}", same) for each, same in apart.items()]


def kind(run: Run) -> tuple[str, str, str]:
    """Data, pixels and likelihood of a run, in words. Raises KeyError, TypeError for a configuration without them."""
    data, likelihood = run.config["data"], run.config["likelihood"]["_target_"].rpartition(".")[2]
    name = option_name(data["source"]["_target_"])
    where = data.get("path") or data["source"].get("path")
    excluded = data.get("exclude_labels") or []
    excluded = run.data.get("without") or (excluded if isinstance(excluded, list) else [excluded])
    labels = ", ".join(sorted(map(str, excluded), key=natural))
    shape = list(data.get("shape") or [])
    described = f"{name} {where}" if where else name
    described += f" {shape}" if shape not in ([], [1, 28, 28]) else ""
    pixels = run.metrics.get("pixels") or PIXELS.get(likelihood, "dequantized")
    return described + (f" without {labels}" if labels else ""), str(pixels), likelihood


def group(runs: list[Run], data: str, pixels: str, likelihood: str) -> Group:
    """The group of these runs."""
    knobs = varying([run.config for run in runs])
    knobs.pop("seed", None)
    seeds = [run.config.get("seed", ABSENT) for run in runs]
    keys = [tuple(rank(column[i]) for column in (*knobs.values(), seeds)) for i in range(len(runs))]
    order = sorted(range(len(runs)), key=keys.__getitem__)
    runs = [runs[i] for i in order]
    ranking = sorted((i for i, run in enumerate(runs) if run.ranks), key=lambda i: -runs[i].number("val/elbo"))
    columns = {name: [values[i] for i in order] for name, values in knobs.items()}
    return Group(data, pixels, likelihood, runs, columns, [seeds[i] for i in order], ranking)


def rank(value: Any) -> tuple:
    """A key that sorts numbers by size, before words."""
    return (0, value, []) if is_number(value) else (1, 0, natural(words(value)))


def is_number(value: Any) -> bool:
    """Whether `value` is an int or a finite float, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def words(value: Any) -> str:
    """An option's value as one would type it: 1.0 is 1, a class of a part its name."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def varying(configs: list[dict]) -> dict[str, list[Any]]:
    """The options that differ between configurations, and their values in each; the flat ones first.

    What repeats another is left out: posterior.latent_dim beside latent_dim, and what a part's choice entails.
    """
    leaves = [flat(config) for config in configs]
    found: dict[str, list[Any]] = {}
    names = [name for name in dict.fromkeys(chain.from_iterable(leaves)) if not is_aside(name)]
    for name in sorted(names, key=lambda name: (name.count("."), part(name) == name)):
        values = [each.get(name, ABSENT) for each in leaves]
        if len({words(value) for value in values}) > 1 and not any(
            repeats(name, values, other, known) for other, known in found.items()
        ):
            found[name] = values
    return {part(name): values for name, values in found.items()}


def flat(config: dict, within: str = "") -> dict[str, Any]:
    """The leaves of a configuration, `model.encoder.hidden` -> its value."""
    leaves: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            leaves |= flat(value, f"{within}{name}.")
        else:
            ours = name == "_target_" and str(value).startswith("src.")
            leaves[f"{within}{name}"] = option_name(str(value)) if ours else value
    return leaves


def options(runs: list[Run]) -> list[dict[str, Any]]:
    """For each run its values of the STANDARD options and of all that vary among the runs, in one group or in all."""
    configs = [run.config for run in runs if run.config]
    names = dict.fromkeys((*STANDARD, *(varying(configs) if configs else ())))
    found = []
    for run in runs:
        values = {part(name): value for name, value in flat(run.config).items()} or planned_options(run)
        found.append({name: values.get(name, ABSENT if run.config else None) for name in names})
    return found


def planned_options(run: Run) -> dict[str, str]:
    """The options of a job that has not begun, as the sweep has planned it."""
    words = run.reason.split() if run.status == "waiting" else []
    return dict(word.lstrip("+").split("=", 1) for word in words if "=" in word)


def is_aside(name: str) -> bool:
    """Whether an option says nothing of what is trained: titles, places, who watches."""
    return any(name == each or name.startswith(f"{each}.") for each in ASIDE)


def part(name: str) -> str:
    """The part of which `name` is the choice, model of model.name; else `name` itself."""
    return name.removesuffix("._target_").removesuffix(".name")


def repeats(name: str, values: list[Any], other: str, known: list[Any]) -> bool:
    """Whether the option `name` tells nothing that `other` doesn't: it has the same last name and, where there, the
    same values; or `other` is the choice of the part that it belongs to, and it depends on that alone."""
    ours, theirs = [words(value) for value in values], [words(value) for value in known]
    if name.rpartition(".")[2] == other.rpartition(".")[2] and not name.endswith("_target_"):
        return all(a in (b, ABSENT) for a, b in zip(ours, theirs, strict=True))
    within = part(other) != other and name.startswith(f"{part(other)}.")
    return within and len(set(zip(theirs, ours, strict=True))) == len(set(theirs))


def paired(run: Run, best: Run) -> tuple[float, float] | None:
    """run - best: the mean difference of the validation ELBO over the same images, and its standard error, nats.

    None where the images can't be matched.
    """
    if len({each.data["fingerprint"] for each in (run, best) if "fingerprint" in each.data}) > 1:
        return None
    ours, theirs = run.terms["val"], best.terms["val"]
    if not (ours and theirs) or not np.array_equal(ours["index"], theirs["index"]) or len(ours["index"]) < 2:
        return None
    difference = ours["elbo"] - theirs["elbo"]
    if not np.isfinite(difference).all():
        return None
    return float(difference.mean()), float(difference.std(ddof=1) / math.sqrt(len(difference)))


def over_seeds(group: Group) -> list[dict[str, Any]]:
    """For each setting of the knobs, in the order of the runs: how many `seeds` it has, with how many of them a run
    `finished`, and the `places` of those runs; over these seeds the mean and, of two or more, the standard deviation
    (`_sd`) of each term."""
    settings: dict[tuple[str, ...], list[int]] = {}
    for place in range(len(group.runs)):
        settings.setdefault(group.options(place), []).append(place)
    rows = []
    for places in settings.values():
        done = [place for place in places if group.runs[place].ranks]
        row: dict[str, Any] = {name: values[places[0]] for name, values in group.knobs.items()}
        seeds, ended = ({words(group.seeds[place]) for place in some} for some in (places, done))
        row |= {"places": done, "seeds": len(seeds), "finished": len(ended)}
        for name in (*TERMS, "val/active_units"):
            found = by_seed(group, done, name)
            row[name] = float(np.mean(found)) if found else None
            row[f"{name}_sd"] = float(np.std(found, ddof=1)) if len(found) > 1 else None
        rows.append(row)
    return rows


def by_seed(group: Group, places: list[int], name: str) -> list[float]:
    """A number of the runs at these places, for each seed: that of a seed that was run twice is their mean."""
    found: dict[str, list[float]] = {}
    for place in places:
        if (value := group.runs[place].number(name)) is not None:
            found.setdefault(words(group.seeds[place]), []).append(value)
    return [float(np.mean(values)) for values in found.values()]


def selected(group: Group) -> dict[str, Any] | None:
    """The row of `over_seeds` that validation selects: of those with the most seeds finished, that with the largest
    mean ELBO. A lucky seed is no setting."""
    done = [row for row in over_seeds(group) if row["places"]]
    return max(done, key=lambda row: (row["finished"], row["val/elbo"])) if done else None


def rows(group: Group) -> list[dict[str, Any]]:
    """The table: a row for each run, in the order of `group.runs`. None where there is no number.

    Test figures are those of the selected setting alone, and no others are read from it.
    """
    seeds = {place: row for row in over_seeds(group) for place in row["places"]}
    chosen = (selected(group) or {}).get("places", [])
    return [row_of(group, place, seeds.get(place, {}), place in chosen) for place in range(len(group.runs))]


def row_of(group: Group, place: int, seeds: dict[str, Any], tested: bool) -> dict[str, Any]:
    """A run's row; `seeds` is that of its setting in `over_seeds`, `tested` whether its test figures are shown."""
    run = group.runs[place]
    row: dict[str, Any] = {"rank": group.ranking.index(place) + 1 if run.ranks else None, "run": run.name}
    row |= {name: values[place] for name, values in group.knobs.items()} | {"seed": group.seeds[place]}
    row |= {name: run.number(name) for name in TERMS}
    difference = paired(run, group.best) if run.ranks and run is not group.best else None
    row |= dict(zip(("difference", "difference_se"), difference or (None, None), strict=True))
    row |= {"val/elbo over seeds": seeds.get("val/elbo"), "val/elbo over seeds, sd": seeds.get("val/elbo_sd")}
    row |= {"seeds": seeds.get("finished"), "val/active_units": run.number("val/active_units")}
    row |= {"parameters": run.number("parameters"), "epochs": run.done, "seconds": run.seconds}
    row |= {"status": run.status, "reason": run.why}
    return row | {f"test/{name}": run.number(f"test/{name}") if tested else None for name in ("elbo", "recon", "kl")}
