"""TensorBoard, MLflow and Trackio: what their own readers find there, and that it is the same in all."""

import json
import os
import shutil
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from src.config import packages
from src.config.options import check_run
from src.run import loggers
from src.run.leftovers import forget
from src.run.loggers import make_logger
from src.run.status import State
from src.run.stores import About, hyperparameters, is_number
from src.support.errors import UserError
from src.support.folders import RunFolder
from tests.helpers import stores
from tests.helpers.runs import rows, train_run

TITLE = "mlp d=2 beta=1.0 on blobs"


class Recorded(NamedTuple):
    """A trained run, and the folder that holds what its loggers have of it."""

    run: Path
    home: Path

    @property
    def mlflow_id(self) -> str:
        """The id of the run in MLflow."""
        return RunFolder(self.run).mlflow_id.read_text()

    @property
    def trackio_id(self) -> str:
        """The id of the run in Trackio."""
        return RunFolder(self.run).trackio_id.read_text().splitlines()[0]

    def curves(self) -> dict[str, stores.Curves]:
        """The numbers in each store."""
        return {
            "tensorboard": stores.in_tensorboard(self.run),
            "mlflow": stores.in_mlflow(self.home / "mlflow", self.mlflow_id),
            "trackio": stores.in_trackio("vae-lab", self.trackio_id),
        }


@pytest.fixture(scope="module")
def home(user_cache: Path) -> Path:
    """The folder of the databases; Trackio has one in the life of a process."""
    return user_cache


@pytest.fixture(scope="module")
def all_loggers(home: Path) -> list[str]:
    """The options for all three."""
    folders = [f"logger.{name}.dir={home}/{name}" for name in ("mlflow", "trackio")]
    return ["logger=[tensorboard,mlflow,trackio]", *folders]


def train(small: list[str], options: list[str], folder: Path) -> Path:
    """Train with some options of `small` replaced."""
    names = {each.partition("=")[0] for each in options}
    return train_run([*(each for each in small if each.partition("=")[0] not in names), *options], folder)


@pytest.fixture(scope="module")
def recorded(small: list[str], home: Path, all_loggers: list[str]) -> Recorded:
    """A run of two epochs, with figures, recorded by all loggers."""
    watched = ["callbacks=default", "callbacks.recorder.images=40", "~callbacks.progress", "latent_dim=2"]
    several = ["logger=[wandb,tensorboard,mlflow,trackio]", *all_loggers[1:], f"logger.wandb.dir={home}/stores"]
    run = train(small, [*several, *watched], home / "run")
    return Recorded(run, home)


def expected(run: Path) -> stores.Curves:
    """The numbers of each epoch in metrics.csv, by the images seen."""
    curves: stores.Curves = {}
    for row in rows(run):
        for name in [name for name, text in row.items() if text and name != "step"]:
            curves.setdefault(name, []).append((int(float(row["images_seen"])), float(row[name])))
    return curves


def test_all_loggers_have_the_numbers_of_metrics_csv(recorded):
    truth, metrics = expected(recorded.run), json.loads((recorded.run / "metrics.json").read_text())
    end = truth["epoch"][-1][0]
    for name in ("val/elbo", "val/code_gain", "test/kl", "epoch", "parameters"):
        truth[f"best/{name}"] = [(end, metrics[name])]
    truth["test/elbo"] = [(end, metrics["test/elbo"])]
    found = recorded.curves() | {"wandb": stores.in_wandb(recorded.home / "stores")}
    assert found["mlflow"].keys() == found["tensorboard"].keys() == found["trackio"].keys() > truth.keys()
    for name, curve in truth.items():
        assert found["mlflow"][name] == found["trackio"][name] == curve, name
        assert found["tensorboard"][name] == [(step, np.float32(value)) for step, value in curve], name
        if not name.startswith(("best/", "test/")):
            assert found["wandb"][name] == [pytest.approx(each) for each in curve], name


def test_all_loggers_have_the_figures(recorded):
    figures = recorded.run / "figures"
    pages = {"samples", "reconstructions", "latent", "loss", "kl_per_dim"}
    films = {f"{name}.gif" for name in ("samples", "reconstructions", "latent")}
    seen = int(expected(recorded.run)["epoch"][-1][0])

    events = stores.events(recorded.run)
    assert {name.removeprefix("figures/") for name in events.Tags()["images"]} == pages | films
    for name in pages | films:
        file = figures / (name if name in films else f"{name}.png")
        last = events.Images(f"figures/{name}")[-1]
        assert (last.step, last.encoded_image_string) == (seen, file.read_bytes())

    client = stores.mlflow_client(recorded.home / "mlflow")
    images = {each.path.split("+")[0] for each in client.list_artifacts(recorded.mlflow_id, "images")}
    assert images == {f"images/figures~{name}" for name in pages}
    assert {each.path for each in client.list_artifacts(recorded.mlflow_id, "figures")} == {
        f"figures/{name}" for name in films | {f"{name}.png" for name in pages}
    }
    assert (recorded.home / "mlflow" / "artifacts").is_dir()

    media = {}
    for row in stores.trackio_rows("vae-lab", recorded.trackio_id):
        media |= {name: (row["step"], value["file_path"]) for name, value in row.items() if isinstance(value, dict)}
    assert media.keys() == {f"figures/{name}" for name in pages | films}
    step, file = media["figures/latent.gif"]
    assert step == seen
    assert (recorded.home / "trackio" / "media" / file).read_bytes() == (figures / "latent.gif").read_bytes()


def test_all_loggers_have_the_options(recorded):
    client = stores.mlflow_client(recorded.home / "mlflow")
    options = client.get_run(recorded.mlflow_id).data.params
    assert {options[name] for name in ("model", "objective", "latent_dim")} == {"mlp", "elbo", "2"}
    assert options["model.encoder.hidden"] == "[400,400,400]"
    assert not [name for name in options if name.startswith(("logger", "callbacks", "title"))]
    config = stores.trackio_config("vae-lab", recorded.trackio_id)
    assert stores.tensorboard_options(recorded.run) == {name: config[name] for name in config if name[0] != "_"}
    assert stores.tensorboard_options(recorded.run).keys() == options.keys()


def test_a_finished_run_is_marked(recorded):
    info = stores.mlflow_client(recorded.home / "mlflow").get_run(recorded.mlflow_id).info
    assert (info.status, info.run_name) == ("FINISHED", TITLE)
    assert stores.tensorboard_state(recorded.run) == "finished"
    assert stores.trackio_alerts("vae-lab", recorded.trackio_id) == []


def about(folder: Path) -> About:
    """What loggers are told about a run of no particular options."""
    folder.mkdir(exist_ok=True)
    return About(RunFolder(folder), "one", "a sweep", {"beta": 4})


@pytest.mark.parametrize(
    ("state", "status"), [(State.FAILED, "FAILED"), (State.DIVERGED, "FAILED"), (State.INTERRUPTED, "KILLED")]
)
def test_a_run_that_has_not_finished_is_marked(composed, all_loggers, home, tmp_path, state, status):
    for name, node in composed(*all_loggers).logger.items():
        logger = make_logger(node, name, about(tmp_path), {})
        logger.log_metrics({"val/elbo": 1.0, "images_seen": 32.0}, 1)
        logger.finish({}, state)
    made = Recorded(tmp_path, home)
    run = stores.mlflow_client(home / "mlflow").get_run(made.mlflow_id)
    assert (run.info.status, run.data.tags["state"], run.data.tags["sweep"]) == (status, state, "a sweep")
    assert stores.tensorboard_state(tmp_path) == state
    (alert,) = stores.trackio_alerts("vae-lab", made.trackio_id)
    assert alert["title"] == f"the run is {state}"
    assert stores.trackio_config("vae-lab", made.trackio_id)["_Group"] == "a sweep"


def test_a_run_that_goes_on_has_no_epoch_twice(small, all_loggers, home, resume, tmp_path, monkeypatch):
    """Also where it was killed between what it logged and its checkpoint."""
    monkeypatch.chdir(home)
    threads = set(threading.enumerate())
    run = train(small, all_loggers, tmp_path / "run")
    last, before = run / "checkpoints" / "last.ckpt", tmp_path / "before.ckpt"
    shutil.copy(last, before)
    made = Recorded(run, home)
    ids = made.mlflow_id, made.trackio_id
    resume(run, "trainer.max_epochs=4")
    assert len(made.curves()["mlflow"]["epoch"]) == 5
    shutil.copy(before, last)
    (run / "metrics.json").unlink()
    resume(run, "trainer.max_epochs=3", "optimizer.lr=0.001")
    truth = expected(run)
    assert len(truth["epoch"]) == 4
    for store, curves in made.curves().items():
        for name, curve in truth.items():
            exact = np.float32 if store == "tensorboard" else float
            assert curves[name] == [(step, exact(value)) for step, value in curve], (store, name)
        assert len(curves["test/elbo"]) == len(curves["best/test/elbo"]) == 1, store
    assert (made.mlflow_id, made.trackio_id) == ids
    data = stores.mlflow_client(home / "mlflow").get_run(ids[0]).data
    assert (data.params["trainer.max_epochs"], data.tags["resumed with trainer.max_epochs"]) == ("2", "3")
    assert data.tags["resumed with optimizer.lr"] == "0.001"
    assert set(threading.enumerate()) <= threads


def test_a_task_is_added_to_all(recorded, applied, monkeypatch):
    monkeypatch.chdir(recorded.home)
    numbers, _ = applied(recorded.run, "task=sample", "task.count=4", "task.samplers=[prior]", "task.compare=false")
    seen = int(expected(recorded.run)["epoch"][-1][0])
    for store, curves in recorded.curves().items():
        added = {name for name in curves if name.startswith("sample/")}
        assert added == {f"sample/{name}" for name, value in numbers.items() if is_number(value)}, store
        assert {step for name in added for step, _ in curves[name]} <= {seen}
    assert [name for name in stores.events(recorded.run).Tags()["images"] if name.startswith("sample/")]
    client = stores.mlflow_client(recorded.home / "mlflow")
    assert client.get_run(recorded.mlflow_id).info.status == "FINISHED"
    assert len(client.get_run(recorded.mlflow_id).data.params) > 20
    assert stores.trackio_config("vae-lab", recorded.trackio_id)["latent_dim"] == 2


def test_a_task_of_a_run_whose_records_are_elsewhere_adds_nothing(recorded, composed, tmp_path, caplog):
    config = composed("logger=mlflow", f"logger.mlflow.dir={tmp_path}/mlflow")
    loggers.add_task(config, recorded.run, "sample", {"a": 1.0}, recorded.run / "figures", 2)
    (line,) = [each.getMessage() for each in caplog.records if "nothing was added" in each.getMessage()]
    assert line.startswith("logger.mlflow: ")
    assert not (tmp_path / "mlflow").exists()


def test_what_is_left_of_a_run_can_be_forgotten(composed, all_loggers, home, tmp_path):
    cfg = composed(*all_loggers)
    for name in ("mlflow", "trackio"):
        make_logger(cfg.logger[name], name, about(tmp_path), {}).log_metrics({"val/elbo": 1.0}, 1)
    made = Recorded(tmp_path, home)
    forget(RunFolder(tmp_path), cfg)
    assert made.mlflow_id not in [each.info.run_id for each in stores.mlflow_runs(home / "mlflow")]
    assert stores.trackio_rows("vae-lab", made.trackio_id) == []


def test_a_row_of_another_logger_is_placed_by_its_step(composed, all_loggers, home, tmp_path):
    logger = make_logger(
        composed(*all_loggers).logger.trackio, "trackio", about(tmp_path)._replace(images_per_step=7), {}
    )
    logger.log_metrics({"lr-Adam": 0.1}, 3)
    logger.log_metrics({"images_seen": 640}, 10)
    logger.log_metrics({"lr-Adam": 0.2}, 12)
    found = stores.in_trackio("vae-lab", Recorded(tmp_path, home).trackio_id)
    assert found["lr-Adam"] == [(21, 0.1), (768, 0.2)]


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "trackio"])
def test_a_missing_package_is_named(composed, small, monkeypatch, name):
    monkeypatch.setattr(packages, "find_spec", lambda package: None if package == name else object())
    given = [each for each in small if not each.startswith("logger")]
    with pytest.raises(UserError) as refusal:
        check_run(composed(*given, f"logger=[csv,{name}]"))
    remedy = f"pip install -e '.[{name}]', or leave it out: logger.{name}=null"
    assert str(refusal.value) == f"logger={name} needs the package {name}: {remedy}"


def test_a_database_that_cannot_be_used_costs_a_warning(run, tmp_path, caplog):
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(b"no database" * 100)
    folder = run("logger=mlflow", f"logger.mlflow.dir={tmp_path}/mlflow")
    (line,) = [each.getMessage() for each in caplog.records if "logger.mlflow" in each.getMessage()]
    assert line.endswith("the run goes on without it")
    assert (folder / "metrics.json").is_file()


def test_trackio_has_one_folder_in_a_process(recorded, composed, tmp_path):
    node = composed("logger=trackio", f"logger.trackio.dir={tmp_path}").logger.trackio
    with pytest.raises(UserError, match="has imported trackio with"):
        make_logger(node, "trackio", about(tmp_path), {})
    assert Path(os.environ["TRACKIO_DIR"]) != tmp_path


def test_options_are_named_as_on_the_command_line(composed):
    from src.config.options import to_plain_dict

    options = hyperparameters(to_plain_dict(composed("prior=vamp", "data.exclude_labels=[4]")))
    assert (options["prior"], options["data"], options["data.exclude_labels"]) == ("vamp", "mnist5k", "[4]")
    assert not [name for name in options if "_target_" in name or "_partial_" in name]


def test_other_processes_of_a_run_have_no_store(composed, all_loggers, tmp_path, monkeypatch):
    monkeypatch.setattr(loggers.rank_zero_only, "rank", 1)
    for name, node in composed(*all_loggers).logger.items():
        assert loggers.build_logger(node, name, about(tmp_path), {}) is None
    assert not [each for each in tmp_path.iterdir() if each.name != "mlflow"]
