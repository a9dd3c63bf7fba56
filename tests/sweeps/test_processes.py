"""Work in child processes, and locks."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tqdm import tqdm

from src.support.errors import UserError
from src.support.locks import is_alive, lock
from src.support.signals import StopSignal, stop_on_signals
from src.sweeps import processes
from tests.helpers.project import ROOT


def test_a_copy_ends_even_where_nobody_hears_it(monkeypatch, tmp_path):
    class Deaf(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError("nobody reads this")

    monkeypatch.setattr(sys, "stdout", Deaf())
    me, said = os.getpid(), []
    try:
        code = processes.run_in_child(lambda: None)
    except BrokenPipeError as error:
        said.append(error)
    finally:
        if os.getpid() != me:  # the copy has escaped
            (tmp_path / "escaped").touch()
            os._exit(0)
    assert not said
    assert code == 0
    assert not (tmp_path / "escaped").exists()


def test_a_copy_shares_no_lock_of_progress_bars(tmp_path):
    def hold() -> None:
        tqdm.get_lock().acquire()
        os.kill(os.getpid(), signal.SIGKILL)

    ours = tqdm.get_lock()  # its copies would have it in common
    assert processes.run_in_child(hold) == -signal.SIGKILL
    assert all(lock.acquire(False) for lock in ours.locks)
    ours.release()


@pytest.mark.parametrize("to_child", [True, False])
def test_a_child_ends_by_a_signal_to_it_or_to_its_parent_as_a_command_does(tmp_path, to_child):
    def work() -> None:
        try:
            os.kill(os.getpid() if to_child else os.getppid(), signal.SIGTERM)
            time.sleep(60)
        except StopSignal as stop:
            (tmp_path / "code").write_text(f"{stop.code}")
            raise

    if to_child:
        assert processes.run_in_child(work) == 143
    else:
        with pytest.raises(StopSignal), stop_on_signals():
            processes.run_in_child(work)
    assert (tmp_path / "code").read_text() == "143"


ORPHAN = """
import os, sys, time
from pathlib import Path
from src.support.locks import lock
with lock(Path("lock"), "held"):
    child = os.fork()
    if child == 0:
        time.sleep(60)
    print(child, flush=True)
    time.sleep(60)
"""


def test_a_lock_ends_with_its_process_even_where_a_fork_of_it_goes_on():
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", ORPHAN], env=env, stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        try:
            with pytest.raises(UserError, match="taken"), lock(Path("lock"), "taken"):
                pytest.fail("two hold the lock")
            process.kill()
            process.wait()
            with lock(Path("lock"), "taken", patience=5):
                assert is_alive(child)
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_child_that_gives_up_its_copy_of_a_lock_leaves_it_to_its_parent():
    def work() -> None:
        with pytest.raises(UserError), lock(Path("lock"), "taken"):
            pytest.fail("two hold the lock")

    with lock(Path("lock"), "taken"):
        assert processes.run_in_child(work) == 0
        assert processes.run_in_child(work) == 0  # the first child has ended, and not released it
