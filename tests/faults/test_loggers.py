"""Loggers that refuse, hang or die cost one warning each; the run is the same to the bit."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from threading import enumerate as enumerate_threads

import pytest

from src.reporting import conclude
from src.run import guard, tracking
from src.run.status import State
from src.support.errors import UserError
from tests.helpers.bad_loggers import CALLED, MODULE, bad_logger
from tests.helpers.project import ROOT
from tests.helpers.runs import identical, weights

# what a user starts, but with less patience
IMPATIENT = """
import sys
from src.run import guard
guard.PATIENCE = guard.STOPPING = 2
from src import train
sys.exit(train.main())
"""
KEY = "a" * 40


@pytest.fixture(autouse=True)
def fresh_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have W&B asked again for its mode, and started again: other tests have left its process, which a child of this
    process would use."""
    tracking.resolve_mode.cache_clear()
    tracking.abandon()
    monkeypatch.delenv("WANDB_SERVICE", raising=False)


@pytest.fixture
def bad_loggers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `bad_loggers` that can be imported."""
    (tmp_path / "bad_loggers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "bad_loggers", raising=False)


@pytest.fixture
def train(tmp_path: Path, small: list[str], bad_loggers: None) -> Iterator[Callable[..., subprocess.CompletedProcess]]:
    """train("logger=wandb", ...): a run of three epochs in a process of its own, in the folder `harmed`."""

    def start(*options: str) -> subprocess.CompletedProcess:
        given = {each.partition("=")[0]: each for each in [*small, "trainer.max_epochs=3", *options]}.values()
        env = os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
        command = [sys.executable, "-c", IMPATIENT, *given, f"hydra.run.dir={tmp_path}/harmed"]
        # not a pipe, which W&B's process, once stopped, would hold open
        with (tmp_path / "console").open("w") as file:
            return subprocess.run(command, cwd=tmp_path, env=env, stdout=file, stderr=subprocess.STDOUT, timeout=300)

    yield start
    with suppress(OSError):
        os.kill(int((tmp_path / "core").read_text()), signal.SIGKILL)


def warnings(console: str) -> list[str]:
    """The warnings on a console, without those about what the model has learned."""
    return [line for line in console.splitlines() if line.startswith("warning:") and "finished, but" not in line]


@pytest.mark.parametrize(("how", "number"), [("raise", signal.SIGKILL), ("hang", signal.SIGSTOP)])
def test_loggers_that_fail_cost_one_warning_each(train, run, tmp_path, how, number):
    """One for each method that raises, or never returns; and W&B, whose own process is killed, or stopped."""
    names = [*CALLED, "full", "exit"] if how == "raise" else ["log_metrics", "finalize"]
    ways = {"full": ("log_metrics", "full"), "exit": ("log_metrics", "exit")}
    bad = [option for name in names for option in bad_logger(name, *ways.get(name, (name, how)))]
    harm = ["callbacks=none", "+callbacks.harm._target_=bad_loggers.Harm", f"+callbacks.harm.number={int(number)}"]
    ended = train("logger=wandb", f"logger.wandb.dir={tmp_path}", *harm, *bad)
    console = (tmp_path / "console").read_text()
    assert ended.returncode == 0, console
    assert "Traceback" not in console
    lines = warnings(console)
    assert len([line for line in lines if "logger.wandb failed" in line and "wandb sync" in line]) == 1, console
    for name in names:
        assert len([line for line in lines if f"logger.{name} failed in" in line]) == 1, (name, lines)
    assert len(lines) == len(set(lines)) == len([line for line in lines if " failed in " in line])
    folder = tmp_path / "harmed"
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"
    assert identical(weights(folder), weights(run("trainer.max_epochs=3")))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -2), (signal.SIGTERM, 143)])
def test_a_run_whose_logger_hangs_can_be_stopped(tmp_path, small, bad_loggers, number, code):
    """While it waits for the logger, which it would do for a minute."""
    env = os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    command = [sys.executable, "-m", "src.train", *small, *bad_logger("mine", "log_metrics", "hang")]
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    with (
        (tmp_path / "console").open("w") as file,
        subprocess.Popen(command, cwd=tmp_path, env=env, stdout=file, stderr=file, preexec_fn=heed) as process,
    ):
        try:
            deadline = time.monotonic() + 120
            while not (tmp_path / "hangs").exists():
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.1)
            process.send_signal(number)
            assert process.wait(timeout=55) == code
        finally:
            process.kill()
    console = (tmp_path / "console").read_text()
    assert "Traceback" not in console
    assert len([line for line in warnings(console) if "logger.mine failed in" in line]) == 1


class Refusal(BaseHTTPRequestHandler):
    """Answers all requests by 401."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(401)
        self.end_headers()

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(params=["refuses", "hangs", "is closed"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that refuses requests, that never answers, or that does not exist."""
    if request.param == "refuses":
        server = ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "hangs":
            listener.listen(100)  # the system accepts the connections
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


CALLS = {
    "log_metrics": ({"val/elbo": 1.0, "epoch": 1},),
    "log_hyperparams": ({},),
    "log_graph": (None,),
    "save": (),
    "after_save_checkpoint": (None,),
    "finalize": ("success",),
}


@pytest.mark.parametrize("method", [*CALLS, "name", "version", "save_dir", "experiment"])
@pytest.mark.parametrize("how", ["raise", "exit", "hang"])
def test_whatever_method_fails_is_answered_by_one_warning(bad_loggers, monkeypatch, caplog, method, how):
    from bad_loggers import Bad

    monkeypatch.setattr(guard, "PATIENCE", 0.2)
    logger = guard.GuardedLogger("logger.mine", Bad(method, how), guard.Worker(), guard.Service())
    for name in 2 * [method, *CALLS]:
        getattr(logger, name)(*CALLS[name]) if name in CALLS else getattr(logger, name)
    logger.close({}, State.FINISHED)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"logger.mine failed in {method} (")
    assert line.isprintable()
    assert isinstance(logger, Bad)
    assert (logger.where, logger.how) == (method, how)  # a callback finds what it knows of the logger


@pytest.mark.parametrize("mode", ["auto", "online"])
def test_a_run_whose_server_can_not_be_used_is_recorded_offline(run, tmp_path, monkeypatch, caplog, address, mode):
    for name, value in {"BASE_URL": address, "API_KEY": KEY, "HTTP_TIMEOUT": "1"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.delenv("WANDB_MODE")
    folder = run("logger=wandb", f"logger.wandb.dir={tmp_path}", f"logger.wandb.mode={mode}")
    tracking.abandon()  # W&B's process would go on asking this server
    said = [record.getMessage() for record in caplog.records if record.name.startswith("src.run")]
    assert len([line for line in said if "recorded offline, and `wandb sync` uploads it later" in line]) == 1
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == 1
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"


@pytest.mark.parametrize(
    ("how", "message"),
    [("refuse", "Connection refused"), ("full", "No space left"), ("hang", "no answer in 1 seconds")],
)
def test_a_logger_that_is_out_of_reach_at_the_start_is_left_out(run, bad_loggers, caplog, monkeypatch, how, message):
    monkeypatch.setattr("src.run.loggers.BEGINNING", 1)
    folder = run(*bad_logger("mine", "init", how))
    lines = [each.getMessage() for each in caplog.records if "logger.mine" in each.getMessage()]
    assert len(lines) == 1
    assert message in lines[0]
    assert "the run goes on without it" in lines[0]
    assert (folder / "metrics.json").is_file()


def test_a_logger_with_wrong_options_is_refused(run, bad_loggers):
    with pytest.raises(UserError, match=r"logger.mine: .*the server"):
        run(*bad_logger("mine", "init", "raise"))
    with pytest.raises(UserError, match=r"logger.mine: .*File exists"):
        run("+logger.mine._target_=pathlib.Path.mkdir", "+logger.mine.self=/")


@pytest.mark.parametrize("how", ["raise", "hang"])
def test_a_task_and_the_table_of_a_sweep_survive_wandb(run, applied, tmp_path, monkeypatch, caplog, how):
    folder = run("logger=wandb", f"logger.wandb.dir={tmp_path}")

    def fail(**options: object) -> None:
        if how == "raise":
            raise ConnectionResetError("Connection lost")
        Event().wait()

    monkeypatch.setattr(tracking, "wandb_logger", fail)
    monkeypatch.setattr(tracking, "BEGINNING", 0.5)
    monkeypatch.setattr(tracking, "call_in_time", guard.call_in_time)
    _numbers, results = applied(folder, "task=sample", "task.count=4", "task.samplers=[prior]", "task.compare=false")
    assert (results / "metrics.json").is_file()
    conclude.conclude(folder.parent, {"wandb": {"_target_": tracking.WANDB, "mode": "offline"}})
    warnings = (each.getMessage() for each in caplog.records if each.levelname == "WARNING")
    lines = [each for each in warnings if each.startswith("W&B: ")]
    assert ["was added to the run" in lines[0], "table of runs" in lines[1]] == [True, True]
    assert len(lines) == 2


def test_a_second_process_of_a_run_has_a_logger_that_does_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(tracking.rank_zero_only, "rank", 1)
    logger = tracking.wandb_logger("p", "offline", str(tmp_path), {})
    assert tracking.service(logger) == guard.Service()
    assert not list(tmp_path.iterdir())


def test_a_run_with_wandb_switched_off(run, tmp_path, caplog):
    run("logger=wandb", f"logger.wandb.dir={tmp_path}", "logger.wandb.mode=disabled")
    assert not [record for record in caplog.records if "logger.wandb" in record.getMessage()]


def test_the_thread_of_a_logger_ends_with_its_run(run, bad_loggers):
    before = set(enumerate_threads())
    run(*bad_logger("mine", "none", "raise"), *bad_logger("other", "log_metrics", "raise"))
    after = set(enumerate_threads()) - before
    for thread in after:
        thread.join(10)
    assert not [each for each in after if each.name == "logger" and each.is_alive()]
