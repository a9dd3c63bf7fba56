"""Options of the tasks: a value of a wrong kind is an error of one line, and options without effect are not checked."""

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from src import build
from src.config.options import CONF
from src.config.schema import check_parts
from src.support.errors import UserError, is_memory_error
from src.support.ranges import MAX_COUNT

COUNTS = [None, -1, 0, 1.5, "many", [1, 2], True, MAX_COUNT + 1]
CHOICES = [None, -1, 1.5, True, [["a"]], [{"a": 1}], ["nope"], [], "nope"]
FLAGS = [None, 1, "often", [True]]
PATHS = [-1, 1.5, True, ["A", "B"], [], {"a": 1}, "nowhere", "file", "empty"]
WRONG = {
    "compare": {
        "other": [None, "", *PATHS],
        "checkpoint": CHOICES,
        "split": CHOICES,
        "samples": COUNTS,
        "count": COUNTS,
    },
    "sample": {
        "count": COUNTS,
        "samplers": CHOICES,
        "temperature": [None, 0, -1, float("nan"), "warm", True, [1]],
        "compare": FLAGS,
        "files": FLAGS,
    },
    "interpolate": {
        "pairs": COUNTS,
        "images": [*CHOICES[1:], [[0, 0]], [[0, 1.5]]],
        "steps": COUNTS,
        "path": CHOICES,
        "input": PATHS,
    },
    "inpaint": {"mask": CHOICES, "images": COUNTS, "samples": COUNTS, "draws": COUNTS, "input": PATHS},
    "anomaly": {
        "against": CHOICES,
        "input": PATHS,
        "scores": CHOICES,
        "images": COUNTS,
        "normal": [None, 1.5, True, {"a": 1}],
        "quantile": [None, 0, 1, -0.5, 1.5, float("nan"), "most", True, [0.9]],
    },
    "synthesize": {"per_class": COUNTS, "judge": FLAGS, "sizes": [*CHOICES, [True], [1e9], [10**9]], "seeds": COUNTS},
    "figures": {"scale": [None, 0, 9, True, "big", [1]], "formats": CHOICES, "films": FLAGS},
    "traverse": {"image": [-1, 1.5, [1], True, "first"], "steps": COUNTS, "dimensions": COUNTS[1:], "input": PATHS},
    "diagnose": dict.fromkeys(("count", "samples", "steps", "simulations"), COUNTS),
    "evaluate": {
        "split": CHOICES,
        "samples": [each for each in COUNTS if each != 0],
        "images": COUNTS[1:],
        "tight_images": [each for each in COUNTS if each != 0],
        "precision": CHOICES,
        "sample_quality": FLAGS,
    },
}


@pytest.fixture(scope="module")
def opened(finished: Path) -> build.Run:
    """A run whose images are read once for all tests."""
    return build.open_run(finished)


@pytest.mark.parametrize(("task", "option"), [(task, option) for task in WRONG for option in WRONG[task]])
def test_a_value_of_a_wrong_kind_is_an_error_of_one_line(opened, tmp_path, task, option):
    (tmp_path / "file").write_text("hello")
    (tmp_path / "empty").mkdir()
    options: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(Path(CONF, "task", f"{task}.yaml")))
    for value in WRONG[task][option]:
        node = OmegaConf.create({"task": options | {option: value}})
        with pytest.raises(UserError) as refusal:
            check_parts(OmegaConf.to_container(node), node)
            build.task(node.task)(opened, tmp_path)
        assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("synthesize", ["judge=false", "per_class=2", "sizes=[1000000]"]),
        ("evaluate", ["samples=0", "images=20", "sample_quality=false", "tight_images=1000000"]),
        ("anomaly", ["scores=[recon]", "images=5", "against=noise", "invert=true"]),
        ("interpolate", ["images=[[0,1]]", "steps=3", "pairs=1000"]),
    ],
)
def test_options_without_effect_are_not_checked(applied, finished, task, options):
    numbers, folder = applied(finished, f"task={task}", *(f"task.{option}" for option in options))
    assert set(json.loads(Path(folder, "metrics.json").read_text())) >= set(numbers)


def test_a_lack_of_memory_is_distinguished_from_other_errors():
    assert is_memory_error(MemoryError())
    assert is_memory_error(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    assert not is_memory_error(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
