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
    gc.disable()  # it would search the modules for garbage time and again, and find nothing
    if with_wandb:
        import wandb.apis.public  # noqa: F401 (first: each of its classes searches all modules that are there already)
    from src import build  # noqa: F401
    from src.run import record

    record.git_commit()  # of this code: a sweep's later jobs run it, too, whatever changes meanwhile
    gc.freeze()  # what is imported stays
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
