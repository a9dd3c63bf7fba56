"""Exceptions whose cause a user can correct, and the messages of exceptions of libraries."""

from hydra.errors import CompactHydraException


class UserError(CompactHydraException):
    """States in one line what is wrong and how to correct it; Hydra prints it without a traceback, in a sweep too."""


class DivergedError(UserError):
    """The training diverged: its loss is not a finite number, or higher than at the start."""


class DamagedError(UserError):
    """A file is truncated, or was not written by this program."""


def is_memory_error(error: Exception) -> bool:
    """Whether an error of NumPy or PyTorch says that there is not enough memory."""
    messages = ("allocate memory", "out of memory", "calculation overflowed", "invalid array size")
    return isinstance(error, MemoryError) or any(message in str(error).lower() for message in messages)


def one_line(error: Exception) -> str:
    """The message of an exception in one line, or its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
