"""A training that ends early: when, what it leaves, and what a resume of it does."""

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning.pytorch.strategies import SingleDeviceStrategy
from omegaconf import open_dict

from src.config.options import to_plain_dict
from src.run import status
from src.run.options import differences, repeats_or_follows
from src.support.errors import UserError
from src.sweeps.numbering import fingerprint, training_of
from src.training import schedules
from src.training.early_stopping import Patience
from tests.helpers.project import ROOT
from tests.helpers.runs import identical, rows, weights

STUCK = ["optimizer.lr=0", "lr_schedule=constant"]  # no epoch is better than the first
EARLY = ["trainer.patience=2", "trainer.max_epochs=9", *STUCK]


def epochs(folder: Path) -> list[float]:
    """The epochs in a run's metrics.csv."""
    return [float(row["epoch"]) for row in rows(folder)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (schedules.Constant(), 0),
        (schedules.Linear(5), 5),
        (schedules.Linear(2.5), 3),
        (schedules.Cosine(30, "steps"), 3),
        (schedules.Linear(100), 20),
        (schedules.Cyclic(20), 18),
        (schedules.Cyclic(8), 7),
        pytest.param(lambda epoch, step: min(1.0, step / 41), 5, id="one's own"),
    ],
    ids=str,
)
def test_the_end_of_a_schedule(schedule, expected):
    assert schedules.settling_epoch(schedule, epochs=20, steps=10) == expected


def test_the_end_of_a_schedule_in_a_training_of_any_length():
    assert schedules.settling_epoch(schedules.Linear(1000), epochs=10**7, steps=10**4) == 1000


def test_a_run_ends_when_nothing_improves_and_says_so(run, resume, caplog):
    caplog.set_level("INFO")
    folder = run(*EARLY)
    assert epochs(folder) == [0, 1, 2, 3]
    reason = status.read(folder)["reason"]
    assert reason.startswith("stopped after epoch 3: no lower validation loss since epoch 1 (")
    assert json.loads((folder / "metrics.json").read_text())["early_stop"] == reason
    assert status.read(folder)["state"] == "finished"
    assert caplog.messages.count(reason) == 1

    before, csv_before = weights(folder), (folder / "metrics.csv").read_bytes()
    resume(folder)
    assert identical(weights(folder), before)
    assert (folder / "metrics.csv").read_bytes() == csv_before
    assert status.read(folder)["reason"] == reason
    assert any("nothing is left to train" in line and reason in line for line in caplog.messages)

    resume(folder, "trainer.patience=3")
    assert epochs(folder) == [0, 1, 2, 3, 4]
    resume(folder, "trainer.patience=null", "trainer.max_epochs=6")
    assert epochs(folder) == [0, 1, 2, 3, 4, 5, 6]
    assert status.read(folder)["reason"] is None
    assert "early_stop" not in json.loads((folder / "metrics.json").read_text())


def test_epochs_count_from_the_end_of_the_schedule(run):
    assert epochs(run(*EARLY, "schedule=linear", "schedule.length=3"))[-1] == 5


def test_a_run_does_not_end_before_its_least_epochs():
    """Not at that epoch either, where the loss has been lower in the meantime."""
    patience, ended = Patience(2, min_epochs=5), []
    for epoch, loss in enumerate([1.0, 2.0, 2.0, 0.5, 0.6, 0.7]):
        trainer = SimpleNamespace(current_epoch=epoch, should_stop=False, strategy=SingleDeviceStrategy())
        patience.on_train_epoch_end(trainer, SimpleNamespace(numbers={"val/loss": loss}))
        ended.append(trainer.should_stop)
    assert ended == [False] * 5 + [True]

    resumed = Patience(2, min_epochs=7)
    resumed.load_state_dict(patience.state_dict())
    assert resumed.stopping_reason_message is None


def test_a_run_that_is_killed_ends_at_the_same_epoch(run, interrupt, resume, tmp_path):
    options = ["trainer.patience=1", "trainer.max_epochs=12", "optimizer.lr=0.02", "lr_schedule=constant"]
    whole = run(*options, folder="whole")
    last = int(epochs(whole)[-1])
    assert 2 < last < 12  # else nothing is tested
    interrupt(run, *options, at=last - 1, folder="part")
    part = resume(tmp_path / "part")
    assert epochs(part) == epochs(whole)
    assert identical(weights(part), weights(whole))
    assert status.read(part)["reason"] == status.read(whole)["reason"]


def test_a_schedule_that_never_ends_is_refused(run):
    with pytest.raises(UserError, match=r"trainer.patience=2 would never end this run.*give a shorter schedule.length"):
        run("trainer.patience=2", "schedule=linear", "schedule.length=9", "trainer.max_epochs=4")


def test_a_run_that_a_callback_of_lightning_has_ended_is_not_resumed(run, resume):
    stop = "+callbacks.stop._target_=lightning.pytorch.callbacks.EarlyStopping"
    folder = run(stop, "+callbacks.stop.monitor=val/loss", "+callbacks.stop.patience=2", "trainer.max_epochs=9", *STUCK)
    assert epochs(folder) == [0, 1, 2, 3]
    assert "did not improve" in status.read(folder)["reason"]
    resume(folder)
    assert epochs(folder) == [0, 1, 2, 3]


def test_patience_is_part_of_what_a_run_is(composed):
    """Runs of before the option was there are those without it."""
    plain, patient = (composed(*words) for words in ([], ["trainer.patience=5"]))
    assert fingerprint(plain) != fingerprint(patient)
    before = composed()
    with open_dict(before):
        del before.trainer["patience"]
    assert fingerprint(plain) == fingerprint(before)
    configs = [to_plain_dict(each) for each in (plain, patient, before)]
    assert training_of(configs[0]) == training_of(configs[2])
    assert differences(configs, repeats_or_follows) == {"trainer.patience": [None, 5, None]}


def test_a_run_of_before_the_option_can_be_given_it(resume, tmp_path):
    shutil.copytree(ROOT / "tests" / "fixtures" / "before_rooms", tmp_path, dirs_exist_ok=True)
    old = Path("outputs/runs/old")
    before = len(list(csv.DictReader((old / "metrics.csv").open())))
    resume(old, "trainer.max_epochs=30", "trainer.patience=1", "optimizer.lr=0", "lr_schedule=constant")
    assert len(list(csv.DictReader((old / "metrics.csv").open()))) == before + 2
