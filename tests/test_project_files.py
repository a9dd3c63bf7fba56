"""The files around the code: the citation, the lock file, the hooks of git, the image for GPU machines."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers.project import README, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()


def requirements() -> list[Requirement]:
    """Everything that pyproject.toml asks for, in any extra, but for the project itself."""
    texts = [*PROJECT["dependencies"], *(text for extra in PROJECT["optional-dependencies"].values() for text in extra)]
    parsed = [Requirement(text) for text in texts]
    return [requirement for requirement in parsed if requirement.name != PROJECT["name"]]


def locked() -> dict[str, list[str]]:
    """The versions of each package in the lock file: one, or one for each range of Pythons."""
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK, flags=re.MULTILINE):
        versions.setdefault(canonicalize_name(name), []).append(version)
    return versions


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_the_lock_file_holds_versions_within_the_bounds(requirement):
    """`make lock` renews the file."""
    versions = locked().get(canonicalize_name(requirement.name), [])
    assert versions
    assert [version for version in versions if not requirement.specifier.contains(version)] == []


def test_the_lock_file_installs_anywhere():
    """Versions alone, without addresses of a package index or of files."""
    pinned = re.compile(r"[\w.-]+==[\w.+!-]+( ; [\w\s.<>=!'()]+)?")
    lines = [line for line in LOCK.splitlines() if not line.lstrip().startswith("#")]
    assert len(lines) > 100
    assert [line for line in lines if not pinned.fullmatch(line)] == []


def test_the_citation_is_that_of_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == citation["preferred-citation"]["version"] == PROJECT["version"]
    assert citation["title"] == citation["preferred-citation"]["title"]
    assert citation["license"] == PROJECT["license"]["text"]
    assert citation["date-released"] == citation["preferred-citation"]["date-released"]
    (entry,) = re.findall(r"```bibtex\n(.*?)```", README, re.DOTALL)
    assert entry.startswith("@misc{")  # what every style of BibTeX knows
    assert f"Version {PROJECT['version']}" in entry
    assert f"year   = {{{citation['date-released'].year}}}" in entry


def test_the_hooks_of_git_download_nothing_and_have_what_they_call():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert {repo["repo"] for repo in hooks["repos"]} == {"local"}
    for hook in (hook for repo in hooks["repos"] for hook in repo["hooks"]):
        program, *words = hook["entry"].split()
        assert hook["language"] == "system"
        assert program.startswith(".venv/bin/")
        assert Path(sys.executable).with_name(Path(program).name).exists()
        assert [word for word in words if word.startswith("tests/") and not (ROOT / word).exists()] == []


def test_the_image_is_of_a_supported_python_and_holds_what_it_copies():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    (base,) = (line for line in lines if line.startswith("FROM "))
    assert re.fullmatch(r"FROM python:3\.1[123]-slim", base)
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    extras = re.findall(r"--extra (\w+)", "\n".join(lines))
    assert extras
    assert set(extras) <= PROJECT["optional-dependencies"].keys()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("0", "root")
