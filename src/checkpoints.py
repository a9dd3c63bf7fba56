"""Reading and writing checkpoints."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from src.errors import UserError


class WholeOrNothing(TorchCheckpointIO):
    """Writes beside the target and renames. Lightning's own copies across file systems: a full disk cuts the file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str, storage_options: Any = None) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        try:
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's contents, weights and plain values only.

    Raises UserError where the file is missing, cut short, or none of ours.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except Exception as error:  # torch raises half a dozen types for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is no checkpoint, or is cut short ({reason}): try another of its folder") from None
    if not isinstance(state, dict) or "run" not in state:
        raise UserError(f"{path} was not written by this program: it holds no run's configuration")
    return state
