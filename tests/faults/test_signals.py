"""A command that is told to stop, at any moment, ends with the code of its signal, and says how to go on."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from src.run import status
from src.run.trace import Trace
from src.support.signals import StopSignal, defer_signals, stop_on_signals
from tests.helpers.commands import start, wait_until
from tests.helpers.project import ROOT

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
RUN = Path("outputs/runs/mine")
# functions that are called in the phases of a run: at each, the signal comes
BEFORE = ["src.build:everything", "src.train:fit", "src.training.module:VAEModule.on_train_epoch_start"]
AFTER = [
    "lightning.pytorch.loops.fit_loop:_FitLoop.on_run_end",  # between the last epoch and the test
    "src.train:test",
    "src.training.module:VAEModule.test_step",
    "src.run.record:write_terms",
    "src.train:judge",
    "src.run.guard:close",
]


def send_at(monkeypatch, point: str, number: int) -> None:
    """Send this process a signal when a function is called for the first time."""
    module, _, name = point.partition(":")
    owner = importlib.import_module(module)
    *classes, name = name.split(".")
    for each in classes:
        owner = getattr(owner, each)
    plain, sent = getattr(owner, name), []

    def send(*arguments, **named):
        if not sent:
            sent.append(os.kill(os.getpid(), number))
        return plain(*arguments, **named)

    monkeypatch.setattr(owner, name, send)


@pytest.mark.parametrize("point", BEFORE)
def test_before_the_first_checkpoint_nothing_is_left(command, small, tmp_path, monkeypatch, point, caplog):
    send_at(monkeypatch, point, signal.SIGTERM)
    code, said = command(*small, "run_name=mine")
    assert code == 143
    assert "stopped before the first checkpoint" in said
    assert "Traceback" not in said
    assert "SIGTERM" not in said + caplog.text  # of Lightning, which says so twice
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("point", AFTER)
@pytest.mark.parametrize("number", [signal.SIGTERM], ids=lambda number: number.name)
def test_after_an_epoch_the_run_is_interrupted_and_goes_on(command, small, monkeypatch, point, number):
    with monkeypatch.context() as patch:
        send_at(patch, point, number)
        code, said = command(*small, "run_name=mine")
    assert code == CODES[number]
    assert status.read(RUN)["state"] == "interrupted"
    assert f"to go on after the last whole epoch: python -m src.train ckpt_path={RUN}/checkpoints/last.ckpt" in said
    assert "Traceback" not in said
    code, said = command(*small, "run_name=mine", "resume=auto")
    assert code == 0, said
    assert status.read(RUN)["state"] == "finished"
    assert json.loads((RUN / "metrics.json").read_text())["epoch"] == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_each_signal_has_its_code(command, small, monkeypatch, number):
    before = signal.signal(number, signal.default_int_handler)  # nohup has SIGHUP ignored, which this program respects
    send_at(monkeypatch, "src.training.module:VAEModule.test_step", number)
    code, _said = command(*small, "run_name=mine")
    signal.signal(number, before)
    assert code == CODES[number]
    assert status.read(RUN)["state"] == "interrupted"


@pytest.mark.parametrize(
    ("point", "arguments"),
    [
        ("src.apply:apply", ["run={run}", "task=interpolate"]),
        ("src.report:collect", ["{run}", "--out=page.html"]),
        ("src.search:train_trials", ["name=mine", "trials=1", "beta=interval(1,2)", "logger=csv"]),
        ("src.figures.__main__:draw_all", ["{run}"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_command_has_the_code_of_its_signal(finished, monkeypatch, capfd, point, arguments):
    module = importlib.import_module(point.partition(":")[0])
    monkeypatch.setattr(sys, "argv", ["command", *(each.format(run=finished) for each in arguments)])
    monkeypatch.setattr(Trace, "load", lambda path: None)  # the run was trained without callbacks
    send_at(monkeypatch, point, signal.SIGTERM)
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 143
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_training_that_was_stopped_as_it_ended_is_not_judged(command, small, monkeypatch):
    """Lightning forgets a SIGTERM between training and test: the run went on, and was found to have diverged."""
    send_at(monkeypatch, AFTER[0], signal.SIGTERM)
    code, _ = command(*small, "run_name=mine", "+optimizer.maximize=true")
    assert (code, status.read(RUN)["state"]) == (143, "interrupted")


def test_a_status_that_can_not_be_written_is_no_success(command, small, monkeypatch):
    plain = status.write

    def fail(run, content):
        if content["state"] != "running":
            raise OSError(28, "No space left on device", str(run / "status.json"))
        plain(run, content)

    monkeypatch.setattr(status, "write", fail)
    code, said = command(*small, "run_name=mine")
    assert code == 1
    assert "No space left on device" in said
    assert json.loads((RUN / "status.json").read_text())["state"] == "running"


def test_a_signal_waits_while_the_last_status_is_written(command, small, monkeypatch):
    plain = status.write

    def send_and_write(run, content):
        if content["state"] == "finished":
            os.kill(os.getpid(), signal.SIGTERM)
        plain(run, content)

    monkeypatch.setattr(status, "write", send_and_write)
    code, _ = command(*small, "run_name=mine")
    assert (code, status.read(RUN)["state"]) == (143, "finished")


def test_a_signal_that_a_library_swallows_ends_the_command_none_the_less():
    with pytest.raises(StopSignal) as end, stop_on_signals(), suppress(BaseException):  # as some libraries do
        os.kill(os.getpid(), signal.SIGTERM)
    assert end.value.code == 143
    with pytest.raises(StopSignal), stop_on_signals():
        with defer_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            deferred = True
        pytest.fail("it has waited for too long")
    assert deferred


class Finalized:
    """An object that is sent a signal as it is removed, where Python ignores exceptions."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_in_a_finalizer_ends_the_command_none_the_less(capfd):
    with pytest.raises(StopSignal) as end, stop_on_signals():
        Finalized()
        time.sleep(20)
        pytest.fail("the signal was lost")
    assert end.value.code == 143
    assert "Traceback" not in capfd.readouterr().err


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stop_on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


SLOW = """
import os, signal, time
from src.support.signals import stop_on_signals
with stop_on_signals():
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("stopping", flush=True)
        time.sleep(60)
"""


def test_a_second_signal_ends_a_command_that_hangs():
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", SLOW], env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopping\n"
        deadline = time.monotonic() + 30  # it would end by itself after a minute
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGTERM)
        process.kill()
        assert process.wait() == 143


@pytest.mark.parametrize(
    ("work", "expected"),
    [("for i in range(99999): print(i)", 141), ("print(1, flush=True); input(); print(2)", 0)],
    ids=["while it prints", "as it ends"],
)
def test_a_console_that_is_closed_is_no_mistake_of_the_program(work, expected):
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    code = f"from src.support.signals import stop_on_signals\nwith stop_on_signals():\n    {work}"
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write("\n")
        process.stdin.close()
        assert process.stderr.read() == ""
        assert process.wait() == expected


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_training_in_a_process_of_its_own(small, tmp_path, number):
    with start("train", *small, "trainer.max_epochs=100000", "run_name=mine", folder=tmp_path) as process:
        try:
            wait_until((RUN / "checkpoints" / "last.ckpt").is_file, process, tmp_path / "log")
            process.send_signal(number)
            code = process.wait(timeout=60)
            assert code == (-number if number == signal.SIGINT else CODES[number])
        finally:
            process.kill()
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert status.read(RUN)["state"] == "interrupted"


@pytest.mark.slow
def test_a_sweep_ends_its_job_and_says_how_it_goes_on(small, tmp_path):
    options = ["-m", *small, "trainer.max_epochs=100000", "seed=0,1", "sweep_name=mine"]
    with start("train", *options, folder=tmp_path) as process:
        try:
            job = Path("outputs/sweeps/mine/0")
            wait_until((job / "checkpoints" / "last.ckpt").is_file, process, tmp_path / "log")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 143
        finally:
            process.kill()
    assert status.read(job)["state"] == "interrupted"
    said = (tmp_path / "log").read_text()
    assert "stopped; to go on: python -m src.train" in said
    assert "Traceback" not in said
