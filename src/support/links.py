"""What a stranger may put into the folder of a run or a sweep in place of a file: a link out of it, or a pipe."""

import os
from pathlib import Path

from src.support.errors import UserError


def check_links(folder: Path) -> None:
    """Raise UserError for a link within a folder that leads out of it, so that nothing is written elsewhere, and for
    anything that is neither a file nor a folder, such as a pipe, which would be waited for."""
    home = folder.resolve()
    for path, inner, files in os.walk(folder):
        for name in (*inner, *files):
            link = Path(path, name)
            if link.is_symlink() and not link.resolve().is_relative_to(home):
                raise UserError(f"{link} is a link to {link.readlink()}, outside of the folder: remove it")
            if link.exists() and not (link.is_file() or link.is_dir()):
                raise UserError(f"{link} is neither a file nor a folder: remove it")
