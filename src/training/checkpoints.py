"""Reading and writing checkpoints."""

import errno
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import nn

from src.config.moved import current_paths
from src.support.errors import DamagedError, UserError
from src.support.files import atomic_path
from src.support.folders import EXAMPLE


class WholeOrNothing(TorchCheckpointIO):
    """Writes a checkpoint beside its target and renames it.

    Lightning copies it from another file system, so that a full disk truncates the target.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(Path(path), durable=True) as partial:
            try:
                torch.save(checkpoint, partial)
            except RuntimeError as error:  # torch's exception for a full disk
                if "inline_container" not in str(error):
                    raise
                raise OSError(errno.EIO, "the checkpoint can't be written, the disk may be full", path) from error


class Average(EMAWeightAveraging):
    """Swaps the averaged weights in for the whole validation, so that the other callbacks get them too.

    Buffers are copied, not averaged, since an average of counts or indices has no meaning.
    """

    def __init__(self, decay: float):
        super().__init__(decay=decay, use_buffers=False)

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Do nothing, so that the averaged weights stay until `on_validation_end`."""

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        super().on_validation_epoch_end(trainer, module)


class EveryEpoch(ModelCheckpoint):
    """Writes `folder`/`name`.ckpt after each epoch, or after those with the lowest `monitor`.

    A run may be moved to another folder between its start and a resume.
    """

    def __init__(self, folder: Path, name: str, monitor: str | None = None):
        super().__init__(
            folder, filename=name, monitor=monitor, save_on_train_epoch_end=True, enable_version_counter=False
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # Lightning discards the best checkpoint if the folder differs from the one recorded in the checkpoint
        folder = Path(str(self.dirpath))

        def relocate(path: str) -> str:
            return path and str(folder / Path(path).name)

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        state = state | {name: relocate(state[name]) for name in paths}
        state["best_k_models"] = {relocate(path): score for path, score in state["best_k_models"].items()}
        super().load_state_dict(state | {"dirpath": self.dirpath})


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint: weights and plain values only.

    Raises UserError for a file that is missing, truncated, or was not written by this program.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such checkpoint") from None
    except (OSError, MemoryError):
        raise
    except Exception as error:  # torch raises half a dozen types for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DamagedError(f"{path} is no checkpoint, or is cut short ({reason}): try another of its folder") from None
    if not isinstance(state, dict) or "run" not in state:
        raise UserError(f"{path} was not written by this program: it holds no run's configuration")
    return state | {"run": current_paths(state["run"])}


def check_fit(state: dict[str, Any], module: nn.Module, averages: bool) -> None:
    """Raise UserError if the weights of a checkpoint do not fit the module that is to resume from it, or are averages
    where the configuration asks for none."""
    if "current_model_state" in state and not averages:
        raise UserError("the run averages its weights: give trainer.ema=... to go on with it")
    ours, theirs = ({k: v.shape for k, v in d.items()} for d in (module.state_dict(), state["state_dict"]))
    if ours != theirs:
        raise UserError(
            "the checkpoint's weights do not fit latent_dim, the networks or the other parts, which may have changed "
            f"since the run began: give the run's own options, which its {EXAMPLE.config.name} holds"
        )
