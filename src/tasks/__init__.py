"""What a finished run is for: one file and one file of options (conf/task/) a task.

    task(run, folder, **options) -> numbers

run: build.Run; folder: an empty one, for pictures and files, which is kept only if the task succeeds. `numbers` go to
metrics.json, a table on the console and W&B: `name` -> a number, `name_se` its standard error; names with slashes,
`row/column`, make a table of their own. What a user can mend is a UserError, raised before anything takes long.
"""

from typing import Any

from src.errors import UserError

MOST = 10_000_000  # of anything that a task counts: more would take days, or all memory


def check_counts(**options: tuple[Any, int]) -> None:
    """Raises UserError for an option of a task that is not a whole number of at least its limit: (given, limit)."""
    for name, (given, least) in options.items():
        if type(given) is not int or given < least:
            raise UserError(f"task.{name} must be a whole number, {least} or more, got {given}")
        if given > MOST:
            raise UserError(f"task.{name} must be at most {MOST}, got {given}")


def check_truths(**options: Any) -> None:
    """Raises UserError for an option of a task that is neither true nor false."""
    for name, given in options.items():
        if not isinstance(given, bool):
            raise UserError(f"task.{name} must be true or false, got {given}")


def check_words(**options: Any) -> None:
    """Raises UserError for an option of a task that is neither a word nor a list of words."""
    for name, given in options.items():
        if not isinstance(given, str) and not (
            isinstance(given, list) and all(isinstance(each, str) for each in given)
        ):
            raise UserError(f"task.{name} must be a list of words, such as [a,b], got {given}")
