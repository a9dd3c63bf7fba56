"""A checkpoint on disk is whole or not there."""

import errno

import pytest
import torch

from src.checkpoints import WholeOrNothing


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoints" / "last.ckpt"
    WholeOrNothing().save_checkpoint({"epoch": 1}, str(path))

    def run_out(content, file):
        file.write_bytes(b"half a")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(torch, "save", run_out)
    with pytest.raises(OSError, match="No space left"):
        WholeOrNothing().save_checkpoint({"epoch": 2}, str(path))
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]
