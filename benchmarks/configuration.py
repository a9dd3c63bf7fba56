"""The configurations that the sides of the benchmarks are built from: the present conf/, on MNIST."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from src.support.errors import UserError
from src.train import CONF

NEEDED = Path("MNIST/raw/train-images-idx3-ubyte")  # read by torchvision's MNIST and by ours
LAYERS = ("model.encoder.hidden=[400]", "model.decoder.hidden=[400]", "model.encoder.activation=relu")
MODELS = {
    "mlp": ("model=mlp", "latent_dim=20", *LAYERS),  # the network of pytorch/examples: all sides do the same work
    "conv": ("model=conv",),
}


def composed(*options: str) -> DictConfig:
    """The configuration of `python -m src.train data=mnist logger=csv` with more options, on the CPU.

    Raises UserError where MNIST is missing, since a download would disturb the timing of other processes.
    """
    ours = ["data=mnist", "logger=csv", "trainer.accelerator=cpu", "~callbacks.pictures"]
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        cfg = hydra.compose("train", [*ours, *options])
    if not (Path(cfg.data.root) / NEEDED).is_file():
        raise UserError(f"there is no {Path(cfg.data.root) / NEEDED}: set DATA_ROOT to a folder that holds {NEEDED}")
    return cfg
