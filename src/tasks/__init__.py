"""What a finished run is for: one file and one file of options (conf/task/) a task.

    task(run, folder, **options) -> numbers

run: build.Run; folder: an empty one, for pictures and files, which is kept only if the task succeeds. `numbers` go to
metrics.json, a table on the console and W&B: `name` -> a number, `name_se` its standard error; names with slashes,
`row/column`, make a table of their own. What a user can mend is a UserError, raised before anything takes long.
"""

from typing import Any

from src.errors import UserError


def check_counts(**options: tuple[Any, int]) -> None:
    """Raises UserError for an option of a task that is not a whole number of at least its limit: (given, limit)."""
    for name, (given, least) in options.items():
        if type(given) is not int or given < least:
            raise UserError(f"task.{name} must be a whole number, {least} or more, got {given}")
