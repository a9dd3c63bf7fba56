"""condition.labels=auto becomes the names of the images' classes, before anything is built or written."""

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from src.config.names import option_name
from src.support.errors import UserError, printable

LONGEST = 100  # characters of a label's name


def settle_labels(cfg: DictConfig) -> None:
    """Replace condition.labels=auto in the configuration of a run that begins by the names of its images' classes.

    Raises UserError where the images can't be read, or are of one class.
    """
    if not has_unsettled_labels(cfg):
        return
    names = class_names(cfg)
    if len(names) < 2:
        name = option_name(cfg.condition._target_)
        raise UserError(f"condition={name} needs images of two classes or more, and {cfg.data.name} has no labels")
    with read_write(cfg), open_dict(cfg):
        cfg.condition.labels = [plain_name(each) for each in names]


def has_unsettled_labels(cfg: DictConfig) -> bool:
    """Whether the labels of a run that begins are still `auto`."""
    return cfg.ckpt_path is None and OmegaConf.select(cfg, "condition.labels") == "auto"


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
