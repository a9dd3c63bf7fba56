"""What `make` prints, and which Python it sets .venv up with, where commands stand for Pythons of several versions."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.helpers.project import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
NAMES = ("python3", "python3.11", "python3.12", "python3.13")
# Runs code as Python 3.{minor} would, copies itself into the virtual environment, and writes down any other call.
STAND_IN = """#!/bin/sh
case "$1 $2" in
"-c "*) exec {python} -c 'import sys; code = sys.argv.pop(1); sys.version_info = (3, {minor}); exec(code)' "$2" ;;
"-m venv") rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python; chmod +x .venv/bin/python ;;
*) echo "3.{minor} $*" >> calls ;;
esac
"""
VARIABLES = ("ARGS", "RUN", "ROW", "PYTHON", "TORCH_INDEX", "LOCK")
SHIM = "#!/bin/sh\necho 'pyenv: command not found' >&2; exit 127\n"  # pyenv's, where it is not activated


class Folder:
    """A folder with the Makefile, and commands that stand for the Pythons of the given minor versions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bin = path / "bin"
        self.bin.mkdir()
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, path)
        (path / "requirements.lock").touch()

    def install(self, **minors: int) -> None:
        """Put a command for each of `minors` on the PATH, by names such as python3_12, and let all others fail."""
        for name in {*NAMES, *(key.replace("_", ".") for key in minors)}:
            minor = minors.get(name.replace(".", "_"))
            file = self.bin / name
            file.write_text(SHIM if minor is None else STAND_IN.format(python=sys.executable, minor=minor))
            file.chmod(0o755)

    def make(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The end of `make` with these words."""
        # make gives what it runs, perhaps this test, its own variables
        env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE") and key not in VARIABLES}
        env["PATH"] = f"{self.bin}:{env['PATH']}"
        return subprocess.run(["make", *words], cwd=self.path, env=env, capture_output=True, text=True, check=False)

    def set_up(self, *words: str) -> list[str]:
        """The calls of Python, other than for its version, by `make train`."""
        calls = self.path / "calls"
        calls.unlink(missing_ok=True)
        ended = self.make("train", *words)
        assert ended.returncode == 0, ended.stderr
        return calls.read_text().splitlines()


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def versions(folder) -> Callable[..., set[str]]:
    """versions("PYTHON=..."): the versions of Python that `make train` calls after the set-up."""
    return lambda *words: {call.partition(" ")[0] for call in folder.set_up(*words)}


def test_make_alone_lists_targets_and_variables_and_does_nothing(folder):
    ended = folder.make()
    assert ended.returncode == 0
    assert folder.make("help").stdout == ended.stdout
    targets = set(re.findall(r"^\.PHONY: (.*)", MAKEFILE, flags=re.MULTILINE)[0].split()) - {"FORCE"}
    variables = set(re.findall(r"^([A-Z_]+) \?=", MAKEFILE, flags=re.MULTILINE))
    assert {"train", "test", "help"} <= targets
    assert {"ARGS", "PYTHON", "TORCH_INDEX"} <= variables
    lines = [line.split(maxsplit=1) for line in ended.stdout.splitlines()[1:] if line]
    assert {name for name, text in lines if text} == targets | variables
    assert max(map(len, ended.stdout.splitlines())) <= 120
    assert not (folder.path / ".venv").exists()


def test_the_newest_python_that_runs_is_chosen(folder, versions):
    folder.install(python3_11=11, python3_12=12)  # pyenv has a shim of python3.13 alone
    assert versions() == {"3.12"}
    folder.install(python3_11=11, python3_12=12, python3_13=13)
    assert versions() == {"3.12"}  # what is set up stays
    assert versions("PYTHON=python3.13") == {"3.13"}
    assert versions() == {"3.13"}


def test_python3_is_the_last_resort(folder, versions):
    folder.install(python3=12)
    assert versions() == {"3.12"}


@pytest.mark.parametrize("words", [(), ("PYTHON=python3",), ("PYTHON=/nowhere/python3.12",)])
@pytest.mark.parametrize("minor", [10, 14])
def test_without_a_supported_python_a_line_says_so(words, minor, folder):
    folder.install(python3=minor)
    ended = folder.make("train", *words)
    assert ended.returncode == 2
    first, *rest = ended.stderr.splitlines()
    assert first.startswith("no Python 3.11 to 3.13")
    assert first.endswith("make PYTHON=/path/to/python3.12")
    assert ("python3.13" in first) == (not words)
    assert [line for line in rest if not line.startswith("make: ***")] == []
    assert not (folder.path / ".venv").exists()


def test_a_virtual_environment_whose_python_is_gone_is_made_again(folder, versions):
    folder.install(python3_11=11)
    assert versions() == {"3.11"}
    python = folder.path / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    folder.install(python3_13=13)
    assert versions() == {"3.13"}


def test_it_is_set_up_once_and_by_the_lock_file_if_asked(folder):
    folder.install(python3_13=13)
    first, second = folder.set_up("ARGS=beta=4")
    assert first == "3.13 -m pip install --quiet -e .[dev]"
    assert second == "3.13 -m src.train beta=4"
    assert folder.set_up() == ["3.13 -m src.train"]
    constraint, _ = folder.set_up("LOCK=1", "TORCH_INDEX=https://a/cpu")
    assert constraint == (
        "3.13 -m pip install --quiet --constraint requirements.lock --extra-index-url https://a/cpu -e .[dev]"
    )
    assert folder.set_up("LOCK=1") == ["3.13 -m src.train"]


def test_the_newest_run_is_explored_and_its_page_opened(folder):
    folder.install(python3_13=13)
    folder.set_up()
    (folder.path / "calls").unlink()
    ended = folder.make("explore")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[0] == "there is no run in outputs/runs: make train"
    for i, name in enumerate(("old", "new run")):
        (run := folder.path / "outputs" / "runs" / name).mkdir(parents=True)
        os.utime(run, (i, i))
    for words, run in (((), "new run"), (("RUN=outputs/runs/old",), "old")):
        assert folder.make("explore", *words).returncode == 0
        applied, opened = (folder.path / "calls").read_text().splitlines()[-2:]
        assert applied == f"3.13 -m src.apply run=outputs/runs/{run} task=explore"
        assert opened.endswith(f"/outputs/runs/{run}/tasks/explore/latest/explorer.html")


def test_the_versions_of_python_are_the_same_everywhere():
    text = (ROOT / "pyproject.toml").read_text()
    assert 'requires-python = ">=3.11,<3.14"' in text
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in MAKEFILE
    minors = ["3.11", "3.12", "3.13"]
    assert re.findall(r"Python :: (3\.\d+)", text) == minors
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == minors
    commands = {name: job["steps"][-1]["run"].split() for name, job in jobs.items()}
    assert {name: command[:2] for name, command in commands.items()} == {
        "test": ["make", "test"],
        "locked": ["make", "test"],
    }
    assert ["LOCK=1" in commands[name] for name in ("test", "locked")] == [False, True]
