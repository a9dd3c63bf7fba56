"""The end of each benchmark's command, with an exit status and at most one line."""

import sys
from collections.abc import Callable

from src.support.errors import UserError


def run(main: Callable[[], None], interrupted: str = "nothing was written") -> None:
    """Call `main`; errors that a user can fix, and Ctrl-C, end the program with one line, the latter with 130."""
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print(f"\ninterrupted: {interrupted}", file=sys.stderr)
        sys.exit(130)
