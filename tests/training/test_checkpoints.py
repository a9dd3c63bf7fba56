"""A checkpoint on disk is whole or not there."""

import errno
import resource
from pathlib import Path

import pytest
import torch

from src.support.files import remove_partial_files
from src.training.checkpoints import WholeOrNothing


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


def test_torchs_word_for_a_full_disk_is_one_of_the_systems(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="the disk may be full"):
        WholeOrNothing().save_checkpoint({"epoch": 1}, str(tmp_path / "last.ckpt"))
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_without_room_leaves_its_room_to_others(tmp_path):
    """While the file was open its space would be missing, as long as somebody holds the exception."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="the disk may be full") as raised:
            WholeOrNothing().save_checkpoint({"weights": torch.zeros(100_000)}, tmp_path / "last.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.__cause__
    opened = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    assert not [name for name in opened if "last.ckpt" in name]


def test_what_a_killed_process_has_left_is_removed(tmp_path):
    for name in (f".{2**22 + 1}.last.ckpt", ".hydra", ".wandb_id", "last.ckpt"):
        (tmp_path / name).touch()
    remove_partial_files(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hydra", ".wandb_id", "last.ckpt"]
