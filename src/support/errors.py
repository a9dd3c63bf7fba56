"""Exceptions whose cause a user can correct, and the messages of exceptions of libraries."""

from hydra.errors import CompactHydraException

LONGEST = 1000  # characters of a message


class UserError(CompactHydraException):
    """States in one line what is wrong and how to correct it; Hydra prints it without a traceback, in a sweep too."""

    def __init__(self, message: str):
        super().__init__(printable(message))


class DivergedError(UserError):
    """The training diverged: its loss is not a finite number, or higher than at the start."""


class DamagedError(UserError):
    """A file is truncated, or was not written by this program."""


def is_memory_error(error: Exception) -> bool:
    """Whether an error of NumPy or PyTorch says that there is not enough memory."""
    messages = ("allocate memory", "out of memory", "calculation overflowed", "invalid array size")
    return isinstance(error, MemoryError) or any(message in str(error).lower() for message in messages)


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
