"""`data.shape=auto` becomes the shape of the images that are found, before anything is built or written."""

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from src.config.options import check_run
from src.support.errors import UserError

SOURCE = "src.data.user_images.images"


def settle_shape(cfg: DictConfig) -> None:
    """Replace data.shape=auto in the checked configuration of a run by the shape of its images, which are read.

    Raises UserError where they can't be read, or where the options do not fit their shape. A run that is resumed has
    its shape in its checkpoint.
    """
    if cfg.ckpt_path is not None or cfg.data.shape != "auto":
        return
    source = OmegaConf.to_container(cfg.data.source, resolve=True)
    if source.pop("_target_") != SOURCE:
        raise UserError("data.shape=auto is for images of your own: give data.shape=[C,H,W]")
    from src.data.user_images import images  # imports NumPy: not before the options are known to be valid

    with read_write(cfg), open_dict(cfg):
        cfg.data.shape = list(images(**source).train.images.shape[1:])
    check_run(cfg)
