"""A terminal in this process: what is printed to it, and what its screen shows."""

import os
import pty
import struct
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl

import pytest


class Terminal:
    """A pseudo-terminal, and all that was written to it."""

    def __init__(self, columns: int):
        self.master, self.slave = pty.openpty()
        ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self.written = b""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        """Read until the last file that writes to the terminal is closed."""
        while True:
            try:
                piece = os.read(self.master, 65536)
            except OSError:
                return
            self.written += piece

    @property
    def text(self) -> str:
        """All that was written."""
        return self.written.decode()

    @property
    def screen(self) -> list[str]:
        """The lines that the screen shows, where a carriage return writes over what the line had."""
        lines = []
        for line in self.text.split("\n"):
            shown = ""
            for piece in line.split("\r"):
                shown = piece + shown[len(piece) :]
            lines.append(shown.rstrip())
        return lines


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> Iterator[Terminal]:
    """Let both streams of this process be a terminal in the body; afterwards it holds all that was written."""
    made = Terminal(columns)
    with monkeypatch.context() as patch, os.fdopen(made.slave, "w", buffering=1) as stream:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        patch.setenv("TERM", "xterm")
        yield made
        stream.flush()
        termios.tcdrain(stream.fileno())
    made.reader.join(timeout=5)
    os.close(made.master)
