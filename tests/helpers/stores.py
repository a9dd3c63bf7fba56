"""What the stores of loggers hold, read by their own readers: the numbers by name, each a list of (step, value)."""

from collections import defaultdict
from pathlib import Path

from tests.helpers.runs import wandb_records

Curves = dict[str, list[tuple[int, float]]]


def events(run: Path):
    """TensorBoard's reader of a run's event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    return reader.Reload()


def in_tensorboard(run: Path) -> Curves:
    """The numbers in a run's event files."""
    reader = events(run)
    return {name: [(each.step, each.value) for each in reader.Scalars(name)] for name in reader.Tags()["scalars"]}


def mlflow_client(folder: Path):
    """MLflow's client of the database in a folder."""
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder}/mlflow.db")


def mlflow_runs(folder: Path) -> list:
    """All runs in a folder's database, that have not been deleted, the newest first."""
    client = mlflow_client(folder)
    return client.search_runs([each.experiment_id for each in client.search_experiments()])


def in_mlflow(folder: Path, run_id: str) -> Curves:
    """The numbers of an MLflow run."""
    client = mlflow_client(folder)
    histories = {name: client.get_metric_history(run_id, name) for name in client.get_run(run_id).data.metrics}
    return {name: [(each.step, each.value) for each in history] for name, history in histories.items()}


def trackio_rows(project: str, run_id: str) -> list[dict]:
    """The rows of a Trackio run."""
    from trackio.sqlite_storage import SQLiteStorage

    return SQLiteStorage.get_logs(project, run="", run_id=run_id)


def in_trackio(project: str, run_id: str) -> Curves:
    """The numbers of a Trackio run."""
    curves = defaultdict(list)
    for row in trackio_rows(project, run_id):
        for name in row.keys() - {"step", "timestamp"}:
            if isinstance(row[name], int | float):
                curves[name].append((row["step"], row[name]))
    return dict(curves)


def in_wandb(folder: Path) -> Curves:
    """The numbers of each epoch in the one offline W&B run in a folder."""
    curves = defaultdict(list)
    for record in wandb_records(folder, "history"):
        row = record["item"]
        for name in row.keys() - {"_step", "_runtime", "_timestamp", "trainer/global_step"}:
            if "epoch" in row and isinstance(row[name], int | float):
                curves[name].append((int(row["images_seen"]), row[name]))
    return dict(curves)


def tensorboard_options(run: Path) -> dict[str, str | float]:
    """The options on the page HParams."""
    from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

    content = events(run).SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = parse_session_start_info_plugin_data(content).hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}


def tensorboard_state(run: Path) -> str:
    """The state on the page Text."""
    from tensorboard.util.tensor_util import make_ndarray

    return make_ndarray(events(run).Tensors("state/text_summary")[-1].tensor_proto).item().decode()


def trackio_config(project: str, run_id: str) -> dict:
    """The options of a Trackio run."""
    from trackio.sqlite_storage import SQLiteStorage

    return SQLiteStorage.get_run_config(project, run="", run_id=run_id)


def trackio_names(project: str) -> dict[str, str]:
    """The names of all Trackio runs, by their ids."""
    from trackio.sqlite_storage import SQLiteStorage

    return {each["id"]: each["name"] for each in SQLiteStorage.get_run_records(project)}


def trackio_alerts(project: str, run_id: str) -> list[dict]:
    """The alerts of a Trackio run."""
    from trackio.sqlite_storage import SQLiteStorage

    return SQLiteStorage.get_alerts(project, run_id=run_id)
