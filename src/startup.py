"""Preparation of a command: slow libraries are imported, and irrelevant warnings silenced."""

import gc
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.support.errors import UserError, describe_os_error, is_caused_by_memory


def import_libraries(with_wandb: bool) -> None:
    """Import the slow libraries once, after --help and mistyped options have been answered."""
    if "src.build" in sys.modules:
        return
    # The garbage collector would repeatedly scan all imported objects and find no garbage: without it, the imports take
    # 3.5 s of CPU time instead of 4.5 s.
    gc.disable()
    if with_wandb:
        # Each of wandb's classes searches all loaded modules: importing it before the others saves 0.2 s.
        import wandb.apis.public  # noqa: F401
    from src import build  # noqa: F401
    from src.run import record

    record.git_commit()  # that of the code now loaded, which later jobs of a sweep run even if the files change
    # Imported objects are never freed. With them frozen, a full collection takes 1 ms instead of 440 ms.
    gc.freeze()
    gc.enable()


def quieten() -> None:
    """Silence warnings of libraries about behaviour that is intended here."""
    # sync_dist: every process evaluates all images, so there is nothing to gather
    # Average, Patience: a test of averaged weights needs no averaging, and a resume may do without patience
    # srun: a single process is not started by it
    # Glyph: of a letter that no font has, figures show a box
    expected = ("exists and is not empty", "treespec, LeafSpec", "does not have many workers", "sync_dist=True")
    expected += ("missing from font", "missing from current font")
    for message in (*expected, "srun` command is available", r"following callbacks: \[['\"](Average|Patience)"):
        warnings.filterwarnings("ignore", f".*{message}.*")
    signals = "lightning.pytorch.trainer.connectors.signal_connector"  # a run that is stopped says so itself
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # another script's font may lack bold letters
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda", signals, "openTSNE"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # W&B's telemetry, where W&B is out of reach


@contextmanager
def as_user_errors(folder: Path | str, remedy: str) -> Iterator[None]:
    """Turn errors of the operating system, and lack of memory, into UserErrors of one line.

    folder: named where an error of the operating system names no file; remedy: what to do where memory is lacking
    """
    try:
        yield
    except BrokenPipeError:  # nobody reads the console any more, see src/support/signals.py
        raise
    except Exception as error:
        if is_caused_by_memory(error):
            raise UserError(f"there is not enough memory: {remedy}") from error
        if not isinstance(error, OSError):
            raise
        raise UserError(describe_os_error(error, folder)) from error
