"""What the configuration in a file does not decide: where else a command writes, and to whose account it sends.

A run may come from somebody else, whose folders and accounts are not the user's. What the user gives on the command
line is never changed.
"""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

log = logging.getLogger(__name__)
WANDB = "src.run.tracking.wandb_logger"  # this logger gets more options than its node of the configuration has
ACCOUNT = ("project", "entity")  # options of W&B's logger that say where numbers are sent


def confine(cfg: DictConfig, given: Iterable[str] = ()) -> None:
    """Replace what a configuration from a file says of folders to write to and of accounts, except options `given` by
    the user."""
    names = set(given)
    confine_data(cfg, names)
    if OmegaConf.is_dict(cfg.get("logger")) and "logger" not in names:
        for name, node in cfg.logger.items():  # W&B's logger may have any name
            option = f"logger.{name}"
            if OmegaConf.is_dict(node) and node.get("_target_") in CONFINED and option not in names:
                with open_dict(node):
                    CONFINED[node["_target_"]](node, option, {each.removeprefix(f"{option}.") for each in names})


def confine_data(cfg: DictConfig, names: set[str]) -> None:
    """Read images in the file's folder where they are there, and download none to it."""
    root, source = cfg.data.get("root"), cfg.data.source
    if root is None or names & {"data", "data.root", "data.source.root"} or has_images(source, str(root)):
        return
    here = os.environ.get("DATA_ROOT", "data")
    if here != root:
        log.warning("the run's data.root=%s lacks its images: they are looked for in %s", root, here)
    cfg.data.root = source.root = here


def find_images(cfg: DictConfig, record: dict[str, Any] | None) -> None:
    """Read images whose relative path leads nowhere from the working directory from where the run read them."""
    path, origin = cfg.data.get("path"), (record or {}).get("origin")
    if isinstance(path, str) and isinstance(origin, str) and not Path(path).is_absolute() and not Path(path).exists():
        cfg.data.path = cfg.data.source.path = origin


def has_images(source: DictConfig, root: str) -> bool:
    """Whether the images of a node `source` can be read with this `root` without a download."""
    if not str(source["_target_"]).startswith("src.data.official."):
        return True
    from src.data.official import can_read  # imports NumPy

    return can_read(str(source["_target_"]), root, source.get("split"))


def confine_wandb(node: DictConfig, option: str, names: set[str]) -> None:
    """Write W&B's files where a new run would, and send nothing to an account or project that the user did not name."""
    here = {"dir": os.environ.get("WANDB_DIR", "outputs"), "project": os.environ.get("WANDB_PROJECT", "vae-lab")}
    confine_folder(node, option, names, here["dir"])
    theirs = [name for name in ACCOUNT if name not in names and node.get(name) != here.get(name)]
    mode = node.get("mode") if node.get("mode") != "auto" else os.environ.get("WANDB_MODE", "auto")
    if theirs and mode not in ("offline", "disabled") and "mode" not in names:
        again = " ".join(f"{option}.{name}={node.get(name)}" for name in theirs)
        log.warning("W&B: recorded offline, since only the run's file names the place: give %s to send it there", again)
        node.mode = "offline"
    elif node.get("mode") == "online" and "mode" not in names:
        node.mode = "auto"


def confine_mlflow(node: DictConfig, option: str, names: set[str]) -> None:
    """Write MLflow's database where a new run would, and send nothing to a server that the user did not name."""
    confine_folder(node, option, names, "outputs/mlflow")
    server = node.get("uri")
    if server not in (None, os.environ.get("MLFLOW_TRACKING_URI")) and "uri" not in names:
        again = f"give {option}.uri={server} to send it there"
        log.warning("MLflow: recorded in %s, since only the run's file names the server: %s", node.dir, again)
        node.uri = None


def confine_trackio(node: DictConfig, option: str, names: set[str]) -> None:
    """Write Trackio's database where a new run would."""
    confine_folder(node, option, names, os.environ.get("TRACKIO_DIR", "outputs/trackio"))


def confine_folder(node: DictConfig, option: str, names: set[str], here: str) -> None:
    """Have a logger write to the folder `here`, unless its own is within the working directory."""
    folder = node.get("dir")
    if folder != here and "dir" not in names and not is_inside(folder):
        log.warning("the run's %s.dir=%s is not used: %s writes to %s", option, folder, option, here)
        node.dir = here


def is_inside(folder: Any) -> bool:
    """Whether a path is within the working directory."""
    return isinstance(folder, str) and Path(folder).resolve().is_relative_to(Path.cwd())


CONFINED = {  # the loggers whose options name such places
    WANDB: confine_wandb,
    "src.run.mlflow.mlflow_logger": confine_mlflow,
    "src.run.trackio.trackio_logger": confine_trackio,
}
