"""The rules of the layout, read from the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("callbacks/**/*.py")])
HEAVY = {"torch", "lightning", "torchvision", "wandb", "sklearn", "openTSNE", "matplotlib"}


def imported(path: Path, everywhere: bool = True) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if everywhere else tree.body
    names = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    nodes = ast.walk(tree) if everywhere else tree.body
    return {n for n in names if n} | {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way_and_files_stay_short(path):
    names = imported(path)
    if path.is_relative_to(ROOT / "src"):
        assert not any(name.split(".")[0] == "callbacks" for name in names)
    if path.name != "build.py":
        assert not any("instantiate" in line for line in path.read_text().splitlines() if "import" in line)
    if path.is_relative_to(ROOT / "src" / "figures"):
        assert not {name.split(".")[0] for name in names} & {"torch", "lightning"}
    assert len(path.read_text().splitlines()) <= 300
    assert path.name != "utils.py"


def test_the_command_line_answers_before_anything_heavy_is_imported():
    code = "import sys, src.train; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = set(
        ast.literal_eval(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).stdout.decode())
    )
    assert not loaded & HEAVY


def test_torch_keeps_validating_distributions():
    """Some libraries switch it off for the whole process as they are imported."""
    code = "import src.build, torch; torch.distributions.Bernoulli(torch.tensor(0.5)).log_prob(torch.tensor(0.3))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "ValueError" in result.stderr
    assert "support" in result.stderr
