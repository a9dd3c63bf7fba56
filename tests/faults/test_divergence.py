"""A loss that is NaN or infinite: the run says where, which term and what to try, and keeps its last good weights."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from src.support.errors import DivergedError
from src.training.divergence import WINDOW, LossWatch
from src.training.objectives import ELBO, Terms
from tests.helpers.project import ROOT
from tests.helpers.runs import rows, train_run, weights

STEPS = 10  # of an epoch


def spoil(terms: Terms, term: str, value: float) -> Terms:
    """The terms with three images whose `term` is `value`, in the loss too; `slope`: with a loss of infinite slope."""
    if term == "slope":
        flat = 0 * terms.recon
        return terms._replace(loss=terms.loss + flat.sqrt())
    wrong = torch.zeros_like(terms.loss)
    wrong[:3] = value
    changed: dict[str, Tensor] = {"loss": terms.loss + wrong}
    return terms._replace(**changed | ({} if term == "loss" else {term: getattr(terms, term) + wrong}))


@pytest.fixture
def break_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """break_at("kl", 13): the term is infinite at the 13th training step, or with step=None in each validation."""

    def install(term: str, step: int | None, value: float = float("inf")) -> None:
        taken = [0]

        def call(self: ELBO, vae: Any, x: Tensor, noise: Tensor, weight: float = 1.0) -> Terms:
            terms = whole(self, vae, x, noise, weight)
            if not torch.is_grad_enabled():
                return spoil(terms, term, value) if step is None and taken[0] > 0 else terms
            taken[0] += len(x) > 2  # shorter ones are a trial before the training
            return spoil(terms, term, value) if taken[0] == step else terms

        whole = ELBO.__call__
        monkeypatch.setattr(ELBO, "__call__", call)

    return install


@pytest.mark.parametrize(
    ("term", "step", "said"),
    [
        ("kl", 13, "in epoch 2, step 3 of 10: the training loss is inf: kl is inf for 3 of 32 images; try .*warm-up"),
        ("recon", 13, "in epoch 2, step 3 of 10: the training loss is inf: recon is inf for 3 of 32 images; try"),
        ("loss", 13, "in epoch 2, step 3 of 10: the training loss is inf, though recon and kl are finite"),
        ("slope", 13, "in epoch 2, step 4 of 10: the loss of the step before was finite but not its gradients"),
        ("slope", 20, "in epoch 2, at its validation: .*val/loss, is nan.*the gradients of the last step"),
        ("kl", None, "in epoch 1, at its validation: .*is inf: kl is inf for 3 of 41 images, and all training losses"),
    ],
)
def test_a_loss_that_is_not_finite_is_explained(run, break_at, tmp_path, term, step, said):
    break_at(term, step)
    with pytest.raises(DivergedError, match=f"training diverged {said}") as error:
        run("trainer.max_epochs=3")
    assert "trainer.gradient_clip_val=1" in str(error.value)
    assert "\n" not in str(error.value)
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("diverged", str(error.value))
    if step:
        assert "python -m src.train ckpt_path=run/checkpoints/last.ckpt optimizer.lr=" in str(error.value)
        for which in ("best", "last"):
            assert all(bool(weight.isfinite().all()) for weight in weights(tmp_path / "run", which).values())
        assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 0
    else:
        assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_diverged_run_goes_on_with_a_smaller_learning_rate(run, resume, tmp_path):
    folder = run("likelihood=gaussian", "lr_schedule=constant", "trainer.max_epochs=1")
    with pytest.raises(DivergedError, match=r"in epoch 2, step .* optimizer.lr=1e.05"):
        resume(folder, "trainer.max_epochs=3", "optimizer.lr=1e6")
    resume(folder, "trainer.max_epochs=2", "optimizer.lr=1e-4")
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"
    assert [row["epoch"] for row in rows(folder)] == ["0.0", "1.0", "2.0"]


@pytest.mark.slow
def test_a_diverged_run_has_an_exit_code(small, tmp_path):
    """As commands: the failure has an exit code and one line, whose command leads to the end."""
    options = [*small, "likelihood=gaussian", "lr_schedule=constant", "hydra.run.dir=run"]
    train_run([*options[:-1], "trainer.max_epochs=1"], tmp_path / "run")
    env = os.environ | {"PYTHONPATH": str(ROOT)}

    def command(*words: str) -> subprocess.CompletedProcess:
        line = [sys.executable, "-m", "src.train", "ckpt_path=run/checkpoints/last.ckpt", *words]
        return subprocess.run(line, env=env, cwd=tmp_path, capture_output=True, text=True)

    failed = command("trainer.max_epochs=3", "optimizer.lr=1e6")
    assert failed.returncode == 3
    assert "Traceback" not in failed.stderr
    assert "training diverged in epoch 2, step" in failed.stderr.splitlines()[-1]
    assert "ckpt_path=run/checkpoints/last.ckpt optimizer.lr=1e+05" in failed.stderr.splitlines()[-1]
    assert command("trainer.max_epochs=2", "optimizer.lr=1e-4").returncode == 0
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "finished"
    assert [row["epoch"] for row in rows(tmp_path / "run")] == ["0.0", "1.0", "2.0"]


@pytest.mark.parametrize("bad", [0, 7, WINDOW - 1, WINDOW + 5])
def test_on_another_device_losses_are_read_together(bad):
    """A stand-in for tensors of an accelerator, which are read in windows and at the end of the epoch."""
    watch, notices = LossWatch(), []
    watch.start()
    for i in range(WINDOW + 10):
        value = torch.tensor(float("nan") if i == bad else 1.0)
        elsewhere: Any = SimpleNamespace(is_cpu=False, detach=lambda value=value: value)
        terms: Any = SimpleNamespace(loss=value, recon=value, kl=value)
        notices.append(watch.see(i, terms, elsewhere))
    assert [i for i, noticed in enumerate(notices) if noticed] == ([WINDOW - 1] if bad < WINDOW else [])
    assert watch.read() == (bad >= WINDOW)
    assert watch.first
    assert watch.first.number == bad
    assert watch.good == WINDOW + 9


def test_a_gradient_scaler_may_leave_out_a_step(run, break_at, monkeypatch):
    """The scaler of 16-mixed leaves the weights as they are at a step that is not finite; the others are good."""
    from src.training.module import VAEModule

    def skip(module: VAEModule, *_: object) -> None:
        if not all(bool(p.grad.isfinite().all()) for p in module.vae.parameters() if p.grad is not None):
            module.zero_grad()

    monkeypatch.setattr("src.training.module.SCALED", "32-true")  # a CPU has no scaler
    monkeypatch.setattr(VAEModule, "on_before_optimizer_step", skip, raising=False)
    break_at("kl", 13)
    assert len(rows(run())) == 3


def test_old_weights_are_finite_after_ema(run, break_at, tmp_path):
    break_at("slope", 20)
    with pytest.raises(DivergedError, match="in epoch 2"):
        run("trainer.ema=0.9", "trainer.max_epochs=3")
    assert all(bool(weight.isfinite().all()) for weight in weights(tmp_path / "run").values())
