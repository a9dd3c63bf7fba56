"""Repeat rows of docs/results.md: train a row's runs, evaluate each of them once on the test images, print the row.

A row is a file of conf/experiment/ and a number of seeds. Its runs are a sweep, outputs/sweeps/ROW, which goes on where
it was stopped, and what has been evaluated is not evaluated again. Without a row, those that are complete are printed.
Each run has one thread, unless OMP_NUM_THREADS says otherwise.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks import command
from src.report import SWEEPS
from src.run import status
from src.run.jobs_file import read_jobs
from src.support.errors import UserError
from src.support.folders import ResultsFolder, RunFolder

SAMPLES, IMAGES, NAME = 1000, 1000, "results"  # K of the NLL, the images that get it, the name of the evaluation
FEW = 200  # images that get `nll_tight` where it takes half an hour otherwise
ENV = {"OMP_NUM_THREADS": "1"} | os.environ
Numbers = dict[str, Any]


class Row(NamedTuple):
    """What is trained with `experiment=NAME`: one run for each of `seeds`, and what was published of the like.

    tight: images that get `nll_tight`, by default as many as get the NLL
    """

    seeds: int
    published: str = ""
    tight: int = IMAGES


ROWS = {
    "minutes_1": Row(3),
    "minutes_3": Row(3),
    "minutes_10": Row(1),
    "minutes_10_prior": Row(1),
    "minutes_15_fashion": Row(1, "227.35, gated MLP, VampPrior (Norouzi et al., 2020)"),
    "minutes_40": Row(1, "84.45, gated MLP (Norouzi et al., 2020)"),
    "minutes_40_prior": Row(1, "82.43, gated MLP, VampPrior (Norouzi et al., 2020)"),
    "minutes_10_head": Row(1, "78.20, PixelSNAIL decoder (Norouzi et al., 2020)", FEW),
    "minutes_60_ladder": Row(1, "79.67, ConvHVAE, VampPrior (Norouzi et al., 2020)"),
    "minutes_30_fashion": Row(1, "223.45, PixelSNAIL decoder, VampPrior (Norouzi et al., 2020)", FEW),
    "minutes_60_head": Row(1, "78.20, PixelSNAIL decoder (Norouzi et al., 2020)", FEW),
    "burda": Row(1, "86.76, 3,280 epochs (Burda et al., 2016)"),
}


def main() -> None:
    """Do the rows that the command line names, and print them; without any, print all that are complete."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.results", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("row", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--jobs", type=int, default=1, help="runs that are trained at a time; default: %(default)s")
    args = parser.parse_args()
    if unknown := [name for name in args.row if name not in ROWS]:
        parser.error(f"there is no row {unknown[0]}: choose from {', '.join(ROWS)}")
    if args.jobs < 1:
        parser.error("--jobs must be at least 1")
    for name in args.row:
        train(name, args.jobs)
        for run in runs_of(name):
            evaluate(run, ROWS[name].tight)
    complete = {name: numbers for name in args.row or ROWS if (numbers := read(name))}
    print(table(complete) if complete else f"no row is complete in {SWEEPS}: python -m benchmarks.results ROW")
    if complete:
        print("Means over seeds ± standard deviations; of one seed, ± the standard error over images. Nats per image.")


def train(name: str, jobs: int) -> None:
    """Train the runs of a row, or what is missing of them.

    Raises UserError if any of them fails, or is missing in the end since the user has deleted it.
    """
    seeds = ",".join(map(str, range(ROWS[name].seeds)))
    options = [f"experiment={name}", f"seed={seeds}", f"sweep_name={name}", "logger=csv"]
    options += [] if jobs == 1 else ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={jobs}"]
    do("src.train", "-m", *options)
    if len(runs_of(name)) < ROWS[name].seeds:
        raise UserError(
            f"{SWEEPS / name} lacks jobs that were deleted: python -m src.runs replan {SWEEPS / name}/0 ..."
        )


def evaluate(run: Path, tight: int) -> None:
    """Estimate log p(x) of the test images, of `tight` of them with proposals of their own, unless that has been done.

    Raises UserError if it fails.
    """
    if not evaluation(run).metrics.is_file():
        task = ("task=evaluate", f"task.samples={SAMPLES}", f"task.nll_images={IMAGES}", f"task.tight_images={tight}")
        task += ("task.sample_quality=false",)
        do("src.apply", f"run={run}", *task, f"name={NAME}")


def do(module: str, *options: str) -> None:
    """Call a command of this project, whose lines go to the console. Raises UserError if it fails."""
    words = ["-m", module, *options]
    if code := subprocess.call([sys.executable, *words], env=ENV):
        raise UserError(f"python {' '.join(words)} ended with exit code {code}")


def runs_of(name: str) -> list[Path]:
    """The finished runs of a row, in the order of their numbers."""
    numbers = sorted(job.number for job in read_jobs(SWEEPS / name).values() if job.wanted)
    runs = [SWEEPS / name / str(number) for number in numbers]
    return [run for run in runs if status.read(run).get("state") == status.State.FINISHED]


def evaluation(run: Path) -> ResultsFolder:
    """The folder of a run's evaluation."""
    return ResultsFolder(RunFolder(run).tasks / "evaluate" / NAME)


def read(name: str) -> list[Numbers]:
    """The numbers of each run of a row, or none if the row is not complete."""
    runs = [run for run in runs_of(name) if evaluation(run).metrics.is_file()]
    if len(runs) != ROWS[name].seeds:
        return []
    files = [(RunFolder(run).metrics, evaluation(run).metrics) for run in runs]
    numbers = [json.loads(ours.read_text()) | json.loads(theirs.read_text()) for ours, theirs in files]
    epochs = yaml.safe_load(RunFolder(runs[0]).config.read_text())["trainer"]["max_epochs"]
    return [of_run | {"epochs": epochs} for of_run in numbers]


def table(rows: dict[str, list[Numbers]]) -> str:
    """A Markdown table with a line for each row."""
    head = ["`experiment=`", "parameters", "epochs", "minutes", "test ELBO", f"`nll_{SAMPLES}`", "`nll_tight`"]
    lines = [[*head, "seeds", "published NLL"], ["---"] * (len(head) + 2)]
    for name, runs in rows.items():
        minutes = statistics.mean(run["training_seconds"] for run in runs) / 60
        cells = [f"`{name}`", f"{runs[0]['parameters']:,}", str(runs[0]["epochs"]), f"{minutes:.1f}"]
        cells += [mean(runs, key) for key in ("elbo", f"nll_{SAMPLES}_all", "nll_tight_all")]
        lines.append([*cells, str(len(runs)), ROWS[name].published])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mean(runs: list[Numbers], key: str) -> str:
    """A number and its error as text, nats per image; a dash for one that runs of this kind do not have."""
    if key not in runs[0]:
        return "–"
    values = [run[key] for run in runs]
    error = statistics.stdev(values) if len(values) > 1 else runs[0][f"{key}_se"]
    return f"{statistics.mean(values):.2f} ± {error:.2f}"


if __name__ == "__main__":
    command.run(main, "the same command goes on")
