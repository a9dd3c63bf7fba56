"""Python code run in a process of its own, as a user's command would be."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.helpers.project import ROOT

RARE = {"wandb", "torchvision", "sklearn", "openTSNE", "mlxtend"}  # slow to import; few runs need them early
HEAVY = RARE | {"torch", "lightning", "matplotlib", "scipy", "numpy"}
COMMAND = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(list(sys.modules))))
from src import {name}
{name}.main()
"""


def run_code(code: str, folder: Path, *arguments: str) -> Any:
    """Run `code` in a new process in `folder` with these arguments, and return its last line, read as JSON."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder)}
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def packages_imported(command: str, folder: Path, *arguments: str) -> set[str]:
    """The top-level packages that `python -m src.COMMAND` with these arguments has imported when it ends."""
    return {name.split(".")[0] for name in run_code(COMMAND.format(name=command), folder, *arguments)}


def children(pid: int) -> list[int]:
    """The PIDs of the processes that a process has started, on Linux."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
