"""W&B without an account: never a prompt, the same numbers, separate runs."""

import json
import subprocess
import sys

import pytest

from src.run import tracking
from src.support.errors import UserError
from tests.helpers.project import ROOT
from tests.helpers.runs import inspect_wandb, rows, wandb_records


@pytest.fixture(autouse=True)
def ask_again():
    tracking.resolve_mode.cache_clear()


@pytest.mark.parametrize(("answer", "mode"), [(True, "online"), (False, "offline")])
def test_auto_follows_the_login(monkeypatch, answer, mode):
    import wandb

    monkeypatch.delenv("WANDB_MODE")
    asked = []
    monkeypatch.setattr(wandb, "login", lambda prompt: asked.append(prompt) or answer)
    assert tracking.resolve_mode("auto") == tracking.resolve_mode("auto") == mode
    assert asked == [False]  # once, and never with a prompt


@pytest.mark.parametrize("mode", ["auto", "online"])
def test_a_run_is_recorded_offline_when_the_key_is_refused(monkeypatch, caplog, mode):
    import wandb

    def refuse(prompt):
        raise wandb.errors.AuthenticationError("bad key")

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr(wandb, "login", refuse)
    assert tracking.resolve_mode(mode) == "offline"
    assert "bad key): the run is recorded offline" in caplog.text


def test_auto_obeys_the_environment(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert tracking.resolve_mode("auto") == "disabled"
    monkeypatch.setenv("WANDB_MODE", "bogus")
    tracking.resolve_mode.cache_clear()
    with pytest.raises(UserError, match="WANDB_MODE must be one of"):
        tracking.resolve_mode("auto")


def test_online_without_a_key_is_refused(monkeypatch):
    import wandb

    monkeypatch.setattr(wandb, "login", lambda prompt: False)
    with pytest.raises(UserError, match="run `wandb login`, or use mode offline"):
        tracking.resolve_mode("online")


@pytest.mark.parametrize("mode", ["auto", "online"])
def test_a_network_lost_between_login_and_start_costs_no_run(monkeypatch, tmp_path, caplog, mode):
    import wandb

    begin = wandb.init

    def lost(mode, **options):
        if mode == "online":
            raise wandb.errors.CommError("no route")
        return begin(mode=mode, **options)

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr(wandb, "login", lambda prompt: True)
    monkeypatch.setattr(wandb, "init", lost)
    given = {"project": "p", "dir": str(tmp_path), "name": "n", "group": None, "options": {}}
    logger = tracking.wandb_logger(mode=mode, **given)
    assert "no route): the run is recorded offline" in caplog.text
    assert logger.experiment.settings.mode == "offline"
    logger.experiment.finish()


def test_an_unknown_mode_is_refused():
    with pytest.raises(UserError, match="auto, online, offline, disabled"):
        tracking.resolve_mode("sometimes")


def test_without_a_key_nothing_is_asked(tmp_path):
    """A real process, no key, no terminal, no network needed."""
    code = "from src.run import tracking; print(tracking.resolve_mode('auto'))"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert result.stdout.strip().splitlines()[-1] == "offline", result.stderr


def test_an_offline_run_holds_config_numbers_and_pictures(run, tmp_path):
    watched = ["callbacks=default", "callbacks.recorder.images=40", "~callbacks.progress"]
    folder = run("logger=wandb", f"logger.wandb.dir={tmp_path}", *watched, "beta=2", "latent_dim=2")
    found = json.loads(inspect_wandb(tmp_path, "--summary"))
    assert (found["state"], found["exit_code"], found["project"]) == ("finished", 0, "vae-lab")
    assert found["name"] == "mlp d=2 beta=2.0 on blobs"
    assert found["config"]["beta"] == 2
    assert found["config"]["objective"]["_target_"] == "src.training.objectives.ELBO"
    metrics = json.loads((folder / "metrics.json").read_text())
    for name in ("epoch", "images_seen", "train/elbo", "val/elbo", "val/loss", "test/elbo", "test/recon", "test/kl"):
        assert found["summary"][name] == metrics[name]  # of the best checkpoint

    for picture in ("samples", "reconstructions", "latent", "loss", "kl_per_dim"):
        assert found["summary"][f"figures/{picture}"]["_type"] == "image-file"
    for film in ("samples.gif", "reconstructions.gif", "latent.gif"):
        assert found["summary"][f"figures/{film}"]["path"].endswith(".gif")

    history = [record["item"] for record in wandb_records(tmp_path, "history") if "train/elbo" in record["item"]]
    for logged, row in zip(history, rows(folder), strict=True):
        for name, value in row.items():
            if value and name != "step":
                assert logged[name] == pytest.approx(float(value)), name
    axes = {record.get("glob_name"): record.get("step_metric") for record in wandb_records(tmp_path, "metric")}
    assert axes["*"] == "images_seen"


def test_a_page_is_recorded_as_one(tmp_path):
    page = tmp_path / "explorer.html"
    page.write_text("<!DOCTYPE html><title>mine</title>")
    (recorded,) = tracking.media([page, tmp_path / "metrics.json"]).values()
    assert recorded.html == page.read_text()


def test_a_damaged_id_costs_the_record_of_before_and_not_the_run(run, resume, tmp_path):
    folder = run("logger=wandb", f"logger.wandb.dir={tmp_path / 'a'}")
    (folder / ".wandb_id").write_text("../../x")
    resume(folder, "trainer.max_epochs=3", f"logger.wandb.dir={tmp_path / 'b'}")
    assert json.loads(inspect_wandb(tmp_path / "b", "--summary"))["exit_code"] == 0


def test_a_failed_run_is_marked_and_does_not_swallow_the_next(run, tmp_path):
    with pytest.raises(UserError, match="diverged"):
        run("logger=wandb", f"logger.wandb.dir={tmp_path / 'a'}", "likelihood=gaussian", "optimizer.lr=1e9")
    run("logger=wandb", f"logger.wandb.dir={tmp_path / 'b'}", folder="second")
    assert json.loads(inspect_wandb(tmp_path / "a", "--summary"))["exit_code"] == 1
    assert json.loads(inspect_wandb(tmp_path / "b", "--summary"))["exit_code"] == 0
