"""study.journal of a search lost, damaged or another search's."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from src import search
from src.support.errors import UserError
from src.sweeps import study
from tests.helpers.sweeps import modification_times

FOLDER = Path("outputs/sweeps/first")
JOURNAL = FOLDER / "study.journal"


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory) -> Path:
    """A folder in which a search of three trials has ended."""
    folder = tmp_path_factory.mktemp("search")
    own = [word for word in small if not word.startswith(("latent_dim", "trainer.max_epochs"))]
    plan = ["beta=interval(0.5,8)", "startup=2", "warmup=0", "trainer.max_epochs=2", *own]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        draw_nothing(patch)
        search.search(["name=first", "trials=3", *plan])
    return folder


@pytest.fixture
def go_on(whole, tmp_path, monkeypatch) -> Callable[[], None]:
    """go_on() continues a copy of the search: python -m src.search name=first trials=3."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    draw_nothing(monkeypatch)
    return lambda: search.search(["name=first", "trials=3"])


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Let a search end without pictures and a report."""
    patch.setattr(search, "show", lambda *_: None)
    patch.setattr("src.reporting.conclude.conclude", lambda *_: None)


def results() -> list[tuple]:
    """All that the study knows of its trials."""
    trials = optuna.load_study(study_name="first", storage=study.storage(FOLDER)).get_trials()
    return [(each.number, each.state.name, each.params, each.values, each.intermediate_values) for each in trials]


def test_a_search_finds_its_trials_by_their_folders(go_on):
    before, files = results(), [(FOLDER / number / "config.yaml").stat().st_mtime_ns for number in "012"]
    for damage in (JOURNAL.unlink, lambda: JOURNAL.write_text("")):
        damage()
        go_on()
        assert results() == before
        assert [(FOLDER / number / "config.yaml").stat().st_mtime_ns for number in "012"] == files
    lines = JOURNAL.read_text().splitlines(keepends=True)
    for middle in ("\n", "\0\0\0\n", "[]\n", "null\n", '{"op_code": 99}\n', '{"op_code": 4}\n', lines[5][:10] + "\n"):
        JOURNAL.write_text("".join([*lines[:5], middle, *lines[6:]]))
        with pytest.raises(UserError, match=r"is damaged .*: delete study.journal") as refusal:
            study.storage(FOLDER)  # as go_on() does, after it has composed the plan
        assert "\n" not in str(refusal.value)
    renamed = [json.dumps(json.loads(line) | {"study_name": "other"}) + "\n" for line in lines[:1]]
    JOURNAL.write_text("".join([*renamed, *lines[1:]]))
    with pytest.raises(UserError, match="is that of the search 'other'"):
        go_on()
    JOURNAL.write_text("".join(lines[:-1]) + lines[-1][:7])  # cut short
    go_on()
    assert results() == before


def test_a_folder_with_another_training_is_no_trial(go_on):
    JOURNAL.unlink()
    config = FOLDER / "1" / "config.yaml"
    config.write_text(config.read_text().replace("seed: 0", "seed: 1"))
    before = modification_times(FOLDER / "1")
    with pytest.raises(UserError, match="first/1 holds another training than this trial's"):
        go_on()
    assert modification_times(FOLDER / "1") == before


def forge(line: dict, name: str, value: object) -> bool:
    """Set an entry of a line of a journal, or of the attributes of a trial in it; whether the line has it."""
    for content in (line, line.get("user_attr", {})):
        if name in content:
            content[name] = value
            return True
    return False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("param_value_internal", "{_target_:shutil.copyfile,src:mine.py,dst:canary}"),
        ("param_value_internal", 1e9),
        ("param_name", "latent_dim"),
        ("words", ["beta=\u001b[31m1"]),
        ("words", ["prior._target_=mine.Prior"]),
        ("words", 7),
        ("warning", "\u001b[31m"),
        ("warning", ["a"]),
        ("values", ["text"]),
        ("intermediate_value", "text"),
    ],
)
def test_a_journal_decides_no_more_than_values_of_the_plan(name, value, go_on, tmp_path):
    lines = [json.loads(line) for line in JOURNAL.read_text().splitlines()]
    assert any(forge(line, name, value) for line in lines)
    JOURNAL.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UserError, match=r"delete study.journal") as refusal:
        go_on()
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "canary").exists()
    JOURNAL.unlink()
    go_on()  # the remedy
