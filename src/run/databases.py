"""What MLflow and Trackio have no call for: numbers of a run are removed from their SQLite databases.

A resumed run repeats what it had done after its last checkpoint, and must not have it twice.
"""

import re
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

WAIT = 30.0  # seconds for which another process may hold the database
MLFLOW_FILE = "mlflow.db"


def path_of(name: str, node: Mapping[str, Any]) -> Path:
    """The database of the logger `mlflow` or `trackio`, by its options; Trackio leaves out some characters of names."""
    project = re.sub(r"[^A-Za-z0-9_-]", "", node.get("project") or "") or "default"
    return Path(node["dir"]) / (MLFLOW_FILE if name == "mlflow" else f"{project}.db")


def rewind_mlflow(database: Path, run_id: str, step: int) -> None:
    """Remove the numbers of an MLflow run from a step on."""
    _execute(
        database,
        [f"DELETE FROM {table} WHERE run_uuid = ? AND step >= ?" for table in ("metrics", "latest_metrics")],
        (run_id, step),
    )


def forget_mlflow(database: Path, run_id: str) -> None:
    """Delete an MLflow run as its page does, which hides it until `mlflow gc` removes it."""
    _execute(database, ["UPDATE runs SET lifecycle_stage = 'deleted', status = 'KILLED' WHERE run_uuid = ?"], (run_id,))


def rewind_trackio(database: Path, run_id: str, step: int) -> None:
    """Remove the numbers of a Trackio run from a step on, and what it said of its end."""
    _execute(
        database,
        [f"DELETE FROM {table} WHERE run_id = ? AND step >= ?" for table in ("metrics", "alerts")],
        (run_id, step),
    )


def forget_trackio(database: Path, run_id: str) -> None:
    """Remove a Trackio run."""
    _execute(
        database, [f"DELETE FROM {table} WHERE run_id = ?" for table in ("metrics", "configs", "alerts")], (run_id,)
    )


def _execute(database: Path, statements: Iterable[str], values: tuple[str | int, ...]) -> None:
    """Execute all statements, or none, in a database that exists."""
    if not database.is_file():
        return
    with closing(sqlite3.connect(database, timeout=WAIT)) as connection, connection:
        for statement in statements:
            connection.execute(statement, values)
