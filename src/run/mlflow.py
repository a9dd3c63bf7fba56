"""MLflow: one SQLite database for all runs, with their figures beside it, and no server."""

import getpass
import logging
import os
import posixpath
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from src.run import databases, record
from src.run.status import State
from src.run.stores import About, StoreLogger
from src.support.errors import UserError
from src.support.locks import lock

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)
KIND = {"mlflow.experimentKind": "custom_model_development"}  # otherwise MLflow's page looks for language models
MOST_NUMBERS, MOST_OPTIONS = 1000, 100  # that MLflow takes in one call
FORBIDDEN = re.compile(r"[^\w.\- :/]")  # characters that the name of a metric must not have
LONGEST_NAME = 250
BUSY, WAIT = "mlflow.busy", 120.0  # the lock of the database while it is made, and seconds to wait for it
ENDS = {State.FINISHED: "FINISHED", State.INTERRUPTED: "KILLED"}  # other states are failures


def mlflow_logger(
    experiment: str,
    dir: str,
    about: About,
    uri: str | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> StoreLogger:
    """A logger with an MLflow run, which a resumed run continues.

    Args:
        experiment: the MLflow experiment, which groups runs.
        dir: the folder of the database and of the artifacts of all runs.
        about: the run.
        uri: of a tracking server that is used instead.
        name: the user's name for the run, else its title.
        tags: the user's tags.
    """
    store = open_store(experiment, dir, about, uri, name, tags)
    log.info("MLflow: %s", uri or f"in {os.path.relpath(dir)}")
    return StoreLogger(store, about)


def open_store(
    experiment: str,
    dir: str,
    about: About,
    uri: str | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> "Record":
    """The MLflow run whose id the run's folder holds, or a new one. The arguments are those of `mlflow_logger`."""
    database = Path(dir).absolute() / databases.MLFLOW_FILE
    client = make_client(database, uri) if uri or database.is_file() or not about.is_recorded else None
    run_id = known_run(client, about.folder.mlflow_id) if client else None
    if client is None or (run_id is None and about.is_recorded):
        raise UserError(f"MLflow does not know the run: {uri or dir} is not where it was recorded")
    if run_id is None:
        artifacts = None if uri else (database.parent / "artifacts").as_uri()
        described = describe_run(about) | dict(tags or {})
        experiment_id = find_experiment(client, experiment, artifacts)
        run_id = client.create_run(experiment_id, tags=described, run_name=name or about.title).info.run_id
        about.folder.mlflow_id.write_text(run_id)
        add_options(client, run_id, about.options)
    elif about.last is not None:
        client.update_run(run_id, status="RUNNING")
        add_changed_options(client, run_id, about.options)
    first = int(about.last["images_seen"]) if about.last else 0
    if first and uri is None:
        databases.rewind_mlflow(database, run_id, first)
    sent = last_step(client, run_id) if uri and about.last else None
    return Record(client, run_id, sent)


def make_client(database: Path, uri: str | None) -> "MlflowClient":
    """A client of a database, or of a server, that sends nothing about its use to MLflow's makers."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
    os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")  # no connection stays open, across a fork say
    from mlflow import MlflowClient

    for library in ("mlflow", "alembic"):  # they tell about each table that they make
        logging.getLogger(library).setLevel(logging.WARNING)
    if uri:
        return MlflowClient(uri)
    database.parent.mkdir(parents=True, exist_ok=True)
    # Two jobs of a sweep that make the tables at the same time disturb each other.
    with lock(database.with_name(BUSY), "another process is still making MLflow's database", WAIT):
        return MlflowClient(f"sqlite:///{database}")


def known_run(client: "MlflowClient", file: Path) -> str | None:
    """The id in a file, if MLflow knows a run of that id which has not been deleted."""
    from mlflow.exceptions import MlflowException

    run_id = file.read_text().strip() if file.is_file() else ""
    with suppress(MlflowException):
        if run_id.isalnum() and client.get_run(run_id).info.lifecycle_stage == "active":
            return run_id
    return None


def find_experiment(client: "MlflowClient", name: str, artifacts: str | None) -> str:
    """The id of an experiment, which is made where there is none; another process may be doing the same."""
    from mlflow.exceptions import MlflowException

    if found := client.get_experiment_by_name(name):
        return found.experiment_id
    try:
        return client.create_experiment(name, artifact_location=artifacts, tags=KIND)
    except MlflowException:
        if found := client.get_experiment_by_name(name):
            return found.experiment_id
        raise


def describe_run(about: About) -> dict[str, str]:
    """The tags that MLflow shows of a run: who ran what, which commit, and in which sweep."""
    tags = {"mlflow.source.name": "src.train", "mlflow.source.type": "LOCAL", "folder": str(about.folder.path)}
    with suppress(OSError, KeyError):  # a user without a name
        tags["mlflow.user"] = getpass.getuser()
    if commit := record.git_commit():
        tags["mlflow.source.git.commit"] = commit.removesuffix("+")
    return tags | ({"sweep": about.sweep} if about.sweep else {})


def add_options(client: "MlflowClient", run_id: str, options: Mapping[str, Any]) -> None:
    """Add the run's options as MLflow's parameters."""
    from mlflow.entities import Param

    params = [Param(name, str(value)) for name, value in options.items()]
    for part in parts(params, MOST_OPTIONS):
        client.log_batch(run_id, params=part, synchronous=True)


def add_changed_options(client: "MlflowClient", run_id: str, options: Mapping[str, Any]) -> None:
    """Add options that a resume has changed as tags, since MLflow's parameters keep their first value."""
    first = client.get_run(run_id).data.params
    for name, value in options.items():
        if first.get(name) != str(value):
            client.set_tag(run_id, f"resumed with {name}", str(value))


def last_step(client: "MlflowClient", run_id: str) -> int:
    """The last step of the numbers of an epoch."""
    return max((each.step for each in client.get_metric_history(run_id, "images_seen")), default=-1)


def metric_name(name: str) -> str:
    """The name of a number as MLflow allows it, which refuses a whole batch because of one other: a path of letters,
    digits and some signs."""
    return posixpath.normpath(FORBIDDEN.sub("_", name)).lstrip("./")[:LONGEST_NAME].rstrip("/") or "_"


def parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Consecutive parts of a sequence, of at most so many items."""
    return (items[i : i + size] for i in range(0, len(items), size))


class Record:
    """An MLflow run.

    sent: the last step that a server has, of a run that is resumed: it keeps what it has, and does not get it again
    """

    def __init__(self, client: "MlflowClient", run_id: str, sent: int | None = None) -> None:
        self.client, self.run_id, self.sent = client, run_id, sent

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Add numbers at a step."""
        from mlflow.entities import Metric

        if self.sent is not None and step <= self.sent:
            return
        milliseconds = int(time.time() * 1000)
        metrics = [Metric(metric_name(name), value, milliseconds, step) for name, value in numbers.items()]
        for part in parts(metrics, MOST_NUMBERS):
            self.client.log_batch(self.run_id, metrics=part, synchronous=True)

    def log_figures(self, figures: Mapping[str, Path], step: int) -> None:
        """Add figures to the run's files, where the latest replace earlier ones, and images to MLflow's charts with a
        slider over the steps, which have no animations."""
        for name, path in figures.items():
            self.client.log_artifact(self.run_id, str(path), str(Path(name).parent))
            if path.suffix != ".gif":
                with Image.open(path) as image:
                    image.load()
                    self.client.log_image(self.run_id, image, key=name, step=step, synchronous=True)

    def flush(self) -> None:
        """Do nothing: all calls write at once."""

    def end(self, state: State, step: int) -> None:
        """Set the state of the run."""
        self.client.set_tag(self.run_id, "state", state.value)
        self.client.set_terminated(self.run_id, ENDS.get(state, "FAILED"))

    def close(self) -> None:
        """Do nothing: the client holds nothing that is open."""
