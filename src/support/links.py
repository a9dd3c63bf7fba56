"""Links in the folder of a run that would lead what is written there to another place."""

import os
from pathlib import Path

from src.support.errors import UserError


def check_links(folder: Path) -> None:
    """Raise UserError for a link within a folder that leads out of it, so that nothing is written elsewhere."""
    home = folder.resolve()
    for path, inner, files in os.walk(folder):
        for name in (*inner, *files):
            link = Path(path, name)
            if link.is_symlink() and not link.resolve().is_relative_to(home):
                raise UserError(f"{link} is a link to {link.readlink()}, outside of the run's folder: remove it")
