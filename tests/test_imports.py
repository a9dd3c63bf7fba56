"""The rules of the layout, read from the source."""

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.processes import HEAVY, RARE, packages_imported, run_code
from tests.helpers.project import ROOT

FILES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("callbacks/**/*.py")])
STARTED = """
import gc, json, sys
from pathlib import Path
import hydra
from src import train
with hydra.initialize_config_dir(train.CONF, version_base="1.3"):
    cfg = hydra.compose("train", ["trainer.accelerator=cpu"])
train.import_libraries(with_wandb=True)
import torch
from src import build
module = build.module(cfg, [])
build.data(cfg, module.vae)
build.trainer(cfg, Path.cwd(), [])
try:
    torch.distributions.Bernoulli(torch.tensor(0.5)).log_prob(torch.tensor(0.3))
    validates = False
except ValueError:
    validates = True
found = {"modules": list(sys.modules), "collects": gc.isenabled(), "frozen": gc.get_freeze_count()}
print(json.dumps(found | {"validates": validates}))
"""

FLOWS = """
import json, torch
import src.models.flows
try:
    torch.distributions.Bernoulli(torch.tensor(0.5)).log_prob(torch.tensor(0.3))
    print(json.dumps(False))
except ValueError:
    print(json.dumps(True))
"""


def imported(path: Path, everywhere: bool = True) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree) if everywhere else tree.body)
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return names | {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process is like that has built all of a default run but its loggers."""
    return run_code(STARTED, tmp_path_factory.mktemp("started"))


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


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_few_runs_need_is_imported_where_it_is_needed(path):
    assert not {name.split(".")[0] for name in imported(path, everywhere=False)} & RARE


@pytest.mark.parametrize(
    "words", [["--help"], ["--cfg", "job"], ["foo=1"], ["model=transformer"], ["latent_dim=0"]], ids=" ".join
)
def test_the_command_line_answers_before_anything_heavy_is_imported(words, tmp_path):
    loaded = packages_imported("train", tmp_path, *words)
    assert "hydra" in loaded
    assert not loaded & HEAVY


def test_a_run_imports_no_more_than_it_needs(started):
    """torchvision and matplotlib are there none the less: torchmetrics imports them, and Lightning torchmetrics."""
    loaded = {name.split(".")[0] for name in started["modules"]}
    assert {"torch", "callbacks"} <= loaded
    assert not loaded & {"sklearn", "openTSNE", "mlxtend", "zuko"}
    assert not {"src.figures.page", "src.figures.tsne"} & set(started["modules"])


def test_wandb_is_imported_before_there_is_much_to_search(started):
    order = {name: place for place, name in enumerate(started["modules"])}
    assert order["wandb.apis.public.artifacts"] < order["torch"]


def test_garbage_is_collected_again_once_all_is_imported(started):
    assert started["collects"]
    assert started["frozen"] > 100_000


def test_torch_keeps_validating_distributions(started, tmp_path):
    """Some libraries switch it off for the whole process as they are imported, zuko among them."""
    assert started["validates"]
    assert run_code(FLOWS, tmp_path)
