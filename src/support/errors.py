"""Exceptions whose cause a user can correct, and the messages of exceptions of libraries."""

import errno
from collections.abc import Iterator

from hydra.errors import CompactHydraException

LONGEST = 1000  # characters of a message
# in lower case; PyTorch says so in a RuntimeError, NumPy in a ValueError too
NO_MEMORY = (
    "allocate memory",
    "unable to allocate",
    "out of memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
    "calculation overflowed",
    "invalid array size",
    "array is too big",
    "maximum allowed dimension exceeded",
)


class UserError(CompactHydraException):
    """States in one line what is wrong and how to correct it; Hydra prints it without a traceback, in a sweep too.

    What is not printable, as a name of a file may be, is escaped: it would break the line or control the terminal.
    A command that it ends has the exit code `exit_code`.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(str(message)))


class DivergedError(UserError):
    """The training diverged: its loss is not a finite number, or higher than at the start, also on training images."""

    exit_code = 3  # a scheduler that tries failed runs again should leave this one


class DamagedError(UserError):
    """A file is truncated, or was not written by this program."""


def is_memory_error(error: BaseException) -> bool:
    """Whether an error of NumPy, PyTorch, CUDA or the operating system says that there is not enough memory."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or getattr(error, "errno", None) == errno.ENOMEM
        or any(each in text for each in NO_MEMORY)
    )


def is_caused_by_memory(error: BaseException) -> bool:
    """Whether an error, or one of those that it was raised from, says that there is not enough memory."""
    return any(map(is_memory_error, causes(error)))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that led to it, which may be a circle: an error that is raised again leads to itself."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def printable(message: str) -> str:
    """A message in one line that a console can show, whatever values it quotes: of a long one the middle is left out,
    and characters that can't be seen are written as their codes."""
    if len(message) > LONGEST:
        message = f"{message[: LONGEST // 2]} ... {message[-LONGEST // 2 :]}"
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in message)


def one_line(error: Exception) -> str:
    """The message of an exception in one line, or its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def describe_os_error(error: Exception, default: object = None) -> str:
    """The message of an error in one line that names the file; `default` where an OSError names none.

    Only those of the operating system's errors that have a number name a file beside the message.
    """
    text, name = getattr(error, "strerror", None) or str(error), getattr(error, "filename", None) or default
    return printable(f"{text}: {name}" if name and isinstance(error, OSError) else text)
