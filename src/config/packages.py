"""Packages that a logger needs and that are not installed with this program, each in the extra of the same name."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from src.support.errors import UserError

STORES = {  # loggers of src/run/stores.py, and their packages
    "src.run.tensorboard.tensorboard_logger": "tensorboard",
    "src.run.mlflow.mlflow_logger": "mlflow",
    "src.run.trackio.trackio_logger": "trackio",
}


def check_packages(loggers: Mapping[str, Any]) -> None:
    """Raise UserError for a logger whose package is missing. Nothing is imported."""
    for name, node in loggers.items():
        package = STORES.get(node["_target_"]) if node else None
        if package and find_spec(package) is None:
            install = f"pip install -e '.[{package}]'"
            raise UserError(
                f"logger={name} needs the package {package}: {install}, or leave it out: logger.{name}=null"
            )
