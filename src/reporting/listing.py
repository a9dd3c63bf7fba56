"""A table of runs for a terminal, a file or another program."""

import json
import math
import os
import shutil
import textwrap
import unicodedata
from collections import Counter
from datetime import datetime
from typing import Any, TextIO

from src.reporting.selection import attempt_kind
from src.run.kinds import fingerprint
from src.run.options import effective, flatten, option_value, part
from src.run.status import State
from src.run.summary import Summary
from src.support.errors import printable

GAP = "  "
INDENT = {"initial_indent": "    ", "subsequent_indent": "    "}  # of a note below its row
COLUMNS = ("run", "state", "title", "val ELBO", "started", "time", "size", "sweep", "note")
NUMBERS = ("val ELBO", "time", "size")  # aligned to the right
# how a table that is too wide becomes narrower, a step after the other: a column, and how narrow it may get, 0 for gone
STEPS = (
    *(("title", 30), ("sweep", 0), ("started", 0), ("title", 16), ("run", 24)),
    *(("size", 0), ("time", 0), ("title", 0), ("run", 12)),
)
HUGE = 1e6  # nats from which a number has no digits but the first two
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
RED, GREEN, YELLOW, BLUE, GREY = 31, 32, 33, 34, 90
COLOURS = {
    **dict.fromkeys((State.FAILED, State.DIVERGED, State.KILLED), RED),
    **dict.fromkeys((State.INTERRUPTED, State.UNKNOWN), YELLOW),
    **dict.fromkeys((State.WAITING, State.PRUNED, State.DELETED), GREY),
    State.FINISHED: GREEN,
    State.RUNNING: BLUE,
}


def table(groups: dict[str, list[Summary]], stream: TextIO) -> str:
    """A row for each run under the names of the columns; of several groups, each has its name above its runs.

    On a terminal it fits its width and has colours, and notes that are too long for a column are below their rows;
    elsewhere nothing is cut.
    """
    is_terminal, columns = stream.isatty(), shutil.get_terminal_size().columns
    titles = Counter((run.sweep, run.title) for runs in groups.values() for run in runs)
    rows = {
        name: [(run, cells(run, titles[run.sweep, run.title] > 1)) for run in runs] for name, runs in groups.items()
    }
    every = [row for some in rows.values() for _, row in some]
    widths = {name: max(map(width, (name, *(row[name] for row in every)))) for name in COLUMNS}
    widths = {name: size for name, size in widths.items() if any(row[name] for row in every)}
    is_below = is_terminal and "note" in widths and excess(widths, columns) > 0
    if is_below:
        del widths["note"]
    if is_terminal:
        narrow(widths, columns)
    paints = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    lines = [line({name: name for name in COLUMNS}, widths)]
    for name, some in rows.items():
        lines += ["", f"{printable(name)}:"] if len(rows) > 1 else []
        for run, row in some:
            lines.append(line(row, widths, COLOURS[run.state] if paints else None))
            lines += textwrap.wrap(row["note"], columns, **INDENT) if is_below else []
    return "\n".join(lines)


def cells(run: Summary, with_words: bool) -> dict[str, str]:
    """What the table says of a run, in printable characters.

    with_words: whether the options of a sweep's job follow its title, which other jobs have too
    """
    texts = {
        "run": os.path.relpath(run.folder),
        "state": run.state,
        "title": ": ".join([run.title, *([" ".join(run.words)] if with_words and run.words else [])]),
        "val ELBO": "" if run.elbo is None else number_text(run.elbo),
        "started": f"{run.started:%Y-%m-%d %H:%M}" if run.started else "",
        "time": time_text(run.seconds),
        "size": size_text(run.size),
        "sweep": run.sweep or "",
        "note": run.note,
    }
    return {name: printable(" ".join(text.split())) for name, text in texts.items()}


def narrow(widths: dict[str, int], available: int) -> None:
    """Make columns narrower, or leave them out, until the table fits."""
    for name, least in STEPS:
        too_many = excess(widths, available)
        if too_many <= 0:
            return
        if not least:
            widths.pop(name, None)
        elif name in widths:
            widths[name] = min(widths[name], max(least, widths[name] - too_many))


def excess(widths: dict[str, int], available: int) -> int:
    """By how many columns of the terminal a table is too wide; negative where it is narrower."""
    return sum(widths.values()) + len(GAP) * (len(widths) - 1) - available


def line(row: dict[str, str], widths: dict[str, int], colour: int | None = None) -> str:
    """A line of the table; `colour` is that of the state."""
    parts = []
    for name, size in widths.items():
        text = shorten(row[name], size)
        space = " " * (size - width(text))
        text = f"\x1b[{colour}m{text}\x1b[0m" if colour and name == "state" else text
        parts.append(space + text if name in NUMBERS else text + space)
    return GAP.join(parts).rstrip()


def width(text: str) -> int:
    """The number of columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) > 0 for each in text)


def shorten(text: str, size: int) -> str:
    """A text in at most `size` columns: an ellipsis takes the place of its middle."""
    left = right = len(text) // 2
    shorter = text
    while width(shorter) > size and (left > 0 or right < len(text)):
        left, right = (left - 1, right) if left > len(text) - right else (left, right + 1)
        shorter = text[:left] + ELLIPSIS + text[right:]
    return shorter


def number_text(value: float) -> str:
    """A number of nats: -98.77; of a diverged run, whose digits say nothing, -1.9e30."""
    if abs(value) < HUGE:
        return f"{value:.2f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def time_text(seconds: float | None) -> str:
    """A duration: 45 s, 3 min, 2.5 h, 3.1 d."""
    if seconds is None or seconds < 0:
        return ""
    for unit, size in (("d", 86400), ("h", 3600)):
        if seconds >= size * (2 if unit == "d" else 1):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{math.ceil(seconds)} s"


def size_text(size: int | None) -> str:
    """A number of bytes: 12 kB, 3.4 MB, 120 GB."""
    if size is None:
        return ""
    for unit, unit_size in (("GB", 1e9), ("MB", 1e6)):
        if size >= unit_size:
            return f"{size / unit_size:.{1 if size < 100 * unit_size else 0}f} {unit}"
    return f"{math.ceil(size / 1000)} kB"


def totals(runs: list[Summary]) -> str:
    """How many runs there are, their size and their states, in a line."""
    states = [run.state for run in runs]
    counts = ", ".join(f"{states.count(state)} {state}" for state in State if state in states)
    return f"{len(runs)} run{'s' * (len(runs) != 1)}, {size_text(sum(run.size or 0 for run in runs))}: {counts}"


def as_json(runs: list[Summary]) -> str:
    """The runs as a list in JSON, which other programs read; what is not known is null."""
    return json.dumps([record(run) for run in runs], indent=1)


def record(run: Summary) -> dict[str, Any]:
    """What the JSON has of a run: numbers in nats, seconds and bytes, times in ISO 8601."""
    data, pixels, likelihood = attempt_kind(run)
    times = {
        name: value and datetime.isoformat(value) for name, value in (("started", run.started), ("ended", run.ended))
    }
    return {
        "run": os.path.relpath(run.folder),
        "state": run.state,
        "title": run.title,
        "val/elbo": run.elbo,
        **times,
        "seconds": run.seconds,
        "size": run.size,
        "sweep": run.sweep,
        "note": run.note,
        "data": data or None,
        "images": fingerprint(run),
        "pixels": pixels or None,
        "likelihood": likelihood or None,
        "options": options(run),
    }


def options(run: Summary) -> dict[str, Any]:
    """The options of a run that may change its numbers, by the names that one types; of a job that was not begun, those
    in which it differs."""
    leaves = flatten(effective(run.config))
    leaves = {name: plain(value) for name, value in leaves.items() if not name.endswith("._partial_")}
    return {part(name): option_value(name, value) for name, value in leaves.items()}


def plain(value: Any) -> Any:
    """A value of YAML as JSON can hold it, in which there are no times and no infinite numbers."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    is_plain = value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return value if is_plain else str(value)
