"""Numbers, durations and addresses as the page shows them: the filters of its template."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from src.run.options import as_text


def sort_value(value: Any) -> str:
    """The value by which the page's script sorts a cell; empty where there is none."""
    return "" if value is None else f"{value:.10g}" if isinstance(value, float) else as_text(value)


def number(value: float | None, digits: int = 2, sign: str = "") -> str:
    """The number with a minus sign as wide as a plus; empty where there is none. sign: `+` shows a plus too."""
    return "" if value is None else f"{value:{sign}.{digits}f}".replace("-", "\N{MINUS SIGN}")


def duration(seconds: float | None) -> str:
    """Hours and minutes, minutes and seconds, or seconds; empty where there is no duration."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"


def address(path: Path, folder: Path) -> str:
    """The relative URL of `path` for a page in `folder`."""
    return quote(os.path.relpath(path.resolve(), folder.resolve()))
