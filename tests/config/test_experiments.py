"""The tables in docs/models.md and docs/results.md say what conf/experiment/ does."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from src.config.options import CONF
from tests.helpers.project import PAGES, ROOT

ROW = re.compile(r"^\| ([^|]+) \| (?:`([^`]*)`|\(the default\)) \| `(\w+)` \|$", re.MULTILINE)
ROWS = ROW.findall(PAGES["models.md"] + PAGES["results.md"])


def test_the_tables_hold_every_experiment():
    assert sorted(name for *_, name in ROWS) == sorted(path.stem for path in Path(CONF, "experiment").glob("*.yaml"))
    assert len(ROWS) >= 20


@pytest.mark.parametrize(("model", "options", "name"), ROWS, ids=[name for *_, name in ROWS])
def test_a_row_is_its_experiment(composed, model, options, name):
    by_options, by_name = composed(*options.split()), composed(f"experiment={name}")
    assert OmegaConf.to_container(by_options, resolve=True) == OmegaConf.to_container(by_name, resolve=True)
    assert model in (ROOT / "conf" / "experiment" / f"{name}.yaml").read_text().splitlines()[1]


def test_options_beside_an_experiment_count_more(composed):
    cfg = composed("experiment=beta_tc", "beta=2", "objective.samples=3")
    assert (cfg.objective.beta, cfg.objective.samples) == (2, 3)
