"""The exceptions that a user's input can cause."""

from hydra.errors import CompactHydraException


class UserError(CompactHydraException):
    """What is wrong and how to mend it, in one line; Hydra prints it without a traceback, in a sweep too."""


class DivergedError(UserError):
    """The training came to nothing: its loss is no number any more."""


class DamagedError(UserError):
    """A file was cut short, or is none of ours."""


def of_memory(error: Exception) -> bool:
    """Whether an error of NumPy or PyTorch says that there is not enough memory for what was asked for."""
    words = ("allocate memory", "out of memory", "calculation overflowed", "invalid array size")
    return isinstance(error, MemoryError) or any(each in str(error).lower() for each in words)
