"""Ctrl-C ends a program as the signal itself would, without a traceback."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.helpers.commands import heed_interrupts
from tests.helpers.project import ROOT

PROGRAM = """
import time
from src.support.signals import run_program, stop_on_signals
def main():
    with stop_on_signals():
        print("begun", flush=True)
        time.sleep(60)
run_program(main)
"""


def test_ctrl_c_ends_the_loop_of_a_shell_too():
    loop = 'while ! "$0" -c "$1"; do echo again; done'
    with subprocess.Popen(
        ["bash", "-c", loop, sys.executable, PROGRAM],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    ) as shell:
        try:
            assert shell.stdout.readline() == "begun\n"
            os.killpg(shell.pid, signal.SIGINT)  # as a terminal does
            assert shell.stdout.readline() == ""
            assert shell.wait(timeout=10) == -signal.SIGINT
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)


UNGUARDED = """
import atexit, time
from src.support.signals import run_program, stop_on_signals
def wait():
    print("begun", flush=True)
    time.sleep(60)
def main():
    if {early}:
        wait()
    with stop_on_signals():
        atexit.register(wait)
run_program(main)
"""


@pytest.mark.parametrize("early", [True, False], ids=["before the command", "after it"])
def test_ctrl_c_prints_no_traceback_even_where_nothing_guards(early):
    with subprocess.Popen(
        [sys.executable, "-c", UNGUARDED.format(early=early)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_interrupts,
    ) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""
        assert process.wait(timeout=10) == -signal.SIGINT
