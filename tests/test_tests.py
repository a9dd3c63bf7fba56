"""The layout of the tests, read from their source: what several files need is in tests/helpers/."""

import ast

import pytest

from tests.helpers.project import ROOT

FILES = sorted(ROOT.glob("tests/**/*.py"))


def imported_modules(source: str) -> set[str]:
    """The modules that `source` imports anywhere, and each name that it imports from a package, as `package.name`."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_file_imports_another(path):
    for name in imported_modules(path.read_text()):
        assert not name.startswith("."), name
        if name.split(".")[0] in ("tests", "conftest"):
            assert name.startswith("tests.helpers") or name == "tests", name


def test_an_import_of_a_test_file_is_recognised():
    source = "from tests.run import test_resume\ndef f():\n    from tests.conftest import run\nimport tests.test_cli"
    assert {"tests.run.test_resume", "tests.conftest", "tests.test_cli"} <= imported_modules(source)


def test_the_root_of_the_project_is_stated_once():
    stated = [path for path in FILES if "Path(__file__)" in path.read_text() and path.name != "test_tests.py"]
    assert stated == [ROOT / "tests" / "helpers" / "project.py"]
