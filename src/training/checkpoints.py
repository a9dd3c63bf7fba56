"""Reading and writing checkpoints."""

import errno
import io
import traceback
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import nn

from src.run.checkpoint_file import damage, parse, verify
from src.support.errors import UserError, causes
from src.support.files import atomic_path
from src.support.folders import EXAMPLE
from src.training.early_stopping import early_end


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
                for each in causes(error):  # torch's writer in these frames has the file open, and so keeps its space
                    traceback.clear_frames(each.__traceback__)
                raise OSError(errno.EIO, "the checkpoint can't be written, the disk may be full", path) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read(Path(path))  # Lightning would not compare checksums


class Restoration(Callback):
    """Knows whether a resumed training has taken up what its checkpoint holds, and has no more epochs trained of a run
    that has ended early."""

    def __init__(self) -> None:
        self.is_complete = False

    def on_fit_start(self, trainer: Trainer, module: LightningModule) -> None:
        if early_end(trainer):  # the state of the callbacks is restored, and says so
            trainer.should_stop = True

    def on_train_start(self, *_: Any) -> None:
        self.is_complete = True


class Average(EMAWeightAveraging):
    """Swaps the averaged weights in for the whole validation, so that the other callbacks get them too.

    Buffers are copied, not averaged, since an average of counts or indices has no meaning.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(decay=decay, use_buffers=False)

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Do nothing, so that the averaged weights stay until `on_validation_end`."""

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        super().on_validation_epoch_end(trainer, module)


class EveryEpoch(ModelCheckpoint):
    """Writes a checkpoint to `path` after each epoch, or after those with the lowest `monitor`.

    A run may be moved to another folder between its start and a resume.
    """

    def __init__(self, path: Path, monitor: str | None = None) -> None:
        super().__init__(
            path.parent, filename=path.stem, monitor=monitor, save_on_train_epoch_end=True, enable_version_counter=False
        )
        # the only file that it writes, and may remove; spelt as Lightning does, which compares it with what it writes
        self.path = str(Path(str(self.dirpath), path.name))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # Lightning discards the best checkpoint if the folder differs from the one recorded in the checkpoint
        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        state = state | {name: state[name] and self.path for name in paths}
        state["best_k_models"] = dict.fromkeys([self.path] * len(state["best_k_models"]), state["best_model_score"])
        super().load_state_dict(state | {"dirpath": self.dirpath})


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint: weights and plain values only.

    Raises UserError for a file that is missing, of a newer version, or was not written by this program, and
    DamagedError for one that was changed or cut short.
    """
    members = verify(path)
    run = parse(path, members)["run"]
    try:
        state = torch.load(archive(members), map_location="cpu", weights_only=True)
        check_tensors(state)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # torch raises half a dozen types for a damaged file
        # not torch's own message, which may advise to load the file without its restrictions
        raise damage(path, ValueError(f"PyTorch refuses it, {type(error).__name__}")) from error
    return state | {"run": run}


def archive(members: dict[str, bytes]) -> io.BytesIO:
    """An archive of nothing but these members, so that PyTorch reads exactly what was verified."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as made:
        for name, content in members.items():
            made.writestr(f"archive/{name}", content)
    file.seek(0)
    return file


def check_tensors(content: Any) -> None:
    """Raise ValueError for a tensor whose values are not all in the file, such as a single number that is repeated."""
    for value in _leaves(content):
        if isinstance(value, torch.Tensor):
            is_plain = value.layout == torch.strided and value.device.type == "cpu"
            if not is_plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise ValueError("a tensor holds less than it claims")


def _leaves(content: Any) -> Iterator[Any]:
    """What is in a container and in those within it; each of these is entered once, however often it is named."""
    waiting, entered = [content], set()
    while waiting:
        value = waiting.pop()
        if not isinstance(value, dict | list | tuple):
            yield value
        elif id(value) not in entered:
            entered.add(id(value))
            waiting += value.values() if isinstance(value, dict) else value


def has_weights_of(module: nn.Module, weights: dict[str, Any]) -> bool:
    """Whether weights are those of such a module: of the same names and shapes, real or whole numbers as there."""
    ours, theirs = (
        {name: (w.shape, w.is_floating_point()) for name, w in each.items() if isinstance(w, torch.Tensor)}
        for each in (module.state_dict(), weights)
    )
    return ours == theirs and len(theirs) == len(weights)


def check_fit(state: dict[str, Any], module: nn.Module, averages: bool) -> None:
    """Raise UserError if the weights of a checkpoint do not fit the module that is to resume from it, or are averages
    where the configuration asks for none."""
    if "current_model_state" in state and not averages:
        raise UserError("the run averages its weights: give trainer.ema=... to go on with it")
    if not has_weights_of(module, state["state_dict"]):
        raise UserError(
            "the checkpoint's weights do not fit latent_dim, the networks or the other parts, which may have changed "
            f"since the run began: give the run's own options, which its {EXAMPLE.config.name} holds"
        )
