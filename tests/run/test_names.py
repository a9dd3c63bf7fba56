"""The names of runs and numbers in the stores of all loggers."""

from types import SimpleNamespace

import pytest

from src.run import guard, loggers, mlflow
from src.run.status import State
from src.support.folders import RunFolder
from tests.helpers import stores
from tests.helpers.runs import wandb_records


def test_a_run_has_the_name_that_the_user_gave_it(composed, user_cache, tmp_path):
    """TensorBoard has that of the folder, which is outputs/runs/mine."""
    places = [f"logger.{name}.dir={user_cache}/{name}" for name in ("mlflow", "trackio")]
    options = ["logger=[tensorboard,mlflow,trackio,wandb]", *places, f"logger.wandb.dir={tmp_path}"]
    cfg, folder = composed(*options, "run_name=mine", "data=npz", "data.path=x"), tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    _, *made = loggers.build_loggers(cfg, folder, None)
    for logger in made:
        logger.log_metrics({"val/elbo": 1.0, "images_seen": 32.0}, 1)
    guard.close(made, {}, State.FINISHED)
    client, run = stores.mlflow_client(user_cache / "mlflow"), RunFolder(folder)
    assert client.get_run(run.mlflow_id.read_text()).info.run_name == "mine"
    assert stores.trackio_names("vae-lab")[run.trackio_id.read_text().splitlines()[0]] == "mine"
    (record,) = wandb_records(tmp_path, "run")
    assert record["display_name"] == "mine"
    assert list(folder.glob("tensorboard/events*"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val/kl_per_dim/003", "val/kl_per_dim/003"),
        ("anomaly/-elbo/yours above 95 % of test", "anomaly/-elbo/yours above 95 _ of test"),
        ("anomaly//a", "anomaly/a"),
        ("../a", "a"),
        ("/" + "ä" * 300, "ä" * 250),
        ("a" * 249 + "/a", "a" * 249),
        ("", "_"),
    ],
)
def test_mlflow_gets_every_number_by_a_name_that_it_allows(name, expected):
    validation = pytest.importorskip("mlflow.utils.validation")
    assert mlflow.metric_name(name) == expected
    validation._validate_metric(expected, 1.0, 0, 0)  # raises
    got, client = [], SimpleNamespace(log_batch=lambda run_id, metrics, synchronous: got.extend(metrics))
    mlflow.Record(client, "1").log({name: 1.0}, 0)
    assert [each.key for each in got] == [expected]
