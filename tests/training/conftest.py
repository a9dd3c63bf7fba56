"""A run that is interrupted."""

import pytest

from src.training.module import VAEModule


@pytest.fixture
def interrupt(monkeypatch):
    """interrupt(run, ..., at=2): a run that Ctrl-C ends within the epoch `at`, counted from 0."""

    def press(module, batch, step):
        if module.current_epoch == press.at and step == 3:
            raise KeyboardInterrupt
        before(module, batch, step)

    before = VAEModule.on_train_batch_start

    def begin(run, *options, at, folder):
        press.at = at
        with monkeypatch.context() as patch, pytest.raises(SystemExit):
            patch.setattr(VAEModule, "on_train_batch_start", press)
            run(*options, folder=folder)

    return begin
