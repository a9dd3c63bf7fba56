"""What a command prints: whole lines that stay, above a progress bar where there is one."""

import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tqdm import tqdm

log = logging.getLogger(__name__)


def is_terminal() -> bool:
    """Whether the console is a terminal that can draw a bar over itself: no file, no pipe, and not TERM=dumb."""
    streams = (sys.stdout, sys.stderr)
    return os.environ.get("TERM") != "dumb" and all(each is not None and each.isatty() for each in streams)


class Formatter(logging.Formatter):
    """The message alone, or after `warning:` or `error:` where it is one."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {text}"


class Handler(logging.StreamHandler):
    """Prints each record above the progress bars that are drawn, and draws them again below it."""

    def emit(self, record: logging.LogRecord) -> None:
        if not is_terminal():
            super().emit(record)
            return
        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)


def log_to_console(without_details_of: tuple[str, ...]) -> None:
    """Have what is logged printed as a command of Hydra's does; of some loggers, by the beginning of their names, the
    warnings alone."""
    handler = Handler(sys.stdout)
    handler.setFormatter(Formatter())
    handler.addFilter(lambda each: each.levelno >= logging.WARNING or not each.name.startswith(without_details_of))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def print_warnings_alone() -> None:
    """Have the console print no messages but warnings and errors; a log file keeps all of them."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Handler):
            handler.setLevel(logging.WARNING)


def stages(sizes: Mapping[str, float]) -> Iterator[str]:
    """Yield the name of each stage of a long task when it begins, and say so, with the time that is left.

    sizes: the work in each stage, in any unit, from which the time is estimated once one is done
    """
    began, done = time.perf_counter(), 0.0
    for number, (name, size) in enumerate(sizes.items(), 1):
        left = (time.perf_counter() - began) * (sum(sizes.values()) - done) / done if done else 0
        rest = f", about {duration(left)} left" if left >= 1 else ""
        log.info("%d of %d: %s%s", number, len(sizes), name, rest)
        yield name
        done += size


def duration(seconds: float) -> str:
    """A time as one says it: 41 s, 3 min 20 s, 12 min, 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    if minutes >= 10:
        return f"{minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def shorter_path(path: Path) -> str:
    """A path from the working directory where it leads there, otherwise from the root."""
    relative = os.path.relpath(path)
    return str(path.absolute()) if relative.startswith("..") else relative
