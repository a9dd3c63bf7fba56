"""Options of one's own images that are `auto` follow the images that are found, before anything is built or written.

data.shape becomes the shape of the images. data.batch_size and data.epochs become what few images need: with the usual
ones, a network would take 60 steps on 60 images, and learn nothing. Of any images, condition.labels becomes the names
of the classes.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from src.config.hooks import refuse
from src.config.options import AUTOMATIC, check_run
from src.config.overrides import name_of
from src.run.class_names import has_unsettled_labels, settle_labels
from src.support.errors import UserError

SOURCE = "src.data.user_images.images"
USUAL = {name: AUTOMATIC[name] for name in ("batch_size", "epochs")}  # 3,720 steps on 4,000 images
STEPS_AN_EPOCH = 25  # for which batches become smaller, and, where they are the smallest, epochs more
SMALLEST_BATCH, MOST_EPOCHS = 8, 100  # in more epochs, 60 images are only remembered better


class SettleOptions(Callback):
    """Hydra's hook before a single run, after its options were checked: finds the values of those that are `auto`."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        refuse(settle_options, config)


def settle_options(cfg: DictConfig) -> None:
    """Replace `auto` in the checked configuration of a run by what its images, which are read, ask for.

    Raises UserError where they can't be read, or where the options do not fit them. A run that is resumed has the
    values in its checkpoint.
    """
    if not is_unsettled(cfg):
        return
    if any(cfg.data.get(name) == "auto" for name in AUTOMATIC):
        settle_data(cfg)
    settle_labels(cfg)


def settle_data(cfg: DictConfig) -> None:
    """Replace `auto` among the options of `data`, which must be there."""
    names = [name for name in AUTOMATIC if cfg.data.get(name) == "auto"]
    source = OmegaConf.to_container(cfg.data.source, resolve=True)
    if source.pop("_target_") != SOURCE:
        example = {"shape": "[C,H,W]", "batch_size": 128, "epochs": 12}[names[0]]
        raise UserError(f"data.{names[0]}=auto is for images of your own: give data.{names[0]}={example}")
    from src.data.labels import exclude_labels  # imports NumPy: not before the options are known to be valid
    from src.data.user_images import images

    train = exclude_labels(images(**source), cfg.data.exclude_labels).train.images
    size = cfg.data.batch_size
    values = {"shape": list(train.shape[1:]), **choose_length(len(train), None if size == "auto" else size)}
    with read_write(cfg), open_dict(cfg):
        for name in names:
            cfg.data[name] = values[name]
    check_run(cfg)


def is_unsettled(cfg: DictConfig) -> bool:
    """Whether an option of a run that begins is still `auto`."""
    is_data = any(cfg.data.get(name) == "auto" for name in AUTOMATIC)
    return has_unsettled_labels(cfg) or (cfg.ckpt_path is None and is_data)


def settle_if_readable(cfg: DictConfig) -> None:
    """Like `settle_options`, but leaves `auto` as it is where the images can't be read: the job of a sweep that is
    trained on them says so, and the other jobs are trained."""
    with suppress(UserError):
        settle_options(cfg)


def choose_length(count: int, batch_size: int | None = None) -> dict[str, int]:
    """The batch size and the number of epochs for so many training images, given the batch size if the user does.

    They are the usual ones where these make as many steps as a small network needs. Otherwise batches are smaller, a
    power of two, and epochs more, within limits.
    """
    size = batch_size or USUAL["batch_size"]
    while not batch_size and size > SMALLEST_BATCH and count < size * STEPS_AN_EPOCH:
        size //= 2
    epochs = -(-STEPS_AN_EPOCH * USUAL["epochs"] // max(1, count // size))
    return {"batch_size": size, "epochs": min(max(epochs, USUAL["epochs"]), MOST_EPOCHS)}


def length_note(config: Mapping[str, Any], overrides: Sequence[str], count: int) -> str:
    """Which options that the user has not given follow the few training images, as the end of a line, or ""."""
    data, given = config["data"], {name_of(each) for each in overrides if not each.endswith("=auto")}
    values = choose_length(count, data["batch_size"] if "data.batch_size" in given else None)
    if data["source"]["_target_"] != SOURCE or values == USUAL:
        return ""
    used = {"batch_size": data["batch_size"], "epochs": config["trainer"]["max_epochs"]}
    names = [f"data.{name}" for name, value in values.items() if value == data.get(name) == used[name]]
    chosen = [name for name in names if name not in given]
    return f", as few images need ({', '.join(chosen)}=auto)" if chosen else ""
