"""A search in one picture: how far it came, and what each option had to do with it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.figures import page
from src.figures.curves import STEPS, VALIDATION, chart
from src.figures.histogram import counts_beyond

WIDTH, HEIGHT, ACROSS = 250, 220, 3
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


class Tried(NamedTuple):
    """A trial: its number, its metrics (the last known, if it was pruned; none if it failed), its options, and whether
    it was pruned, and whether no other is better."""

    number: int
    values: Sequence[float]
    options: dict[str, float | str]
    pruned: bool
    best: bool


def search(title: str, metrics: list[str], maximise: bool, logarithmic: dict[str, bool], trials: list[Tried]) -> Figure:
    """One metric over the trials, or two in their plane; then each metric against each option of `logarithmic`, which
    says whether its axis is."""
    charts = 1 + len(metrics) * len(logarithmic)
    rows = -(-charts // ACROSS)
    figure = page.page(960, page.HEADER + 36 + rows * (HEIGHT + 92))
    pruned, failed = sum(each.pruned for each in trials), sum(not each.values for each in trials)
    counts = {"trained to the end": len(trials) - pruned - failed, "pruned": pruned, "failed": failed}
    caption = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    page.title(figure, title, f"{len(trials)} trials: {caption}")
    page.write(figure, 960 - page.MARGIN, 44, "● best", points=9.5, color=page.ACCENT, ha="right")
    if failed:
        page.write(figure, 900 - page.MARGIN, 44, "× failed", points=9.5, color=page.GREY, ha="right")
    if pruned:
        right = (830 if failed else 900) - page.MARGIN
        page.write(figure, right, 44, "○ pruned, at its last epoch", points=9.5, color=VALIDATION, ha="right")
    panels = iter([_place(figure, i) for i in range(charts)])
    if len(metrics) == 1:
        history(next(panels), metrics[0], maximise, trials)
    else:
        plane(next(panels), metrics, trials)
    for i, metric in enumerate(metrics):
        for option, scaled in logarithmic.items():
            against(next(panels), metric, i, option, scaled, trials)
    return figure


def history(place: tuple, metric: str, maximise: bool, trials: list[Tried]) -> None:
    """A metric over the numbers of the trials, with the best so far."""
    axes = chart(*place, f"{NAMES[metric]}, trial by trial")
    numbers, ended = [each.number for each in trials], [each for each in trials if each.values]
    values = [each.values[0] for each in ended]
    readable(axes, values)
    points(axes, [each.number for each in ended], values, ended, axes.get_ylim())
    crosses(axes, [each.number for each in trials if not each.values])
    done = sorted((each.number, each.values[0]) for each in ended if not each.pruned)
    if done:
        at, reached = zip(*done, strict=True)
        best = (np.maximum if maximise else np.minimum).accumulate(reached)
        axes.step([*at, max(numbers)], [*best, best[-1]], where="post", color=page.INK, linewidth=1.2, zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=STEPS))
    axes.set_xlabel("trial", fontsize=8.5, color=page.GREY)


def plane(place: tuple, metrics: list[str], trials: list[Tried]) -> None:
    """Two metrics, and the front of the trials that no other beats in both."""
    axes = chart(*place, "distortion and rate" if metrics == ["val/recon", "val/kl"] else "the front")
    trials = [each for each in trials if each.values]
    points(axes, [each.values[1] for each in trials], [each.values[0] for each in trials], trials)
    front = sorted((each.values[1], each.values[0]) for each in trials if each.best)
    axes.plot(*zip(*front, strict=True), color=page.ACCENT, linewidth=1, zorder=1)
    axes.set_xlabel(NAMES[metrics[1]], fontsize=8.5, color=page.GREY)
    axes.set_ylabel(NAMES[metrics[0]], fontsize=8.5, color=page.GREY)


def against(place: tuple, metric: str, i: int, option: str, logarithmic: bool, trials: list[Tried]) -> None:
    """The i-th metric against an option."""
    axes = chart(*place, NAMES[metric])
    known = [each for each in trials if option in each.options]
    places = [each.options[option] for each in known]
    if any(isinstance(value, str) for value in places):
        names = sorted(set(map(str, places)), key=natural)
        places = [names.index(str(value)) for value in places]
        axes.set(xticks=range(len(names)), xticklabels=[name[:16] for name in names], xlim=(-0.6, len(names) - 0.4))
    elif logarithmic:
        axes.set_xscale("log")
        ticks = [n * 10.0**power for power in range(-8, 9) for n in (1, 2, 5)]
        inside = [tick for tick in ticks if min(places) / 1.05 <= tick <= max(places) * 1.05]
        inside = inside[:: 1 + len(inside) // 6]
        axes.set_xticks(inside, [f"{tick:g}" for tick in inside])
        axes.minorticks_off()
    ended = [(place, each.values[i], each) for place, each in zip(places, known, strict=True) if each.values]
    across, up, trials = (list(column) for column in zip(*ended, strict=True))
    readable(axes, up)
    points(axes, across, up, trials, axes.get_ylim())
    crosses(axes, [place for place, each in zip(places, known, strict=True) if not each.values])
    axes.set_xlabel(option, fontsize=8.5, color=page.GREY)


def points(
    axes: Axes,
    across: Sequence[float],
    up: Sequence[float],
    trials: Sequence[Tried],
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> None:
    """A point a trial; those beyond the limits stand at the border, where a note counts them."""
    low, high = limits
    for x, y, each in zip(across, up, trials, strict=True):
        colour = page.ACCENT if each.best else VALIDATION
        face = "white" if each.pruned else colour
        options = {"color": colour, "markerfacecolor": face, "markersize": 6, "zorder": 3 + each.best}
        axes.plot(x, np.clip(y, low, high), "o", **options, clip_on=False)
    below, above = counts_beyond(np.asarray(up, dtype=float), low, high)
    for height, side, words in ((0.03, "bottom", below.replace("◂", "▾")), (0.97, "top", above.replace("▸", "▴"))):
        axes.text(0.02, height, words, transform=axes.transAxes, fontsize=7.5, color=page.GREY, va=side)


def crosses(axes: Axes, across: Sequence[float]) -> None:
    """A cross at the lower edge for each trial that failed."""
    edge = axes.get_xaxis_transform()
    axes.plot(across, [0.03] * len(across), "x", color=page.GREY, markersize=5, transform=edge, clip_on=False)


def natural(word: str) -> tuple[float, str]:
    """Sorts numbers by their size, and words behind them."""
    try:
        return float(word), word
    except ValueError:
        return np.inf, word


def readable(axes: Axes, values: Sequence[float]) -> None:
    """Limits that a few trials which came to little do not stretch: they stand at the border."""
    low, quarter, half, most, high = np.percentile(values, (0, 25, 50, 75, 100))
    reach = max(4 * (most - quarter), 1e-3 * abs(half), 1e-9)
    axes.set_ylim(max(low, half - reach) - 0.06 * reach, min(high, half + reach) + 0.06 * reach)


def _place(figure: Figure, i: int) -> tuple[Figure, page.Area]:
    row, column = divmod(i, ACROSS)
    left, top = page.MARGIN + 34 + column * 310, page.HEADER + 36 + row * (HEIGHT + 92)
    return figure, page.Area(left, top, WIDTH, HEIGHT)
