"""The names of files in the folders of runs, sweeps and results are written in one place."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.support.folders import ResultsFolder, RunFolder, SweepFolder
from tests.helpers.project import ROOT

HOME = ROOT / "src" / "support" / "folders.py"
FILES = [path for room in ("src", "callbacks") for path in sorted((ROOT / room).rglob("*.py")) if path != HOME]
NAME = re.compile(
    r"""(config\.yaml|status\.json|metrics\.csv|metrics\.json|data\.json|train\.log|task\.yaml|report\.html
        |jobs\.json|search\.yaml|study\.journal|terms\.npz|trace\w*\.npz|samples\.npz|\.hydra(?!\.)|\.wandb_id|\.lock
        |multirun\.yaml|search\.png|\.ckpt|checkpoints/)
        |^(checkpoints|figures|tasks)$""",
    re.VERBOSE,
)


def literals(path: Path) -> Iterator[ast.Constant]:
    """The strings of a file, its docstrings not among them."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_one_module_names_the_files_of_a_run(path):
    named = [f"line {node.lineno}: {node.value}" for node in literals(path) if NAME.search(node.value)]
    assert not named, named


def test_the_scan_finds_the_names_where_they_are():
    assert sum(bool(NAME.search(node.value)) for node in literals(HOME)) > 20


def test_each_file_has_a_path_of_its_own():
    run, sweep, results = (kind(Path("folder")) for kind in (RunFolder, SweepFolder, ResultsFolder))
    for folder in (run, sweep, results):
        names = [name for name, value in vars(type(folder)).items() if isinstance(value, property)]
        paths = [getattr(folder, name) for name in names if name not in ("has_checkpoints", "is_begun")]
        assert len(set(paths)) == len(paths)
        assert all(path.is_relative_to("folder") for path in paths)
    assert run.terms("val") == Path("folder/val_terms.npz")
    assert sweep.run(3).path == Path("folder/3")


def test_a_checkpoint_leads_to_its_run():
    run = RunFolder(Path("outputs/runs/one"))
    assert run.checkpoint("last") == Path("outputs/runs/one/checkpoints/last.ckpt")
    assert RunFolder.of_checkpoint(run.checkpoint("last")) == run
    assert RunFolder.of_checkpoint(Path("elsewhere/last.ckpt")) is None


def test_a_run_has_checkpoints_once_one_is_there(tmp_path):
    run = RunFolder(tmp_path)
    assert not run.has_checkpoints
    run.checkpoints.mkdir()
    assert not run.has_checkpoints
    run.checkpoint("best").touch()
    assert run.has_checkpoints
