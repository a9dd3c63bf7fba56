"""Draw all figures of a run again: python -m src.figures RUN_FOLDER."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from src.figures import draw_all
from src.run.trace import Trace
from src.support.errors import UserError, one_line
from src.support.folders import RunFolder
from src.support.signals import run_program, stop_on_signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw into RUN_FOLDER/figures and print each path; exit status 2 if it is impossible."""
    parser = argparse.ArgumentParser(
        prog="python -m src.figures",
        description="Draw all figures of a run again from the trace of its training.",
    )
    parser.add_argument("run", metavar="RUN_FOLDER", type=Path, help="the folder that the training named")
    run = RunFolder(parser.parse_args(arguments).run)
    with stop_on_signals():
        try:
            paths = draw_all(Trace.load(run.trace), run)
        except (UserError, OSError) as error:
            print(one_line(error), file=sys.stderr)
            return 2
        print(*paths, sep="\n")
        return 0


if __name__ == "__main__":
    sys.exit(run_program(main))
