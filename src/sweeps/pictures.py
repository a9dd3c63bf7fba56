"""A search in one picture: its metric trial by trial, and against each option that varies."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.figures import page
from src.figures.curves import STEPS, VALIDATION, chart
from src.figures.histogram import counts_beyond

if TYPE_CHECKING:
    from optuna import Study

WIDTH, HEIGHT, COLUMNS = 250, 220, 3
NAMES = {
    "val/elbo": "ELBO, nats",
    "val/loss": "loss, nats",
    "val/recon": "reconstruction, nats",
    "val/kl": "KL, nats",
    "val/bits_per_dim": "bits per dimension",
    "val/active_units": "active units",
    "parameters": "parameters",
    "training_seconds": "training time, seconds",
}


class TrialPoint(NamedTuple):
    """A trial as it is drawn.

    values: its metrics; the last ones that were measured if it was pruned, none if it failed
    options: the values of the options that vary
    best: whether no other trial is better
    """

    number: int
    values: Sequence[float]
    options: dict[str, float | str]
    pruned: bool
    best: bool


def trial_points(study: "Study", best: set[int]) -> list[TrialPoint]:
    """The trials of a study that came to an end, whose `best` ones are given by their numbers."""
    points = []
    for trial in study.get_trials():
        values = trial.values if trial.values and all(map(math.isfinite, trial.values)) else []
        pruned = trial.state.name == "PRUNED"
        if values or trial.state.name == "FAIL":
            points.append(TrialPoint(trial.number, values, trial.params, pruned, trial.number in best))
    return points


def draw_search(
    title: str, metrics: list[str], maximise: bool, logarithmic: dict[str, bool], trials: list[TrialPoint]
) -> Figure:
    """Draw one metric over the trials, or two against each other; then each metric against each option.

    logarithmic: for each option that varies, whether its axis is logarithmic
    """
    charts = 1 + len(metrics) * len(logarithmic)
    rows = -(-charts // COLUMNS)
    figure = page.page(960, page.HEADER + 36 + rows * (HEIGHT + 92))
    pruned, failed = sum(each.pruned for each in trials), sum(not each.values for each in trials)
    counts = {"trained to the end": len(trials) - pruned - failed, "pruned": pruned, "failed": failed}
    caption = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    page.title(figure, title, f"{len(trials)} trials: {caption}")
    page.write(figure, 960 - page.MARGIN, 44, "● best", points=9.5, color=page.ACCENT, ha="right")
    if failed:
        page.write(figure, 900 - page.MARGIN, 44, "× failed", points=9.5, color=page.GREY, ha="right")
    if pruned:
        right = (830 if failed else 900) - page.MARGIN
        page.write(figure, right, 44, "○ pruned, at its last epoch", points=9.5, color=VALIDATION, ha="right")
    places = iter([_place(figure, i) for i in range(charts)])
    if len(metrics) == 1:
        draw_history(chart(*next(places), f"{NAMES[metrics[0]]}, trial by trial"), maximise, trials)
    else:
        is_rate_distortion = metrics == ["val/recon", "val/kl"]
        draw_front(chart(*next(places), "distortion and rate" if is_rate_distortion else "the front"), metrics, trials)
    for i, metric in enumerate(metrics):
        for option, is_logarithmic in logarithmic.items():
            axes = chart(*next(places), NAMES[metric])
            axes.set_xlabel(option, fontsize=8.5, color=page.GREY)
            draw_dependence(axes, i, option, is_logarithmic, trials)
    return figure


def draw_history(axes: Axes, maximise: bool, trials: list[TrialPoint]) -> None:
    """Draw the metric over the numbers of the trials, with the best so far."""
    numbers, ended = [each.number for each in trials], [each for each in trials if each.values]
    values = [each.values[0] for each in ended]
    limit_y(axes, values)
    draw_points(axes, [each.number for each in ended], values, ended, axes.get_ylim())
    draw_crosses(axes, [each.number for each in trials if not each.values])
    done = sorted((each.number, each.values[0]) for each in ended if not each.pruned)
    if done:
        at, reached = zip(*done, strict=True)
        best = (np.maximum if maximise else np.minimum).accumulate(reached)
        axes.step([*at, max(numbers)], [*best, best[-1]], where="post", color=page.INK, linewidth=1.2, zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=STEPS))
    axes.set_xlabel("trial", fontsize=8.5, color=page.GREY)


def draw_front(axes: Axes, metrics: list[str], trials: list[TrialPoint]) -> None:
    """Draw two metrics against each other, and the front of the trials that no other trial beats in both."""
    trials = [each for each in trials if each.values]
    draw_points(axes, [each.values[1] for each in trials], [each.values[0] for each in trials], trials)
    front = sorted((each.values[1], each.values[0]) for each in trials if each.best)
    axes.plot(*zip(*front, strict=True), color=page.ACCENT, linewidth=1, zorder=1)
    axes.set_xlabel(NAMES[metrics[1]], fontsize=8.5, color=page.GREY)
    axes.set_ylabel(NAMES[metrics[0]], fontsize=8.5, color=page.GREY)


def draw_dependence(axes: Axes, i: int, option: str, is_logarithmic: bool, trials: list[TrialPoint]) -> None:
    """Draw the i-th metric against an option."""
    trials = [each for each in trials if option in each.options]
    positions = [each.options[option] for each in trials]
    if any(isinstance(value, str) for value in positions):
        names = sorted(set(map(str, positions)), key=numbers_first)
        positions = [names.index(str(value)) for value in positions]
        axes.set(xticks=range(len(names)), xticklabels=[name[:16] for name in names], xlim=(-0.6, len(names) - 0.4))
    elif is_logarithmic:
        axes.set_xscale("log")
        ticks = [n * 10.0**power for power in range(-8, 9) for n in (1, 2, 5)]
        inside = [tick for tick in ticks if min(positions) / 1.05 <= tick <= max(positions) * 1.05]
        inside = inside[:: 1 + len(inside) // 6]
        axes.set_xticks(inside, [f"{tick:g}" for tick in inside])
        axes.minorticks_off()
    placed = list(zip(positions, trials, strict=True))
    ended = [(position, each) for position, each in placed if each.values]
    heights = [each.values[i] for _, each in ended]
    limit_y(axes, heights)
    draw_points(axes, [position for position, _ in ended], heights, [each for _, each in ended], axes.get_ylim())
    draw_crosses(axes, [position for position, each in placed if not each.values])


def draw_points(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    trials: Sequence[TrialPoint],
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> None:
    """Draw a point for each trial; those beyond the limits are drawn at the border, and counted in a note there."""
    low, high = limits
    for across, up, each in zip(x, y, trials, strict=True):
        colour = page.ACCENT if each.best else VALIDATION
        face = "white" if each.pruned else colour
        style = {"color": colour, "markerfacecolor": face, "markersize": 6, "zorder": 3 + each.best}
        axes.plot(across, np.clip(up, low, high), "o", **style, clip_on=False)
    below, above = counts_beyond(np.asarray(y, dtype=float), low, high)
    for height, side, note in ((0.03, "bottom", below.replace("◂", "▾")), (0.97, "top", above.replace("▸", "▴"))):
        axes.text(0.02, height, note, transform=axes.transAxes, fontsize=7.5, color=page.GREY, va=side)


def draw_crosses(axes: Axes, x: Sequence[float]) -> None:
    """Draw a cross at the lower edge for each trial that failed."""
    edge = axes.get_xaxis_transform()
    axes.plot(x, [0.03] * len(x), "x", color=page.GREY, markersize=5, transform=edge, clip_on=False)


def numbers_first(name: str) -> tuple[float, str]:
    """A key that sorts numbers by their size, before all other names."""
    try:
        return float(name), name
    except ValueError:
        return np.inf, name


def limit_y(axes: Axes, values: Sequence[float]) -> None:
    """Set limits that a few trials with extreme values do not stretch."""
    low, quarter, half, most, high = np.percentile(values, (0, 25, 50, 75, 100))
    reach = max(4 * (most - quarter), 1e-3 * abs(half), 1e-9)
    axes.set_ylim(max(low, half - reach) - 0.06 * reach, min(high, half + reach) + 0.06 * reach)


def _place(figure: Figure, i: int) -> tuple[Figure, page.Area]:
    """The figure and the area of its i-th chart."""
    row, column = divmod(i, COLUMNS)
    left, top = page.MARGIN + 34 + column * 310, page.HEADER + 36 + row * (HEIGHT + 92)
    return figure, page.Area(left, top, WIDTH, HEIGHT)
