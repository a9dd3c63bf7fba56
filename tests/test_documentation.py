"""README and docs/: their commands, their Python code, the notebook, and their links.

The commands of src.apply are in test_apply.py, sweeps in sweeps/test_launchers.py, searches in sweeps/test_space.py,
loggers in run/test_stores.py, the script for ONNX in tasks/test_export.py, tab completion in
test_completion.py, and trainer=ddp in training/test_ddp.py.
"""

import importlib
import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image

from src import report, runs, train
from src.figures import __main__ as figures_command
from tests.helpers.in_process import make_command, replace_sources
from tests.helpers.project import BLOCKS, LINES, PAGES, README, ROOT, arguments, python_block

SMALL = [
    "model.encoder.hidden=[8]",
    "trainer.max_epochs=1",
    "+trainer.limit_train_batches=1",
    "trainer.accelerator=cpu",
]
ELSEWHERE = re.compile(
    r"--help|--completion| -m \w+=| sweep=|trainer=ddp|logger=(?:\[|t)|python -m src\.(apply|search)"
)
CONTINUED = "checkpoints/last.ckpt"
NOTEBOOK = ROOT / "docs" / "tour.ipynb"
TRAININGS = [line for line in LINES if "src.train" in line and not ELSEWHERE.search(line) and CONTINUED not in line]


def options_of(line: str) -> tuple[str, ...]:
    """The options of a training, without its length."""
    return tuple(word for word in arguments(line, "src.train") if not word.startswith("trainer.max_epochs"))


@pytest.fixture
def command(monkeypatch, tmp_path, images):
    """command("model=conv", ...): python -m src.train in this process, in an empty folder, on small images."""
    (tmp_path / "mine.py").write_text(python_block("class Encoder") + python_block("class Prior"))
    monkeypatch.syspath_prepend(tmp_path)
    replace_sources(monkeypatch, images)
    return make_command(monkeypatch, train)


def test_there_are_commands():
    assert len(TRAININGS) > 10
    assert len(LINES) > 60


@pytest.mark.parametrize("options", list(dict.fromkeys(map(options_of, TRAININGS))), ids=" ".join)
def test_training(command, options, tmp_path):
    shape = next((json.loads(word.partition("=")[2]) for word in options if "data.shape" in word), [1, 28, 28])
    np.savez("my.npz", images=np.random.default_rng(0).integers(0, 256, (200, *shape), np.uint8))
    for i, image in enumerate(np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)):
        (folder := Path("my_images") / ("cats", "dogs")[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i}.png")
    # the replaced MNIST has four classes
    labels = ["condition.labels=['1','4','7','9']"] if "condition=label" in options else []
    has_widths = not any(
        word in ("model=conv", "model=ladder") or word.startswith("experiment=minutes") for word in options
    )
    head = ["likelihood.features=3", "likelihood.samples=1"] if "likelihood=autoregressive" in options else []
    command(*options, *labels, *head, *SMALL[not has_widths :])
    (metrics,) = tmp_path.glob("outputs/runs/*/metrics.json")
    likelihood = json.loads(metrics.read_text())["likelihood"]
    given = next((word.partition("=")[2] for word in options if word.startswith("likelihood=")), "bernoulli")
    assert likelihood == given.title().replace("_", "")


@pytest.mark.parametrize("line", [line for line in LINES if CONTINUED in line])
def test_continued_training(command, run, line):
    folder = run()
    command(*[word.replace("outputs/runs/RUN", str(folder)) for word in options_of(line)], "trainer.max_epochs=3")
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2


@pytest.fixture
def first_sweep(finished):
    """A folder `outputs` with one run, in the sweep `first`."""
    shutil.copytree(finished, "outputs/sweeps/first/0", ignore=shutil.ignore_patterns("tasks"))


def test_reports(first_sweep, tmp_path):
    lines = [line for line in LINES if line.startswith("python -m src.report ")]
    for line in lines:
        assert report.main(arguments(line, "src.report")) == 0
    assert len(lines) >= 2
    assert {path.name for path in tmp_path.rglob("*.html")} == {"report.html", "all.html"}


def test_lists_of_runs(first_sweep, capsys):
    lines = re.findall(r"python -m src\.runs[^\n)`#]*", "\n".join(LINES))
    for line in lines:  # a page may name a command without its arguments
        words = [
            word.replace("data=mnist", "data=npz").replace("beta=4", "beta=1") for word in arguments(line, "src.runs")
        ]
        if {"delete", "replan"} & set(words):
            assert words == ["replan"] or runs.parser().parse_args(words)
            continue
        assert runs.main(words) == 0
        printed = capsys.readouterr().out
        assert words[:1] != ["best"] or printed == "outputs/sweeps/first/0\n"
    assert len(lines) >= 6


def test_loggers_are_composed(composed):
    (line,) = (line for line in LINES if "logger=[" in line)
    assert list(composed(*arguments(line, "src.train")).logger) == ["tensorboard", "mlflow"]
    assert list(composed("logger=tensorboard").logger) == ["tensorboard"]


def test_help(monkeypatch, capsys):
    lines = [line for line in LINES if "--help" in line]
    for line in lines:
        name = line.split()[2]
        make_command(monkeypatch, importlib.import_module(name))(*arguments(line, name))
        assert capsys.readouterr().out.count("\n") > 10
    assert len(lines) >= 5


def test_figures(monkeypatch, capsys):
    monkeypatch.setattr(figures_command.Trace, "load", lambda path: path)
    monkeypatch.setattr(figures_command, "draw_all", lambda trace, run: [trace])
    for line in [line for line in LINES if "src.figures" in line]:
        assert figures_command.main(arguments(line, "src.figures")) == 0
        assert capsys.readouterr().out == "outputs/runs/RUN/figures/trace.npz\n"


def test_commands_that_are_no_commands_of_src_exist():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for line in LINES:
        words = line.partition("#")[0].removeprefix('eval "$(').split()
        if words[0] == "make":
            assert words[1] in targets, line
        elif words[0] == "jupyter":
            assert (ROOT / words[2]).is_file(), line
        elif words[0] in ("docker", "mkdir"):
            assert (ROOT / "Dockerfile").is_file()
        elif words[0] == "pip":
            assert set(re.search(r"\[(.*)\]", line)[1].split(",")) <= set(extras), line
        elif words[2].startswith("benchmarks."):
            assert (ROOT / words[2].replace(".", "/")).with_suffix(".py").is_file(), line
        else:
            assert words[:2] == ["python", "-m"], line
            assert (ROOT / words[2].replace(".", "/")).with_suffix(".py").is_file() or "figures" in words[2], line


def test_python(command, tmp_path):
    """All blocks of code but the classes for a file of one's own, in the order of the pages."""
    command(*SMALL)
    Image.fromarray(np.eye(40, dtype=np.uint8) * 255).save("mine.png")
    (made,) = tmp_path.glob("outputs/runs/*")
    blocks = [block for kind, block in BLOCKS if kind == "python" and "class " not in block and "onnx" not in block]
    assert len(blocks) >= 3
    for block in blocks:
        exec(block.replace("outputs/runs/RUN", str(made)).replace("max_epochs=5", "max_epochs=1"), {})


def test_a_network_of_torchvision():
    names = {}
    exec(python_block("class ResNet18"), names)
    assert names["ResNet18"]((1, 28, 28), 6)(torch.zeros(2, 1, 28, 28)).shape == (2, 6)


def test_notebook(command, monkeypatch, tmp_path):
    """The code of the notebook runs from its first to its last cell, and what is committed has its outputs.

    Jupyter starts it in docs/, and the run is in the project's folder.
    """
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    mpl.use("agg")
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    monkeypatch.setattr(
        "src.figures.draw_final",
        lambda trace, run: [shutil.copy(ROOT / "outputs/showcase/loss.png", "outputs/runs/tour/figures/loss.png")],
    )
    names = {}
    for number, cell in enumerate(cells):
        exec("".join(cell["source"]).replace("max_epochs=10", "max_epochs=2"), names)
        assert cell["execution_count"] == number + 1
    assert sum("image/png" in output.get("data", {}) for cell in cells for output in cell["outputs"]) >= 5
    assert NOTEBOOK.stat().st_size < 300_000
    assert (tmp_path / "outputs" / "runs" / "tour").is_dir()


def test_every_paper_of_a_published_model_has_an_entry():
    text = (ROOT / "docs" / "references.bib").read_text().replace(r"{\o}", "ø").replace(r"{\"o}", "ö")
    entries = re.findall(r"^@\w+\{[\w-]+,\n((?: +\w+ += \{.*\},?\n)+)\}$", text, flags=re.MULTILINE)
    assert len(entries) == text.count("@")  # none is malformed
    papers = [dict(re.findall(r"^ +(\w+) += \{(.*)\},?$", entry, flags=re.MULTILINE)) for entry in entries]
    found = [(paper["author"].partition(" and ")[0].split()[-1], paper["year"]) for paper in papers if paper["title"]]
    pages = "\n".join(PAGES.values())
    table = PAGES["models.md"].partition("## Published models")[2].partition("\n## ")[0]
    cited = re.findall(r"([\w-]+)(?: et al\.| & [\w-]+), (\d{4})", table)
    assert set(cited) <= set(found)
    assert set(found) <= set(re.findall(r"([\w-]+)(?: et al\.| & [\w-]+), (\d{4})", pages))
    assert len(set(found)) == len(found)


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 220
    assert all(f"docs/{name}" in README for name in PAGES if name != "README.md")


@pytest.mark.slow
def test_the_site_is_built_strictly_and_needs_no_network(tmp_path):
    build = pytest.importorskip("mkdocs.commands.build")
    from mkdocs.config import load_config

    build.build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site")))
    pages = {path: path.read_text() for path in (tmp_path / "site").rglob("*.html")}
    assert len(pages) > 20
    loaded = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*>")
    assert [found for page in pages.values() for found in loaded.findall(page)] == []
    assert (tmp_path / "site" / "search" / "search_index.js").is_file()
    assert "src.models.vae.VAE.sample" in pages[tmp_path / "site" / "api" / "models.html"]


def headings(page: str) -> set[str]:
    """The anchors of a page's headings."""
    lines = re.findall(r"^#+ (.*)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("name", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links(name):
    page = ROOT / "docs" / name if (ROOT / "docs" / name).is_file() else ROOT / name
    for target in re.findall(r"\]\((?!http)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.is_file(), target
        assert not anchor or anchor in headings(linked.read_text()), target
