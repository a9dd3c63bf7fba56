"""Which room may import from which, and what is imported when: read from the source, and from processes that run it.

python -c "from tests.test_imports import rooms; print(rooms())" prints the rooms with their files and lines.
"""

import sys
from typing import Any

import pytest

from tests.helpers.processes import HEAVY, RARE, packages_imported, run_code
from tests.helpers.project import ROOT
from tests.helpers.source import ROWS, Source, rank

SOURCE = Source(ROOT)
TRAINING_LIBRARIES = {"torch", "lightning", "torchvision", "torchmetrics", "zuko"}
FIGURES_AND_REPORTS = [name for name in SOURCE.modules if name.startswith(("src.figures", "src.report"))]
FOR_WANDB = (("src.reporting.conclude", "src.run.tracking"),)  # imported where a report goes to W&B, and there alone
STARTED = """
import gc, json, sys
from pathlib import Path
import hydra
from src import startup, train
with hydra.initialize_config_dir(train.CONF, version_base="1.3"):
    cfg = hydra.compose("train", ["trainer.accelerator=cpu"])
startup.import_libraries(with_wandb=True)
import torch
from src import build
from src.training.trainer import make_trainer
module = build.module(cfg, [])
build.data(cfg, module.vae)
make_trainer(cfg, Path.cwd(), [])
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


def rooms() -> str:
    """A table of the rooms, from the highest to the lowest, with their files and lines."""
    lines = [f"{room:<14}{files:>6}{lines:>8}" for room, (files, lines) in SOURCE.sizes().items() if files]
    return "\n".join([f"{'room':<14}{'files':>6}{'lines':>8}", *lines])


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process is like that has built all of a default run but its loggers."""
    return run_code(STARTED, tmp_path_factory.mktemp("started"))


def test_every_file_is_in_a_room():
    assert {SOURCE.room(path) for path in SOURCE.trees} <= {room for row in ROWS for room in row}


def test_imports_between_rooms_go_down():
    up = {rooms: lines for rooms, lines in SOURCE.arrows.items() if rank(rooms[1]) > rank(rooms[0])}
    assert not up


def test_no_two_rooms_of_a_row_import_each_other():
    both = [rooms for rooms in SOURCE.arrows if rooms[::-1] in SOURCE.arrows and rank(rooms[0]) == rank(rooms[1])]
    assert not both


def test_src_imports_no_callback():
    assert not [rooms for rooms in SOURCE.arrows if rooms[1] == "callbacks"]


@pytest.mark.parametrize("module", FIGURES_AND_REPORTS)
def test_figures_and_reports_reach_no_training_library(module):
    assert not SOURCE.libraries_reached(module, without=FOR_WANDB).keys() & TRAINING_LIBRARIES


def test_what_is_imported_for_wandb_is_imported_inside_a_function():
    for importer, imported in FOR_WANDB:
        lines = [each for each in SOURCE.imports(SOURCE.modules[importer]) if each.module == imported]
        assert lines
        assert all(each.lazy for each in lines)


def test_figures_and_reports_load_no_training_library(tmp_path):
    """In a process of its own, so that what other libraries import is seen as well."""
    code = f"import json, sys, {', '.join(FIGURES_AND_REPORTS)}\nprint(json.dumps(list(sys.modules)))"
    assert not {name.split(".")[0] for name in run_code(code, tmp_path)} & TRAINING_LIBRARIES


def test_the_models_need_torch_alone():
    imports = [each for path in SOURCE.trees if SOURCE.room(path) == "models" for each in SOURCE.imports(path)]
    libraries = {each.module.split(".")[0] for each in imports} - set(sys.stdlib_module_names)
    assert libraries <= {"src", "torch", "zuko", "annotated_types"}  # zuko: flows; annotated_types: ranges of options


def test_one_file_makes_objects_of_a_configuration():
    makers = [path for path in SOURCE.trees if any(each.module == "hydra.utils" for each in SOURCE.imports(path))]
    assert [SOURCE.name(path) for path in makers] == ["src/config/classes.py"]


@pytest.mark.parametrize("path", SOURCE.trees, ids=SOURCE.name)
def test_what_few_runs_need_is_imported_where_it_is_needed(path):
    imports = [each for each in SOURCE.imports(path) if not each.lazy and not each.typing]
    assert not {each.module.split(".")[0] for each in imports} & RARE


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["prior", "--help"],
        ["--completion", "bash"],
        ["--cfg", "job"],
        ["foo=1"],
        ["model=transformer"],
        ["latent_dim=0"],
    ],
    ids=" ".join,
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
    assert not {"src.figures.page", "src.figures.embedding"} & set(started["modules"])


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
