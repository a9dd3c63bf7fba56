"""Tables of runs and of settings: metrics, paired differences, means over seeds, and what validation selects."""

import math
from typing import Any

import numpy as np

from src.reporting.groups import Group, option_differences
from src.reporting.runs import Run
from src.run.options import ABSENT, as_text, flatten, option_value, part
from src.run.status import PLANNED
from src.support.statistics import estimate

STANDARD = ("model", "latent_dim", "beta", "seed")  # the options that a table of runs has even if none varies
TERMS = ("val/elbo", "val/recon", "val/kl")
# what tables and charts show of a run: its name, its metric, the title of an axis
QUANTITIES = {
    "elbo": ("ELBO", "val/elbo", "validation ELBO (nats)"),
    "recon": ("Recon", "val/recon", "validation recon (nats)"),
    "kl": ("KL", "val/kl", "validation KL (nats)"),
    "active_units": ("Active units", "val/active_units", "active units"),
}


def option_rows(runs: list[Run]) -> list[dict[str, Any]]:
    """For each run its values of the STANDARD options and of all that vary among the runs, in one group or in all."""
    configs = [run.config for run in runs if run.config]
    names = dict.fromkeys((*STANDARD, *(option_differences(configs) if configs else ())))
    rows = []
    for run in runs:
        values = {part(name): option_value(name, value) for name, value in flatten(run.config).items()}
        values = values or planned_options(run)
        rows.append({name: values.get(name, ABSENT if run.config else None) for name in names})
    return rows


def planned_options(run: Run) -> dict[str, str]:
    """The options of a job without a folder, as the sweep planned it."""
    overrides = run.reason.split() if run.status in PLANNED else []
    return dict(each.lstrip("+").split("=", 1) for each in overrides if "=" in each)


def paired_difference(run: Run, best: Run) -> tuple[float, float] | None:
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


def setting_rows(group: Group) -> list[dict[str, Any]]:
    """A row for each setting of the knobs, in the order of the runs.

    A row holds the knobs' values, the number of `seeds`, for how many of these a run `finished`, the `places` of these
    runs, and over these seeds the mean and, for two or more, the standard deviation (`_sd`) of each term; for one, the
    standard error over the images (`_se`). `difference` and `difference_se` are those to the setting with the largest
    mean ELBO, paired by seed.
    """
    settings: dict[tuple[str, ...], list[int]] = {}
    for place in range(len(group.runs)):
        settings.setdefault(group.setting(place), []).append(place)
    rows = [setting_row(group, places) for places in settings.values()]
    best = best_row(rows)
    for row in rows:
        pair = seed_difference(group, row["places"], best["places"]) if best and row is not best else None
        row |= dict(zip(("difference", "difference_se"), pair or (None, None), strict=True))
    return rows


def setting_row(group: Group, places: list[int]) -> dict[str, Any]:
    """The row of the setting that the runs at these places have, without its difference."""
    done = [place for place in places if group.runs[place].is_ranked]
    row: dict[str, Any] = {name: values[places[0]] for name, values in group.knobs.items()}
    seeds, ended = ({as_text(group.seeds[place]) for place in some} for some in (places, done))
    row |= {"places": done, "seeds": len(seeds), "finished": len(ended)}
    for name in (*TERMS, "val/active_units"):
        means = list(seed_means(group, done, name).values())
        row[name] = float(np.mean(means)) if means else None
        row[f"{name}_sd"] = float(np.std(means, ddof=1)) if len(means) > 1 else None
        row[f"{name}_se"] = standard_error(group.runs[done[0]], name) if len(means) == 1 else None
    return row


def seed_difference(group: Group, places: list[int], others: list[int]) -> tuple[float, float] | None:
    """The mean difference of the validation ELBO of two settings over the seeds of both, and its standard error, nats.

    None where fewer than two seeds are common, since one has no spread.
    """
    ours, theirs = (seed_means(group, some, "val/elbo") for some in (places, others))
    differences = np.array([value - theirs[seed] for seed, value in ours.items() if seed in theirs])
    if len(differences) < 2:
        return None
    return float(differences.mean()), float(differences.std(ddof=1) / math.sqrt(len(differences)))


def error_suffix(rows: list[dict[str, Any]]) -> str:
    """The error that the numbers of `setting_rows` are shown with.

    It is `_sd` where any setting has several seeds, and `_se` otherwise. Where settings of one seed are among others,
    tables show their `_se` with a mark.
    """
    return "_sd" if any(row["finished"] > 1 for row in rows) else "_se"


def standard_error(run: Run, name: str) -> float | None:
    """The standard error over the images of a metric such as val/kl; None for one that is no mean of finite terms."""
    split, _, term = name.partition("/")
    values = run.terms.get(split, {}).get(term)
    if values is None or not np.isfinite(values).all():
        return None
    return estimate(values).se


def seed_means(group: Group, places: list[int], name: str) -> dict[str, float]:
    """A metric of the runs at these places by seed: the mean over the runs with this seed."""
    values: dict[str, list[float]] = {}
    for place in places:
        if (value := group.runs[place].number(name)) is not None:
            values.setdefault(as_text(group.seeds[place]), []).append(value)
    return {seed: float(np.mean(each)) for seed, each in values.items()}


def best_row(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The row with the largest mean ELBO, of however many seeds; None where no run has finished."""
    return max((row for row in rows if row["places"]), key=lambda row: row["val/elbo"], default=None)


def select_setting(group: Group) -> dict[str, Any] | None:
    """The row of `setting_rows` that validation selects: the one with the largest mean ELBO."""
    return best_row(setting_rows(group))


def run_rows(group: Group) -> list[dict[str, Any]]:
    """The table: a row for each run, in the order of `group.runs`. A missing number is None.

    Only the selected setting has test metrics.
    """
    seeds = {place: row for row in setting_rows(group) for place in row["places"]}
    selected = (select_setting(group) or {}).get("places", [])
    return [run_row(group, place, seeds.get(place, {}), place in selected) for place in range(len(group.runs))]


def run_row(group: Group, place: int, setting: dict[str, Any], is_selected: bool) -> dict[str, Any]:
    """The row of a run; `setting` is its row in `setting_rows`, `is_selected` whether it shows test metrics."""
    run = group.runs[place]
    row: dict[str, Any] = {"rank": group.ranking.index(place) + 1 if run.is_ranked else None, "run": run.name}
    row |= {name: values[place] for name, values in group.knobs.items()} | {"seed": group.seeds[place]}
    row |= {name: run.number(name) for name in TERMS}
    difference = paired_difference(run, group.best) if run.is_ranked and run is not group.best else None
    row |= dict(zip(("difference", "difference_se"), difference or (None, None), strict=True))
    row |= {"val/elbo over seeds": setting.get("val/elbo"), "val/elbo over seeds, sd": setting.get("val/elbo_sd")}
    row |= {"seeds": setting.get("finished"), "val/active_units": run.number("val/active_units")}
    row |= {"parameters": run.number("parameters"), "epochs": run.trained_epochs, "seconds": run.seconds}
    row |= {"status": run.status, "reason": run.explanation}
    names = ("elbo", "recon", "kl")
    return row | {f"test/{name}": run.number(f"test/{name}") if is_selected else None for name in names}
