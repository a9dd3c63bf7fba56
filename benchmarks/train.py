"""How fast this project trains, beside a bare PyTorch loop and its peers: MNIST, on the CPU.

In each round every side runs once, in shuffled order, in a process of its own. Sides are compared within a round, so
that a machine that is slow for a while is slow for both. All sides of `mlp` train the network of pytorch/examples,
784-400-20; all of `conv` that of the present conf/. The optimiser of ours and of the bare loop is that of conf/.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from benchmarks import command, report
from benchmarks.configuration import MODELS, composed
from src.run import record

QUICK_STEPS = 100  # steps of an epoch of the side `default`, with --quick
PATIENCE = 1800  # seconds after which a process is stopped as failed
CPUINFO = Path("/proc/cpuinfo")


def parsed() -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", nargs="+", choices=MODELS, default=list(MODELS), help="default: both")
    add("--rounds", type=int, default=5, help="default: %(default)s")
    add("--seconds", type=float, default=6.0, help="timed at least, of each process; default: %(default)s")
    add("--batch", type=int, default=128, help="images a step; default: %(default)s")
    add("--threads", type=int, default=1, help="of each process; default: %(default)s, the steadiest")
    add("--out", type=Path, default=Path("outputs/benchmarks/train"), help="folder; default: %(default)s")
    add(
        "--quick",
        action="store_true",
        help=f"one round of 1.5 s, epochs of {QUICK_STEPS} steps: shows that all sides run, measures nothing",
    )
    args = parser.parse_args()
    if min(args.rounds, args.seconds, args.batch, args.threads) <= 0:
        parser.error("--rounds, --seconds, --batch and --threads must be above 0")
    if args.quick:
        args.rounds, args.seconds = 1, 1.5
    args.model = list(dict.fromkeys(args.model))
    return args


def processor() -> tuple[str, set[str]]:
    """The processor's name and, where Linux lists them, its flags."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.is_file() else []
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = found.get("flags", found.get("Features", ""))
    return found.get("model name") or platform.processor() or platform.machine(), set(flags.split())


def has_bf16(flags: set[str]) -> bool:
    """Whether the processor has instructions for bf16 products, which oneDNN otherwise emulates."""
    if not flags & {"avx512_bf16", "amx_bf16"}:
        return False
    import torch  # takes seconds to import

    return torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001 (there is no public way)


def planned(model: str, args: argparse.Namespace, bf16: bool) -> dict[str, list[str]]:
    """The sides of a model, each with its arguments of benchmarks.sides."""
    sides = {side: [side] for side in ("lean", "bare", "lightning_dataloader", "pythae")}
    if model == "mlp":  # an epoch of conv takes half a minute, and the steps are a larger share of it
        sides |= {"default": ["default"], "pytorch_examples": ["pytorch_examples"]}
        if args.quick:
            sides["default"] += ["--epoch-steps", str(QUICK_STEPS)]
    if bf16:
        sides["lean_bf16"] = ["lean", "--precision", "bf16-mixed"]
    return sides


def run(words: list[str], model: str, args: argparse.Namespace) -> report.Result:
    """The results that a side printed, or {"error": its last line}."""
    command = [sys.executable, "-m", "benchmarks.sides", *words, "--model", model, "--batch", str(args.batch)]
    command += ["--seconds", str(args.seconds), "--threads", str(args.threads)]
    # GOMP_SPINCOUNT: see src/__init__.py; a temporary folder of ours is removed even if the process is killed
    env = os.environ | {"OMP_NUM_THREADS": str(args.threads), "GOMP_SPINCOUNT": "2000"}
    with TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                command, env=env | {"TMPDIR": folder}, capture_output=True, text=True, timeout=PATIENCE
            )
        except subprocess.TimeoutExpired:
            return {"error": f"not done after {PATIENCE} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"error": lines[-1].strip() if lines else f"ended with code {done.returncode}"}
    return json.loads(done.stdout)


def measured(args: argparse.Namespace, bf16: bool) -> dict[str, list[dict[str, report.Result]]]:
    """The rounds of each model, with the results of its sides."""
    plans = {model: planned(model, args, bf16) for model in args.model}
    rounds: dict[str, list[dict[str, report.Result]]] = {model: [] for model in plans}
    shuffle = random.Random(0).shuffle
    with tqdm(total=args.rounds * sum(map(len, plans.values())), unit="process") as bar:
        for _ in range(args.rounds):
            for model, plan in plans.items():
                order = list(plan)
                shuffle(order)
                rounds[model].append({})
                for side in order:
                    bar.set_description(f"{model} {side}")
                    rounds[model][-1][side] = run(plan[side], model, args)
                    bar.update()
    return rounds


def write(args: argparse.Namespace, rounds: dict[str, list[dict[str, report.Result]]], machine: dict[str, Any]) -> None:
    """Write results.json and train.png."""
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    found = {model: report.compared(of_model) for model, of_model in rounds.items()}
    content = {"settings": settings, "machine": machine, "compared": found, "rounds": rounds, **record.provenance()}
    record.write_json(args.out / "results.json", content)
    caption = f"{machine['cpu']}, threads: {args.threads}, batch: {args.batch}; medians, quartiles and rounds"
    report.draw(args.out / "train.png", rounds, caption)


def main() -> None:
    """Run the benchmark that the command line asks for; exit with 1 where a side failed."""
    args = parsed()
    for model in args.model:
        composed(*MODELS[model])
    cpu, flags = processor()
    bf16 = has_bf16(flags)
    machine = {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "load_average_before": os.getloadavg(),
    }
    rounds = measured(args, bf16)
    machine["load_average_after"] = os.getloadavg()
    for model, of_model in rounds.items():
        print(f"\nmodel={model}, batch {args.batch}, {args.threads} thread(s), rounds: {args.rounds}")
        print(f"{report.table(of_model)}\n\n{report.sentences(of_model)}")
    print(f"\n{cpu}, {os.cpu_count()} cores. {report.READING}")
    if args.threads == 1 and (share := report.share_of_core(rounds)) < 0.9:
        print(f"Other work ran beside this: a median process got {share:.0%} of a core.")
    if not bf16:
        print("This processor has no bf16 arithmetic: trainer.precision=bf16-mixed is not timed.")
    if args.quick:
        print(f"--quick: no measurement; `default` ran epochs of {QUICK_STEPS} steps, each with the whole validation.")
    write(args, rounds, machine)
    print(f"{args.out}/results.json, train.png")
    if any("error" in result for of_model in rounds.values() for round_ in of_model for result in round_.values()):
        sys.exit(1)


if __name__ == "__main__":
    command.run(main)
