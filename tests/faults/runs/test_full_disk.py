"""A run on a small file system that fills up, and that goes on elsewhere."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.faults.commands import Outcome, Zygote, run_all
from tests.helpers.faults.trials import Trial, summary
from tests.helpers.project import ROOT

# mounts a file system in memory that this process alone sees, runs a command there, and copies what it has left
SCRIPT = """
mount -t tmpfs -o size="$1" tmpfs "$2" && cd "$2" || exit 99
folder=$3 && shift 3
"$@"
code=$?
cp -a . "$folder"
exit $code
"""
ISOLATED = ["unshare", "--user", "--map-root-user", "--mount"]


def run_on_disk(command: list[str], size: int, mounted: Path, folder: Path) -> Outcome:
    """Run a command on a file system of `size` bytes, whose content is then copied to `folder`."""
    mounted.mkdir(parents=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", f"src.{command[0]}", *command[1:]]
    result = subprocess.run(
        [*ISOLATED, "sh", "-c", SCRIPT, "sh", str(size), str(mounted), str(folder), *words],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert result.returncode != 99, result.stdout
    return Outcome(result.returncode, result.stdout, [])


def fill(trial: Trial, size: int, zygote: Zygote, folder: Path) -> list[str]:
    """What is wrong with a run on a disk of `size` bytes, and after it went on on a larger one."""
    (folder / "copy").mkdir(parents=True)
    outcome = run_on_disk(trial.command, size, folder / "disk", folder / "copy")
    found = ["a traceback is printed"] if "Traceback (most recent call last)" in outcome.console else []
    if outcome.code and not any(words in outcome.console for words in ("No space left on device", "disk may be full")):
        found.append(f"does not say that the disk is full: {summary(outcome)}")
    found += trial.again(zygote, folder / "copy")
    shutil.rmtree(folder)
    return found


@pytest.fixture(autouse=True)
def file_systems() -> None:
    """Skip a test where a process may not mount a file system that it alone sees."""
    if shutil.which("unshare") is None or subprocess.run([*ISOLATED, "true"], capture_output=True).returncode:
        pytest.skip("needs Linux with user namespaces, in which a process may mount a file system")


def size_of(run: Path) -> int:
    """The bytes of all files of a run."""
    return sum(path.stat().st_size for path in run.rglob("*") if path.is_file())


def test_a_run_whose_disk_is_full_goes_on(start, first_zygote, tmp_path):
    assert fill(start, size_of(start.whole) // 2, first_zygote, tmp_path / "half") == []


@pytest.mark.slow
def test_disks_of_many_sizes(start, zygotes, tmp_path, report):
    whole = size_of(start.whole)
    sizes = [whole * part // 16 for part in range(1, 19)]

    def results() -> Iterator[tuple[str, list[str]]]:
        jobs = [lambda zygote, size=size: fill(start, size, zygote, tmp_path / str(size)) for size in sizes]
        yield from (
            (f"{size:,} of {whole:,} bytes", found) for size, found in zip(sizes, run_all(zygotes, jobs), strict=True)
        )

    report("full disks", len(sizes), results())
