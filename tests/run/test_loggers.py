"""User-defined loggers, and the user's own names for W&B runs."""

import csv
import json

import pytest

from src.run import tracking
from src.support.errors import UserError
from tests.helpers.runs import inspect_wandb, rows, wandb_records

MINE = """
from lightning.pytorch.loggers import Logger

MADE = []


class Mine(Logger):
    version, name = 0, "mine"

    def __init__(self, words, depth=1):
        super().__init__()
        self.words, self.depth, self.rows, self.status = words, depth, [], []
        MADE.append(self)

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, metrics))

    def log_hyperparams(self, *args, **kwargs):
        pass

    def finalize(self, status):
        self.status.append(status)


class Foldered(Mine):
    def __init__(self, save_dir, depth=1):
        super().__init__(save_dir, depth)


class Missing(Mine):
    def __init__(self):
        raise ModuleNotFoundError("Neither `tensorboard` nor `tensorboardX` is available.\\nInstall one.")
"""


@pytest.fixture(autouse=True)
def ask_again(monkeypatch):
    tracking.resolve_mode.cache_clear()
    for name in ("WANDB_NAME", "WANDB_RUN_GROUP", "WANDB_ENTITY", "WANDB_TAGS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of user-defined loggers, importable as `mine_loggers`."""
    (tmp_path / "mine_loggers.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    import mine_loggers

    mine_loggers.MADE.clear()
    return mine_loggers


def test_a_user_defined_logger_gets_its_options_and_all_metrics(run, mine):
    folder = run("+logger.mine._target_=mine_loggers.Mine", "+logger.mine.words=[a,b]", "+logger.mine.depth=3")
    (made,) = mine.MADE
    assert (made.words, made.depth) == (["a", "b"], 3)
    epochs = [numbers for _, numbers in made.rows if "epoch" in numbers]
    assert [numbers["val/elbo"] for numbers in epochs] == [float(row["val/elbo"]) for row in rows(folder)]
    assert made.rows[-1][1]["test/elbo"] == json.loads((folder / "metrics.json").read_text())["test/elbo"]
    assert made.status[-1] == "success"


def test_a_logger_that_requires_a_folder_gets_that_of_the_run(run, mine):
    folder = run("+logger.mine._target_=mine_loggers.Foldered")
    run("+logger.mine._target_=mine_loggers.Foldered", "+logger.mine.save_dir=there", folder="other")
    assert [made.words for made in mine.MADE] == [str(folder), "there"]


def test_lightnings_own_logger_writes_the_same_table(run, tmp_path):
    folder = run("+logger.table._target_=lightning.pytorch.loggers.CSVLogger", "+logger.table.name=mine")
    with (folder / "mine" / "version_0" / "metrics.csv").open() as file:
        theirs = [row for row in csv.DictReader(file) if row["epoch"]]
    ours = rows(folder)
    assert [row["val/elbo"] for row in theirs] == [row["val/elbo"] for row in ours]
    assert len(ours) == 3


def test_every_logger_is_closed_after_a_failure(run, mine):
    with pytest.raises(UserError, match="diverged"):
        run(
            "+logger.mine._target_=mine_loggers.Mine", "+logger.mine.words=a", "optimizer.lr=1e9", "likelihood=gaussian"
        )
    assert mine.MADE[0].status[-1] == "failed"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["+logger.mine._target_=mine_loggers.Missing"], "logger.mine: .*Neither `tensorboard` nor"),
        (["+logger.mine._target_=mine_loggers.Mine"], "logger.mine: .*missing 1 required positional argument: 'words'"),
        (
            ["+logger.mine._target_=mine_loggers.Mine", "+logger.mine.word=1"],
            "no option logger.mine.word; did you mean",
        ),
        (["+logger.mine.words=a"], "logger.mine must name a class: logger.mine._target_=..."),
        (["+logger.mine=3"], "logger.mine must name a class"),
        (["+logger.mine._target_=pathlib.Path"], "logger.mine: pathlib.Path makes a PosixPath, and must make a Logger"),
        (["logger=wandb", "+logger.wandb.nmae=x"], "no option logger.wandb.nmae; did you mean logger.wandb.name"),
        (["logger=wandb", "logger.wandb.tags=a"], "logger.wandb.tags must be a list, each element text or null, got a"),
        (["logger=wandb", "logger.wandb.tags=['']"], "logger.wandb: run_tags .*between 1 and 64"),
        (["logger=wandb", "logger.wandb.project=a/b"], "logger.wandb: Invalid project name"),
    ],
)
def test_anything_but_a_logger_is_refused_in_one_line(run, mine, options, message):
    with pytest.raises(UserError, match=message) as refusal:
        run(*options)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_logger_that_is_switched_off(run):
    assert (run("logger=wandb", "logger.wandb=null") / "metrics.json").is_file()


def test_the_users_names_win_over_the_title_in_wandb(run, tmp_path):
    given = ["name=mine", "group=ours", "tags=[a,b]", "notes=why", "job_type=try", "entity=team"]
    run("logger=wandb", f"logger.wandb.dir={tmp_path}", *(f"+logger.wandb.{word}" for word in given))
    found = json.loads(inspect_wandb(tmp_path, "--summary"))
    assert found["name"] == "mine"
    (record,) = wandb_records(tmp_path, "run")
    assert (record["run_group"], record["tags"], record["notes"]) == ("ours", ["a", "b"], "why")
    assert (record["job_type"], record["entity"]) == ("try", "team")


def test_wandbs_environment_wins_over_the_title(run, tmp_path, monkeypatch):
    for name, value in {"NAME": "mine", "RUN_GROUP": "ours", "PROJECT": "other", "DIR": str(tmp_path / "w")}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    (tmp_path / "w").mkdir()
    run("logger=wandb")
    found = json.loads(inspect_wandb(tmp_path / "w", "--summary"))
    assert (found["name"], found["project"]) == ("mine", "other")
    (record,) = wandb_records(tmp_path / "w", "run")
    assert record["run_group"] == "ours"
