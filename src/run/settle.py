"""What a configuration leaves to the images, settled before anything is built or written: their shape, their labels."""

from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from src.config.hooks import refuse
from src.config.names import option_name
from src.run.shape import settle_shape
from src.support.errors import UserError, printable

LONGEST = 100  # characters of a label's name


class Settle(Callback):
    """Hydra's hook before a single run, after its options were checked."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        refuse(settle, config)


def settle(cfg: DictConfig) -> None:
    """Replace data.shape=auto and condition.labels=auto in the checked configuration of a run by what its images have.

    Raises UserError where they can't be read, or where the options do not fit them. A run that is resumed has all that
    in its checkpoint.
    """
    settle_shape(cfg)
    if cfg.ckpt_path is not None or OmegaConf.select(cfg, "condition.labels") != "auto":
        return
    names = class_names(cfg)
    if len(names) < 2:
        name = option_name(cfg.condition._target_)
        raise UserError(f"condition={name} needs images of two classes or more, and {cfg.data.name} has no labels")
    with read_write(cfg), open_dict(cfg):
        cfg.condition.labels = [plain_name(each) for each in names]


def class_names(cfg: DictConfig) -> tuple[str, ...]:
    """The names of the classes of a configuration's images, which are read unless they are of a known data set."""
    from src.data.official import class_names as published_names  # imports NumPy, which most runs can do without here

    source = OmegaConf.to_container(cfg.data.source, resolve=True)
    if names := published_names(source["_target_"], source.get("split")):
        return names
    from src.config.classes import make  # imports PyTorch

    return make(cfg.data.source, "data").classes


def plain_name(name: str) -> str:
    """The name of a class as a configuration can hold it, which would look for the value of ${name}."""
    return printable(name)[:LONGEST].replace("${", "$ {")
