"""The results of the rounds of the throughput benchmark: ratios with their spread, verdicts, a table, a plot.

A round is what each side printed, by its name: its measurements, or {"error": ...}, or {"missing": ...}.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.support.files import atomic_path

Result = dict[str, Any]
Round = dict[str, Result]
FASTER, SLOWER = 1.15, 0.87  # ratios of speeds between which nothing is claimed
LABELS = {
    "default": "this project, all but its pictures",
    "lean": "this project, training steps alone",
    "lean_bf16": "this project, steps alone, bf16",
    "bare": "bare PyTorch loop (the yardstick)",
    "lightning_dataloader": "Lightning + DataLoader",
    "pythae": "pythae",
    "pytorch_examples": "pytorch/examples",
}
COMPARED = (
    ("lean", "bare"),
    ("default", "bare"),
    ("lean", "pytorch_examples"),
    ("lean", "pythae"),
    ("default", "pythae"),
    ("lean", "lightning_dataloader"),
    ("lean_bf16", "lean"),
    ("lean_bf16", "pytorch_examples"),
    ("lean_bf16", "pythae"),
    ("lean_bf16", "lightning_dataloader"),
)
READING = (
    "Speeds are medians; ratios are taken within each round, median [quartiles].\n"
    f"faster: the lower quartile is above {FASTER}; slower: the upper is below {SLOWER}; else no claim.\n"
    "Processor time hardly minds other work on the machine, but does not count waiting; no verdict rests on it.\n"
    "Only `this project, all but its pictures` is timed with validation, checkpoints, records; the others only train."
)


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile, interpolated linearly."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return low, middle, high


def verdict(low: float, high: float) -> str:
    """The claim that the quartiles of a ratio of speeds allow: `faster`, `slower` or `no claim`."""
    if low > FASTER:
        return "faster"
    return "slower" if high < SLOWER else "no claim"


def values(rounds: Sequence[Round], side: str, name: str = "images_per_second") -> list[float]:
    """The measurements of a side in those rounds in which it ran."""
    return [round_[side][name] for round_ in rounds if name in round_.get(side, {})]


def ratios(rounds: Sequence[Round], side: str, other: str, name: str = "images_per_second") -> list[float]:
    """The speed of `side` over that of `other` in each round in which both ran."""
    both = [round_ for round_ in rounds if name in round_.get(side, {}) and name in round_.get(other, {})]
    return [round_[side][name] / round_[other][name] for round_ in both]


def compared(rounds: Sequence[Round]) -> dict[str, Result]:
    """The ratios of interest by `side/other`, as far as both sides ran."""
    found = {}
    for side, other in COMPARED:
        if of_rounds := ratios(rounds, side, other):
            low, middle, high = spread(of_rounds)
            found[f"{side}/{other}"] = {
                "ratio": middle,
                "quartiles": [low, high],
                "verdict": verdict(low, high),
                "ratio_by_cpu_time": spread(ratios(rounds, side, other, "images_per_cpu_second"))[1],
                "rounds": len(of_rounds),
            }
    return found


def sentences(rounds: Sequence[Round]) -> str:
    """A line for each ratio of interest."""
    lines = []
    for pair, found in compared(rounds).items():
        low, high = found["quartiles"]
        measured = f"{found['ratio']:6.2f} [{low:.2f}-{high:.2f}]  {found['verdict']:8}"
        lines.append(f"{pair:26}{measured} by processor time {found['ratio_by_cpu_time']:.2f}")
    return "\n".join(lines)


def table(rounds: Sequence[Round]) -> str:
    """A line for each side, the fastest first; then those that are missing or failed, and why."""
    columns = f"{'img/s':>8}  {'of the bare loop':18}{'% of matmul':>12}{'peak MB':>9}{'weights':>11}{'MFLOP/img':>11}"
    ran = [side for side in LABELS if values(rounds, side)]
    ran.sort(key=lambda side: -np.median(values(rounds, side)))
    return "\n".join([f"{'':38}{columns}", *(row(rounds, side) for side in ran), *faults(rounds)])


def row(rounds: Sequence[Round], side: str) -> str:
    """A side's line of the table."""
    speed, peak, weights, mflop = (
        np.median(values(rounds, side, name))
        for name in ("images_per_second", "peak_mb", "parameters", "mflop_per_image")
    )
    of_bare = ratios(rounds, side, "bare")
    low, middle, high = spread(of_bare) if of_bare else (np.nan,) * 3
    gflops = np.array(values(rounds, side)) * values(rounds, side, "mflop_per_image") / 1e3
    share = np.median(100 * gflops / values(rounds, side, "matmul_gflops"))
    return (
        f"{LABELS[side]:38}{speed:8,.0f}  {f'{middle:.2f} [{low:.2f}-{high:.2f}]':18}{share:12.0f}{peak:9,.0f}"
        f"{weights:11,.0f}{mflop:11.2f}"
    )


def faults(rounds: Sequence[Round]) -> list[str]:
    """A line for each side that was missing or failed in some round."""
    lines = []
    for side, label in LABELS.items():
        lines += [f"{label:38}  {message}" for message in dict.fromkeys(values(rounds, side, "missing"))]
        errors = values(rounds, side, "error")
        if errors:
            lines.append(f"{label:38}  failed in {len(errors)} of {len(rounds)}: {errors[-1]}")
    return lines


def share_of_core(rounds: dict[str, list[Round]]) -> float:
    """Processor time over time passed, median over all processes; 1 where nothing ran beside one-thread processes."""
    results = [result for of_model in rounds.values() for round_ in of_model for result in round_.values()]
    shares = [result["cpu_seconds"] / result["seconds"] for result in results if "seconds" in result]
    return float(np.median(shares)) if shares else 1.0


def draw(path: Path, rounds: dict[str, list[Round]], caption: str) -> None:
    """Draw the speeds: a panel for each model, with a line for each side: its rounds, their quartiles and median."""
    from matplotlib.figure import Figure  # takes seconds to import

    figure = Figure(figsize=(2 + 4.5 * len(rounds), 3.2), layout="constrained")
    panels = figure.subplots(1, len(rounds), squeeze=False)[0]
    for panel, (model, of_model) in zip(panels, rounds.items(), strict=True):
        shown = [side for side in LABELS if values(of_model, side)]
        shown.sort(key=lambda side: np.median(values(of_model, side)))
        for y, side in enumerate(shown):
            ours = side in ("default", "lean", "lean_bf16")
            colour = "tab:blue" if ours else "black" if side == "bare" else "tab:gray"
            low, middle, high = spread(values(of_model, side))
            panel.plot(values(of_model, side), [y] * len(values(of_model, side)), ".", color=colour, alpha=0.4, ms=5)
            panel.plot([low, high], [y, y], color=colour, lw=2)
            panel.plot(middle, y, "o", color=colour, ms=7)
        panel.set_yticks(range(len(shown)), [LABELS[side].partition(" (")[0] for side in shown])
        panel.set(title=f"model={model}", xlabel="training images a second", ylim=(-0.6, len(shown) - 0.4))
        panel.set_xlim(0, panel.get_xlim()[1])
        panel.grid(axis="x", alpha=0.3)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
    figure.supxlabel(caption, fontsize=8, color="tab:gray")
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=150)
