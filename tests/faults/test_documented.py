"""docs/reliability.md names tests that exist, and each file of tests of faults."""

import ast
import re
from pathlib import Path

from tests.helpers.project import ROOT

FAULTS = ROOT / "tests" / "faults"
NAMED = re.findall(r"`((?:\w+/)?test_\w+\.py)(?:::(\w+))?`", (ROOT / "docs" / "reliability.md").read_text())


def functions(path: Path) -> set[str]:
    """The names of the functions in a file."""
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_each_documented_test_exists():
    assert len(NAMED) > 100
    missing = [
        f"{file}::{name}"
        for file, name in NAMED
        if not (FAULTS / file).is_file() or (name and name not in functions(FAULTS / file))
    ]
    assert missing == []


def test_each_file_of_tests_is_documented():
    files = {str(path.relative_to(FAULTS)) for path in FAULTS.rglob("test_*.py")} - {"test_documented.py"}
    assert files - {file for file, _ in NAMED} == set()
