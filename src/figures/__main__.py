"""Draws all pictures of a run again: python -m src.figures RUN_FOLDER."""

import argparse
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from src.errors import UserError
from src.figures import draw_final
from src.trace import Trace


def read(run: Path) -> Trace:
    """The trace of the run in the folder `run`; a UserError names the file that is missing or damaged."""
    path = run / "figures" / "trace.npz"
    try:
        return Trace.load(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: give the folder of a run that drew figures") from None
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no readable trace ({error}): train again to write a new one") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws into RUN_FOLDER/figures and prints each path; exit status 2 where there is no trace."""
    parser = argparse.ArgumentParser(
        prog="python -m src.figures",
        description="Draw all pictures of a run again from its figures/trace.npz.",
    )
    parser.add_argument("run", metavar="RUN_FOLDER", type=Path, help="the folder that the training named")
    run = parser.parse_args(arguments).run
    try:
        trace = read(run)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    for path in draw_final(trace, run / "figures"):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
