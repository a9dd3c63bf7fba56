"""Arguments of Lightning's Trainer: each works, or is refused by its name before anything is trained."""

import inspect
import re

import numpy as np
import pytest
from lightning.pytorch import Trainer

from src.config import trainer_options
from src.config.options import check_run
from src.support.errors import UserError
from tests.helpers.processes import HEAVY, packages_imported
from tests.helpers.runs import identical, rows, weights

REFUSED = {
    "val_check_interval": ["0.5", "1", "10"],
    "check_val_every_n_epoch": ["2", "0"],
    "fast_dev_run": ["true", "3"],
    "limit_val_batches": ["0", "0.5", "1"],
    "limit_test_batches": ["0", "0.0", "2"],
    "limit_predict_batches": ["2"],
    "limit_train_batches": ["0", "0.0", "-1", "1.5", "true", "few"],
    "overfit_batches": ["1", "0.1"],
    "max_steps": ["3", "0"],
    "min_steps": ["3"],
    "min_epochs": ["0", "1000", "1.5"],
    "max_epochs": ["0", "-3", "-1", "2.5", "null", "many"],
    "max_time": ["soon", "5", "{years:1}", "{}", "00:00", "00:00:00:00"],
    "accumulate_grad_batches": ["0", "-1", "1.5"],
    "gradient_clip_val": ["-1", "nan", "high"],
    "gradient_clip_algorithm": ["norm", "spectral"],
    "num_sanity_val_steps": ["0", "2"],
    "default_root_dir": ["elsewhere"],
    "logger": ["true", "false"],
    "callbacks": ["[]"],
    "enable_progress_bar": ["true", "false"],
    "enable_checkpointing": ["false"],
    "plugins": ["[]"],
    "profiler": ["guess"],
    "deterministic": ["sometimes"],
    "barebones": ["true"],
    "reload_dataloaders_every_n_epochs": ["-1"],
    "use_distributed_sampler": ["true"],
    "inference_mode": ["2"],
    "detect_anomaly": ["maybe"],
    "precision": ["7", "bf16-true"],
    "strategy": ["fsdp", "hope"],
    "num_nodes": ["0"],
    "log_every_n_steps": ["-1"],
    "enable_autolog_hparams": ["false"],
    "model_registry": ["mine"],
    "ema": ["1", "0", "high", "nan"],
    "patience": ["0", "-1", "1.5", "true", "soon"],
    "foo": ["1"],
}
WORKS = [
    "accumulate_grad_batches=2 max_time={minutes:10}",
    "limit_train_batches=0.5 reload_dataloaders_every_n_epochs=1 inference_mode=false deterministic=warn",
    "limit_train_batches=3 detect_anomaly=true gradient_clip_val=1 gradient_clip_algorithm=value",
    "precision=64-true min_epochs=1 log_every_n_steps=0 max_time=00:00:10:00",
]
TINY = ["model.encoder.hidden=[8]", "model.decoder.hidden=[8]"]
NEUTRAL = [
    "fast_dev_run=false",
    "val_check_interval=1.0",
    "check_val_every_n_epoch=1",
    "limit_val_batches=1.0",
    "limit_test_batches=null",
    "overfit_batches=0",
    "max_steps=-1",
    "min_steps=null",
    "barebones=false",
    "enable_checkpointing=true",
]


def test_every_argument_of_lightnings_trainer_is_known():
    ours = trainer_options.Trainer.__annotations__
    assert {*trainer_options.SET, *trainer_options.FIXED, *ours, "max_time"} - {"ema", "patience"} == set(
        inspect.signature(Trainer).parameters
    )


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_honoured_is_refused_by_name(composed, name):
    for value in REFUSED[name]:
        with pytest.raises(UserError, match=re.escape(f"trainer.{name}")) as refusal:
            check_run(composed(f"++trainer.{name}={value}"))
        assert len(str(refusal.value).splitlines()) == 1


def test_no_trainer_is_refused(composed):
    with pytest.raises(UserError, match="trainer must be given"):
        check_run(composed("~trainer"))
    with pytest.raises(UserError, match=r"trainer.max_epochs must be given"):
        check_run(composed("~trainer.max_epochs"))


def test_a_refusal_comes_before_anything_heavy_is_imported(tmp_path):
    loaded = packages_imported("train", tmp_path, "+trainer.fast_dev_run=true")
    assert "hydra" in loaded
    assert not loaded & HEAVY
    assert not list(tmp_path.glob("outputs"))


@pytest.mark.parametrize("options", WORKS)
def test_what_is_accepted_works(run, options):
    given = [f"++trainer.{option}" for option in options.split()]
    table = rows(run(*given, "trainer.max_epochs=1", *TINY))
    assert [float(row["epoch"]) for row in table] == [0, 1]
    assert np.isfinite([float(row["val/elbo"]) for row in table]).all()
    batches = {"limit_train_batches=0.5": 5, "limit_train_batches=3": 3}.get(options.split()[0], 10)
    assert float(table[-1]["images_seen"]) == 32 * batches
    assert float(table[-1]["step"]) == (batches // 2 if options.startswith("accumulate") else batches)


def test_values_that_change_nothing_are_accepted(run):
    same = [f"++trainer.{option}" for option in NEUTRAL]
    short = ["trainer.max_epochs=1", *TINY]
    assert identical(weights(run(*short, folder="plain")), weights(run(*short, *same, folder="same")))


def test_a_time_limit_ends_a_run_with_a_whole_epoch(run, resume):
    folder = run("+trainer.max_time={seconds:0.01}", "trainer.max_epochs=50", *TINY)
    table = rows(folder)
    assert [(float(row["epoch"]), float(row["images_seen"])) for row in table] == [(0, 0), (1, 320)]
    assert (folder / "metrics.json").is_file()
    resume(folder, "++trainer.max_time={hours:1}", "trainer.max_epochs=2")
    assert [float(row["epoch"]) for row in rows(folder)] == [0, 1, 2]


def test_a_share_that_is_less_than_a_batch_is_one_line(run):
    with pytest.raises(UserError, match="limit_train_batches"):
        run("+trainer.limit_train_batches=0.001")


def test_what_the_machine_has_not_is_one_line(run):
    with pytest.raises(UserError, match=r"^trainer\.accelerator=mps, but"):
        run("trainer.accelerator=mps")


@pytest.mark.parametrize("group", ["logger", "callbacks"])
def test_none_of_a_group_is_none(run, group):
    assert (run(f"~{group}") / "metrics.json").is_file()


def test_what_is_no_callback_is_one_line(run):
    with pytest.raises(UserError, match=r"callbacks.mine must name a class"):
        run("+callbacks.mine.images=3")
    with pytest.raises(UserError, match=r"^callbacks.mine"):
        run("+callbacks.mine=3")
