"""Exceptions whose cause a user can correct, and the messages of exceptions of libraries."""

from hydra.errors import CompactHydraException


class UserError(CompactHydraException):
    """States in one line what is wrong and how to correct it; Hydra prints it without a traceback, in a sweep too.

    What is not printable, as a name of a file may be, is escaped: it would break the line or control the terminal.
    """

    def __init__(self, message: str = ""):
        super().__init__("".join(map(printable, str(message))))


class DivergedError(UserError):
    """The training diverged: its loss is not a finite number, or higher than at the start."""


class DamagedError(UserError):
    """A file is truncated, or was not written by this program."""


def printable(character: str) -> str:
    """A character, or its escape sequence in Python if it can't be printed."""
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def is_memory_error(error: Exception) -> bool:
    """Whether an error of NumPy or PyTorch says that there is not enough memory."""
    messages = ("allocate memory", "out of memory", "calculation overflowed", "invalid array size")
    return isinstance(error, MemoryError) or any(message in str(error).lower() for message in messages)


def one_line(error: Exception) -> str:
    """The message of an exception in one line, or its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
