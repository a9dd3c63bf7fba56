"""The end of a command by a signal, at any moment: files are closed, the exit code is 128 + the signal's number."""

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import FrameType
from typing import Any, NoReturn

from src.support.errors import one_line

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME = 0.2  # seconds within which a second signal is the first one, sent to the process and to its group
RETRY = 0.01  # seconds after which a signal is sent again whose exception Python has ignored


class StopSignal(SystemExit):
    """A signal tells this process to end. It passes through `except Exception`, and ends the program if uncaught."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


class Stopper:
    """A handler of signals: the first one raises StopSignal in the main thread, a later one ends the process.

    first: the first signal that came; deferrals: how many bodies of `defer_signals` it has to wait for; is_lost: its
    exception came where Python ignores exceptions, so that the signal is being sent again
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self.time, self.deferrals, self.is_lost = 0.0, 0, False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.first is None or self.is_lost:
            self.first, self.time, self.is_lost = number, time.monotonic(), False
            if not self.deferrals:
                raise StopSignal(number)
        elif time.monotonic() - self.time > SAME:
            os._exit(128 + number)

    def leave(self, error: BaseException | None) -> None:
        """Raise StopSignal if a signal came, even where a library has caught it or raised another exception after it.

        error: the exception that ended the command; its message is printed
        """
        if self.first is None:
            return
        if isinstance(error, SystemExit) and isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        elif isinstance(error, Exception):
            print(f"while stopping: {one_line(error)}", file=sys.stderr)
        raise StopSignal(self.first) from None


def run_program(main: Callable[[], Any]) -> Any:
    """Run a command as the whole program, and return what it returns.

    A Ctrl-C ends the program by SIGINT itself, after all else: a shell's `while ! ...; do :; done`, which gets the
    Ctrl-C too, ends only if the command died of the signal. Its code there is 130 all the same.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # outside `stop_on_signals` nothing has to be closed, and Python would print a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    stops: list[StopSignal] = []
    atexit.register(lambda: stops and die_of(signal.SIGINT))  # what is registered first is called last
    try:
        return main()
    except StopSignal as stop:
        if stop.code == 128 + signal.SIGINT:
            stops.append(stop)
        raise


def die_of(number: int) -> None:
    """End this process by a signal, as if nothing handled it."""
    drop_unread_output()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


current: ContextVar[Stopper | None] = ContextVar("the handler of signals of the command that runs", default=None)


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """End the command in the body as one that is stopped should end, by SIGINT (Ctrl-C), SIGTERM and SIGHUP.

    StopSignal is raised wherever the main thread is, so that every `finally` and context manager ends its work; a
    second signal ends the process at once. Signals that the process was started to ignore stay ignored. A console that
    is closed (`| head`) ends the command in the same way, with the code of SIGPIPE.
    """
    stopper = Stopper()
    with handlers(stopper), repeat_lost_signals(stopper), silent_logging(), current_stopper(stopper):
        try:
            yield
        except BrokenPipeError:
            end_by_closed_console()
        except KeyboardInterrupt as error:  # raised by a library that handles Ctrl-C itself
            stopper.leave(error)
            raise StopSignal(signal.SIGINT) from None
        except BaseException as error:
            stopper.leave(error)
            raise
        finally:
            drop_unread_output()
        stopper.leave(None)


@contextmanager
def handlers(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle the signals in the body by `handler`; elsewhere than in the main thread, nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in NUMBERS}
    for number, previous in before.items():
        if previous not in (signal.SIG_IGN, None):  # nohup, or a shell's background job; None: set by C code
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, previous in before.items():
            if previous is not None:
                signal.signal(number, previous)


@contextmanager
def repeat_lost_signals(stopper: Stopper) -> Iterator[None]:
    """Send this process a signal again if it came in a finalizer or in the callback of a weak reference.

    Python prints and ignores the exceptions that are raised there, so that a training would go on to its end.
    """
    before, timers = sys.unraisablehook, []

    def repeat(lost: "sys.UnraisableHookArgs") -> None:
        if isinstance(lost.exc_value, StopSignal) and stopper.first is not None:
            stopper.is_lost = True
            main = threading.main_thread().ident
            timers.append(threading.Timer(RETRY, signal.pthread_kill, (main, stopper.first)))  # after this call
            timers[-1].start()
        else:
            before(lost)

    sys.unraisablehook = repeat
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:
            timer.cancel()


@contextmanager
def defer_signals() -> Iterator[None]:
    """Let the signals of `stop_on_signals` wait until the body has ended, so that it is done whole; it must be short.

    Blocking them would not do: the system would hand them to another thread, and Python then handles them in this one.
    """
    stopper = current.get()
    if stopper is None:
        yield
        return
    before = stopper.first
    stopper.deferrals += 1
    try:
        yield
    finally:
        stopper.deferrals -= 1
    if stopper.first is not None and before is None:
        raise StopSignal(stopper.first)


def forgive(stop: BaseException) -> bool:
    """Whether this exception is of a Ctrl-C; if it is, the command may go on, and the next signal ends it."""
    if isinstance(stop, KeyboardInterrupt):
        return True
    if not isinstance(stop, StopSignal) or stop.code != 128 + signal.SIGINT:
        return False
    if (stopper := current.get()) is not None:
        stopper.first = None
    return True


@contextmanager
def current_stopper(stopper: Stopper) -> Iterator[None]:
    """Have `defer_signals` defer the signals of this handler in the body."""
    token = current.set(stopper)
    try:
        yield
    finally:
        current.reset(token)


@contextmanager
def silent_logging() -> Iterator[None]:
    """Have no traceback printed where a log can't be written, such as to a closed console or a full disk."""
    before, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    finally:
        logging.raiseExceptions = before


def end_by_closed_console() -> NoReturn:
    """End the command as the signal would that Python ignores."""
    raise StopSignal(signal.SIGPIPE) from None


def drop_unread_output() -> None:
    """Discard output that nobody reads: Python would write it as it ends, and print an error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except (AttributeError, ValueError, OSError):  # there is none, it is closed, or its disk is full
            continue
