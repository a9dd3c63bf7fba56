"""What a command does before its work: it imports what takes seconds, and silences warnings without meaning."""

import gc
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.support.errors import UserError, is_memory_error


def import_libraries(with_wandb: bool) -> None:
    """Import what takes seconds, once: so late that --help and a mistyped option are answered before."""
    if "src.build" in sys.modules:
        return
    # The collector would search all that is imported time and again, and find no garbage: the imports take 3.5 s of CPU
    # time instead of 4.5 s.
    gc.disable()
    if with_wandb:
        # Each of its classes searches all modules that are loaded, so it comes before the others, which saves 0.2 s.
        import wandb.apis.public  # noqa: F401
    from src import build  # noqa: F401
    from src.run import record

    record.git_commit()  # of this code: later jobs of a sweep run it too, even if the files change meanwhile
    # What is imported stays, so that a collection of all objects takes 1 ms instead of 440 ms.
    gc.freeze()
    gc.enable()


def quieten() -> None:
    """Silence warnings of libraries about what is intended here."""
    # sync_dist: every process evaluates all images, so there is nothing to gather
    # Average: a test of averaged weights needs no averaging
    expected = ("exists and is not empty", "treespec, LeafSpec", "does not have many workers", "sync_dist=True")
    for message in (*expected, r"add the following callbacks: \['Average'\]"):
        warnings.filterwarnings("ignore", f".*{message}.*")
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda", "openTSNE"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def as_user_errors(folder: Path | str, remedy: str) -> Iterator[None]:
    """Turn errors of the operating system, and lack of memory, into UserErrors of one line.

    folder: named where an error of the operating system names no file; remedy: what to do where memory is lacking
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.strerror or error}: {error.filename or folder}") from error
    except (MemoryError, RuntimeError) as error:
        if not is_memory_error(error):
            raise
        raise UserError(f"there is not enough memory: {remedy}") from error
